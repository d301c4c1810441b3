// SPDX-License-Identifier: MIT
//
// The table of kernel sets: names, features, completion, forcing, and which is chosen.
#include "cpu/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
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

/// All after the name, title and features is pointers, up to `reading`: none may be null, the ones added tomorrow
/// included, but for the last four, which few sets have.
bool is_complete(const KernelSet& set)
{
    constexpr size_t kFirst = offsetof(KernelSet, dot_f32);
    constexpr size_t kEnd = offsetof(KernelSet, bf16_panels);
    static_assert((kEnd - kFirst) % sizeof(void*) == 0 && kEnd + 4 * sizeof(void*) == offsetof(KernelSet, reading));
    for (size_t at = kFirst; at < kEnd; at += sizeof(void*)) {
        uintptr_t pointer = 0;
        std::memcpy(&pointer, reinterpret_cast<const char*>(&set) + at, sizeof pointer);
        if (pointer == 0) {
            return false;
        }
    }
    return true;
}

TEST(Kernels, TableIsBestFirstAndEndsWithScalar)
{
    const auto sets = kernel_sets();
    ASSERT_EQ(sets.size(), 8u);
    EXPECT_EQ(sets[0], &djiblas::kAmxBf16);
    EXPECT_EQ(sets[1], &djiblas::kAmxInt8);
    EXPECT_EQ(sets[2], &djiblas::kAvx512Vnni);
    EXPECT_EQ(sets[3], &kAvx512);
    EXPECT_EQ(sets[4], &djiblas::kAvxVnni);
    EXPECT_EQ(sets[5], &kAvx2);
    EXPECT_EQ(sets[6], &kSse2);
    EXPECT_EQ(sets[7], &kScalar);
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
        EXPECT_NE(message.find("amx_bf16, amx_int8, avx512_vnni, avx512, avx_vnni, avx2, sse2, scalar"),
                  std::string::npos)
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

// --- choosing -------------------------------------------------------------------------------------------------------

TEST(Choice, ByExpectationIsTheWidestThatIsUsable)
{
    EXPECT_STREQ(expect_kernels(cpu_with(0)).gemm.name, "scalar");
    EXPECT_STREQ(expect_kernels(baseline()).gemm.name, "sse2");
    const KernelChoice choice = expect_kernels(cpu_with(kAvx2.features));
    EXPECT_STREQ(choice.gemm.name, "avx2");
    EXPECT_STREQ(choice.attention.name, "avx2");
    EXPECT_TRUE(is_complete(choice.gemm));
    EXPECT_FALSE(choice.measured);
    EXPECT_FALSE(choice.forced);
    for (size_t i = 0; i < kernel_sets().size(); i++) {
        EXPECT_STREQ(choice.timings[i].name, kernel_sets()[i]->name);
        EXPECT_EQ(choice.timings[i].usable, (kernel_sets()[i]->features & ~kAvx2.features) == 0);
        EXPECT_FALSE(choice.timings[i].timed);
    }
}

TEST(Choice, AnEmulatorsWideSetIsNoCandidate)
{
    CpuFeatures cpu = cpu_with(kAvx2.features | djiblas::kFeatureSse2);
    EXPECT_TRUE(may_choose(kAvx2, cpu));
    cpu.emulated = true;
    EXPECT_FALSE(may_choose(kAvx2, cpu));
    EXPECT_TRUE(may_choose(kSse2, cpu));
    EXPECT_STREQ(expect_kernels(cpu).gemm.name, "sse2");
    EXPECT_TRUE(force_kernels("avx2", cpu).ok());
}

TEST(Choice, RunsOnThisMachine)
{
    const CpuFeatures cpu = detect_cpu();
    const KernelChoice choice = expect_kernels(cpu);
    EXPECT_TRUE(is_complete(choice.gemm));
    EXPECT_EQ(choice.gemm.features & ~cpu.mask, 0u);
}

struct Seen {
    const char* name;
    uint64_t decode;
    uint64_t prefill;
};

/// The name of the set that is chosen when these were timed.
std::string chosen(std::initializer_list<Seen> seen)
{
    const auto sets = kernel_sets();
    std::vector<KernelTiming> timings(sets.size());
    for (const Seen& one : seen) {
        const auto it = std::find_if(sets.begin(), sets.end(),
                                     [&](const KernelSet* set) { return std::string_view(set->name) == one.name; });
        timings.at(static_cast<size_t>(it - sets.begin())) = {one.name, true, true, one.decode, one.prefill};
    }
    return sets[fastest_kernels(timings)]->name;
}

TEST(Choice, DecodeAndPrefillCountAlike)
{
    EXPECT_EQ(chosen({{"sse2", 100, 900}, {"scalar", 101, 800}}), "scalar");
    EXPECT_EQ(chosen({{"sse2", 100, 900}, {"scalar", 200, 500}}), "sse2");
    EXPECT_EQ(chosen({{"avx512", 100, 1000}, {"avx2", 90, 1010}, {"sse2", 400, 4000}}), "avx2");
}

TEST(Choice, AWideSetMustWinByATwentieth)
{
    EXPECT_EQ(chosen({{"avx2", 96, 96}, {"sse2", 100, 100}}), "sse2");
    EXPECT_EQ(chosen({{"avx2", 94, 94}, {"sse2", 100, 100}}), "avx2");
    EXPECT_EQ(chosen({{"avx2", 100, 60}, {"sse2", 100, 100}}), "avx2") << "decode waits for the memory";
    EXPECT_EQ(chosen({{"avx512", 41, 41}, {"avx2", 40, 40}, {"sse2", 100, 100}}), "avx2") << "no margin among those";
}

TEST(Choice, OfEqualsTheFirst)
{
    EXPECT_EQ(chosen({{"avx512", 40, 40}, {"avx2", 40, 40}}), "avx512");
    EXPECT_EQ(chosen({{"sse2", 0, 0}, {"scalar", 0, 0}}), "sse2") << "a clock that stands still";
    EXPECT_EQ(chosen({{"scalar", 5, 5}}), "scalar");
    EXPECT_EQ(chosen({{"avx2", 5, 5}}), "avx2");
}

} // namespace
} // namespace llmk
