// SPDX-License-Identifier: MIT
//
// The table of kernel sets: names, features, completion, forcing, and calibration under a clock that the test drives.
#include "cpu/kernels.h"

#include "llmk/platform.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace llmk {

namespace {

using djiblas::kAvx2;
using djiblas::kAvx512;
using djiblas::kScalar;
using djiblas::kSse2;

CpuFeatures cpu_with(uint32_t mask)
{
    CpuFeatures cpu;
    cpu.mask = mask;
    return cpu;
}

const CpuFeatures& baseline()
{
    static const CpuFeatures cpu = cpu_with(djiblas::kFeatureSse2);
    return cpu;
}

/// All after the name, title and features is function pointers: none may be null, the ones added tomorrow included, but
/// for gemm_f32_exact, which goes with the set's own gemv_f32.
bool is_complete(const KernelSet& set)
{
    constexpr size_t kFirst = offsetof(KernelSet, dot_f32);
    static_assert((sizeof(KernelSet) - kFirst) % sizeof(void*) == 0);
    for (size_t at = kFirst; at < sizeof(KernelSet); at += sizeof(void*)) {
        uintptr_t pointer = 0;
        std::memcpy(&pointer, reinterpret_cast<const char*>(&set) + at, sizeof pointer);
        if (pointer == 0 && at != offsetof(KernelSet, gemm_f32_exact)) {
            return false;
        }
    }
    return true;
}

TEST(Kernels, TableIsBestFirstAndEndsWithScalar)
{
    const auto sets = kernel_sets();
    ASSERT_EQ(sets.size(), 7u);
    EXPECT_EQ(sets[0], &djiblas::kAmxInt8);
    EXPECT_EQ(sets[1], &djiblas::kAvx512Vnni);
    EXPECT_EQ(sets[2], &kAvx512);
    EXPECT_EQ(sets[3], &djiblas::kAvxVnni);
    EXPECT_EQ(sets[4], &kAvx2);
    EXPECT_EQ(sets[5], &kSse2);
    EXPECT_EQ(sets[6], &kScalar);
    EXPECT_EQ(kScalar.features, 0u);
    EXPECT_TRUE(is_complete(kScalar));
    for (const KernelSet* set : sets) {
        for (const KernelSet* other : sets) {
            EXPECT_EQ(std::string_view(set->name) == other->name, set == other);
        }
    }
}

TEST(Kernels, CompletionLeavesNothingOut)
{
    const CpuFeatures all = cpu_with(UINT32_MAX);
    for (const KernelSet* set : kernel_sets()) {
        Result<KernelSet> completed = complete_kernel_set(set->name, all);
        ASSERT_TRUE(completed.ok()) << completed.error().message.view();
        EXPECT_TRUE(is_complete(completed.value())) << set->name;
        EXPECT_STREQ(completed.value().name, set->name);
        EXPECT_STREQ(completed.value().title, set->title);
    }
}

TEST(Kernels, ForcedSetIsTheOneThatRuns)
{
    Result<KernelChoice> forced = force_kernels("sse2", baseline());
    ASSERT_TRUE(forced.ok());
    const KernelChoice& choice = forced.value();
    EXPECT_TRUE(choice.forced);
    EXPECT_EQ(choice.timing_count, 0u);
    EXPECT_STREQ(choice.gemm.name, "sse2");
    EXPECT_STREQ(choice.attention.name, "sse2");
    EXPECT_EQ(choice.gemm.gemv_f32, kSse2.gemv_f32);
    EXPECT_EQ(choice.gemm.gemm_q8, kSse2.gemm_q8);
    EXPECT_EQ(choice.attention.softmax, kSse2.softmax);

    Result<KernelChoice> scalar = force_kernels("scalar", baseline());
    ASSERT_TRUE(scalar.ok());
    EXPECT_EQ(scalar.value().gemm.gemv_f32, kScalar.gemv_f32);
    EXPECT_NE(kScalar.gemv_f32, kSse2.gemv_f32);
}

/// What AVX-512 leaves out comes from AVX2, the next set below.
TEST(Kernels, Avx512IsForcedByNameAndCompletedFromAvx2)
{
    const CpuFeatures cpu = cpu_with(kAvx512.features);
    Result<KernelChoice> forced = force_kernels("avx512", cpu);
    ASSERT_TRUE(forced.ok()) << forced.error().message.view();
    EXPECT_STREQ(forced.value().gemm.name, "avx512");
    EXPECT_EQ(forced.value().gemm.gemm_f32, kAvx512.gemm_f32);
    EXPECT_EQ(forced.value().gemm.gemv_f16, kAvx2.gemv_f16);
    EXPECT_EQ(forced.value().gemm.gemm_q8, kAvx2.gemm_q8);
    EXPECT_EQ(forced.value().gemm.dequantize_q4_k, kAvx2.dequantize_q4_k);
    EXPECT_TRUE(is_complete(forced.value().gemm));
    EXPECT_FALSE(force_kernels("avx512", cpu_with(kAvx2.features)).ok());
}

TEST(Kernels, NamesMayBeTypedInAnyCase)
{
    EXPECT_TRUE(force_kernels("SSE2", baseline()).ok());
    EXPECT_TRUE(complete_kernel_set("Scalar", baseline()).ok());
}

TEST(Kernels, AnUnknownNameIsAnErrorThatListsTheKnownOnes)
{
    for (const std::string_view name : {"", "sse", "sse22", "avx51"}) {
        const Result<KernelChoice> result = force_kernels(name, baseline());
        ASSERT_FALSE(result.ok()) << name;
        EXPECT_EQ(result.error().status, Status::not_found);
        const std::string message(result.error().message.view());
        EXPECT_NE(message.find("amx_int8, avx512_vnni, avx512, avx_vnni, avx2, sse2, scalar"), std::string::npos)
            << message;
    }
}

TEST(Kernels, ASetThatTheCpuLacksIsAnErrorThatSaysWhat)
{
    const Result<KernelSet> both = complete_kernel_set("avx2", baseline());
    ASSERT_FALSE(both.ok());
    EXPECT_EQ(both.error().status, Status::unsupported);
    EXPECT_NE(both.error().message.view().find("AVX2 and FMA and F16C"), std::string_view::npos)
        << both.error().message.view();

    const CpuFeatures no_fma = cpu_with(kAvx2.features & ~djiblas::kFeatureFma);
    const Result<KernelSet> one = complete_kernel_set("avx2", no_fma);
    ASSERT_FALSE(one.ok());
    EXPECT_NE(one.error().message.view().find("needs FMA,"), std::string_view::npos) << one.error().message.view();

    const Result<KernelSet> tiles = complete_kernel_set("amx_int8", cpu_with(djiblas::kAvx512Vnni.features));
    ASSERT_FALSE(tiles.ok());
    EXPECT_EQ(tiles.error().message.view(),
              "kernel set \"amx_int8\" needs AMX-INT8, which this CPU lacks or its firmware keeps off");
}

// --- calibration ----------------------------------------------------------------------------------------------------

/// A clock whose readings come in pairs, before and after a run. The lengths of the runs are given beforehand.
class ScriptedClock final : public Platform {
public:
    explicit ScriptedClock(std::vector<uint64_t> durations) : m_durations(std::move(durations)) {}
    uint64_t ticks() override
    {
        if (m_reads++ % 2 == 1) {
            m_now += m_reads / 2 <= m_durations.size() ? m_durations[m_reads / 2 - 1] : 0;
        }
        return m_now;
    }
    size_t runs() const { return m_reads / 2; }

    // Calibration has no business with the rest.
    std::string_view name() const override { return "clock"; }
    void console_write(std::string_view) override { ADD_FAILURE(); }
    ConsoleSize console_size() override { return {80, 25}; }
    void console_style(Style) override { ADD_FAILURE(); }
    void console_move(int, int) override { ADD_FAILURE(); }
    void console_clear() override { ADD_FAILURE(); }
    bool key_poll(Key&) override { return false; }
    void idle(uint32_t) override { ADD_FAILURE(); }
    size_t volume_count() override { return 0; }
    Result<void> volume_use(size_t) override { return refuse(); }
    Result<PlatformFile*> file_open(std::string_view, OpenMode) override { return refuse(); }
    Result<uint64_t> file_size(PlatformFile*) override { return refuse(); }
    Result<size_t> file_read_at(PlatformFile*, uint64_t, void*, size_t) override { return refuse(); }
    void use_bounce_buffer(bool) override { ADD_FAILURE(); }
    Result<void> file_write(PlatformFile*, const void*, size_t) override { return refuse(); }
    Result<void> file_flush(PlatformFile*) override { return refuse(); }
    void file_close(PlatformFile*) override { ADD_FAILURE(); }
    Result<void> directory_list(std::string_view, FileVisitor, void*) override { return refuse(); }
    Result<void*> pages_alloc(uint64_t) override { return refuse(); }
    void pages_free(void*, uint64_t) override { ADD_FAILURE(); }
    size_t memory_extents(std::span<uint64_t>) override { return 0; }
    uint64_t ticks_per_second() override { return 1; }
    Result<WallClock> wall_clock() override { return refuse(); }
    void use_processors(size_t) override { ADD_FAILURE(); }
    size_t processor_count() override { return 1; }
    std::string_view processors_note() override { return {}; }
    size_t processor_states(std::span<ProcessorState>) override { return 0; }
    void parallel(ParallelFunction, void*, size_t) override { ADD_FAILURE(); }
    void parallel_begin(ParallelFunction, void*, size_t) override { ADD_FAILURE(); }
    bool parallel_done() override { return true; }
    void parallel_end() override { ADD_FAILURE(); }
    void reset(ResetKind) override { ADD_FAILURE(); }

private:
    static Error refuse()
    {
        ADD_FAILURE();
        return fail(Status::unsupported, "only a clock");
    }
    std::vector<uint64_t> m_durations;
    uint64_t m_now = 1000;
    size_t m_reads = 0;
};

alignas(64) unsigned char g_scratch[kCalibrationScratchBytes];

/// Per usable set, best first: three runs of the products, three of attention.
TEST(Calibration, ThePickIsTheFastestOfEach)
{
    ScriptedClock clock({90, 50, 70, 30, 20, 25, /* scalar */ 60, 45, 80, 21, 40, 50});
    const KernelChoice choice = calibrate_kernels(clock, baseline(), g_scratch);
    EXPECT_EQ(clock.runs(), 12u);
    EXPECT_FALSE(choice.forced);
    EXPECT_STREQ(choice.gemm.name, "scalar");
    EXPECT_EQ(choice.gemm.gemv_f32, kScalar.gemv_f32);
    EXPECT_STREQ(choice.attention.name, "sse2");
    EXPECT_EQ(choice.attention.attention_f16, kSse2.attention_f16);
    EXPECT_TRUE(is_complete(choice.gemm));
    EXPECT_TRUE(is_complete(choice.attention));

    ASSERT_EQ(choice.timing_count, kernel_sets().size());
    EXPECT_STREQ(choice.timings[0].name, "amx_int8");
    EXPECT_FALSE(choice.timings[0].usable);
    EXPECT_STREQ(choice.timings[4].name, "avx2");
    EXPECT_FALSE(choice.timings[1].usable);
    EXPECT_TRUE(choice.timings[5].usable);
    EXPECT_EQ(choice.timings[5].matmul_ticks, 50u);
    EXPECT_EQ(choice.timings[5].attention_ticks, 20u);
    EXPECT_TRUE(choice.timings[6].usable);
    EXPECT_EQ(choice.timings[6].matmul_ticks, 45u);
    EXPECT_EQ(choice.timings[6].attention_ticks, 21u);
}

TEST(Calibration, AWideSetMustWinByAQuarter)
{
    const CpuFeatures cpu = cpu_with(kAvx2.features | djiblas::kFeatureSse2);
    const std::vector<uint64_t> slower = {1000, 1000, 1000, 1000, 1000, 1000};
    for (const uint64_t wide : {81, 80}) {
        std::vector<uint64_t> durations = {wide, wide, wide, wide, wide, wide, 100, 100, 100, 100, 100, 100};
        durations.insert(durations.end(), slower.begin(), slower.end());
        ScriptedClock clock(durations);
        const KernelChoice choice = calibrate_kernels(clock, cpu, g_scratch);
        EXPECT_STREQ(choice.gemm.name, wide == 80 ? "avx2" : "sse2");
        EXPECT_STREQ(choice.attention.name, wide == 80 ? "avx2" : "sse2");
    }
}

/// Among wide sets no margin: the fastest is taken, the one named first of equals.
TEST(Calibration, TheFastestOfTheWideSetsIsTaken)
{
    const CpuFeatures cpu = cpu_with(kAvx512.features);
    for (const uint64_t widest : {39, 40, 41}) {
        ScriptedClock clock({widest, widest, widest, widest, widest, widest, 40,   40,   40,   40,   40,   40,
                             100,    100,    100,    100,    100,    100,    1000, 1000, 1000, 1000, 1000, 1000});
        const KernelChoice choice = calibrate_kernels(clock, cpu, g_scratch);
        EXPECT_STREQ(choice.gemm.name, widest <= 40 ? "avx512" : "avx2");
        EXPECT_STREQ(choice.attention.name, widest <= 40 ? "avx512" : "avx2");
    }
}

TEST(Calibration, AnEmulatorsWideSetIsNotTaken)
{
    CpuFeatures cpu = cpu_with(kAvx2.features | djiblas::kFeatureSse2);
    cpu.emulated = true;
    ScriptedClock clock({10, 10, 10, 10, 10, 10, 100, 100, 100, 100, 100, 100, 900, 900, 900, 900, 900, 900});
    const KernelChoice choice = calibrate_kernels(clock, cpu, g_scratch);
    EXPECT_STREQ(choice.gemm.name, "sse2");
    EXPECT_STREQ(choice.attention.name, "sse2");
}

TEST(Calibration, AClockThatStandsStillLeavesTheBestByExpectation)
{
    ScriptedClock clock({});
    const KernelChoice choice = calibrate_kernels(clock, baseline(), g_scratch);
    EXPECT_STREQ(choice.gemm.name, "sse2");
    EXPECT_STREQ(choice.attention.name, "sse2");
}

TEST(Calibration, WithoutAnyFeatureScalarRuns)
{
    ScriptedClock clock({5, 5, 5, 5, 5, 5});
    const KernelChoice choice = calibrate_kernels(clock, cpu_with(0), g_scratch);
    EXPECT_EQ(clock.runs(), 6u);
    EXPECT_STREQ(choice.gemm.name, "scalar");
    EXPECT_FALSE(choice.timings[1].usable);
}

TEST(Calibration, RunsOnThisMachine)
{
    ScriptedClock clock({});
    const CpuFeatures cpu = detect_cpu();
    const KernelChoice choice = calibrate_kernels(clock, cpu, g_scratch);
    EXPECT_TRUE(is_complete(choice.gemm));
    EXPECT_EQ(choice.gemm.features & ~cpu.mask, 0u);
}

} // namespace

} // namespace llmk
