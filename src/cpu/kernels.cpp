// SPDX-License-Identifier: MIT
//
// The table of kernel sets, completion from the sets below, and the measurement that chooses. Features alone choose
// badly: under an emulator FMA can be many times slower than a multiplication and an addition.
#include "cpu/kernels.h"

#include "llmk/platform.h"

namespace llmk {

namespace {

constexpr const KernelSet* kSets[] = {&djiblas::kAmxInt8, &djiblas::kAvx512Vnni, &djiblas::kAvx512, &djiblas::kAvxVnni,
                                      &djiblas::kAvx2,    &djiblas::kSse2,       &djiblas::kScalar};
static_assert(std::size(kSets) <= std::size(KernelChoice{}.timings));

struct FeatureName {
    uint32_t bit;
    std::string_view name;
};
constexpr FeatureName kFeatureNames[] = {
    {djiblas::kFeatureSse2, "SSE2"},
    {djiblas::kFeatureAvx2, "AVX2"},
    {djiblas::kFeatureFma, "FMA"},
    {djiblas::kFeatureF16c, "F16C"},
    {djiblas::kFeatureAvx512, "AVX-512 (F, BW, DQ, VL)"},
    {djiblas::kFeatureAvx512Vnni, "AVX512-VNNI"},
    {djiblas::kFeatureAvxVnni, "AVX-VNNI"},
    {djiblas::kFeatureAmxInt8, "AMX-INT8"},
};

bool is_usable(const KernelSet& set, const CpuFeatures& cpu) { return (set.features & ~cpu.mask) == 0; }

template <class... Members> void fill_missing(KernelSet& set, const KernelSet& below, Members... members)
{
    ((set.*members = set.*members ? set.*members : below.*members), ...);
}

/// Each kernel that kSets[index] leaves out comes from the next usable set below that has it.
KernelSet complete(size_t index, const CpuFeatures& cpu)
{
    KernelSet set = *kSets[index];
    for (size_t i = index + 1; i < std::size(kSets); i++) {
        if (is_usable(*kSets[i], cpu)) {
            if (set.gemv_f32 == nullptr) { // it sums in the order of its set's gemv_f32
                set.gemm_f32_exact = kSets[i]->gemm_f32_exact;
            }
            fill_missing(set, *kSets[i], &KernelSet::dot_f32, &KernelSet::gemv_f32, &KernelSet::gemv_f16,
                         &KernelSet::gemv_bf16, &KernelSet::gemm_f32, &KernelSet::quantize_q8, &KernelSet::gemv_q8,
                         &KernelSet::gemm_q8, &KernelSet::attention_f32, &KernelSet::attention_f16,
                         &KernelSet::attention_q8_0, &KernelSet::attention_merge, &KernelSet::pack_f16,
                         &KernelSet::pack_q8_0, &KernelSet::softmax, &KernelSet::rmsnorm, &KernelSet::layernorm,
                         &KernelSet::swiglu, &KernelSet::gelu_tanh, &KernelSet::gelu_erf, &KernelSet::geglu,
                         &KernelSet::softcap, &KernelSet::add, &KernelSet::rope_pairs, &KernelSet::rope_halves,
                         &KernelSet::dequantize_f16, &KernelSet::dequantize_bf16, &KernelSet::dequantize_q8_0,
                         &KernelSet::dequantize_q4_0, &KernelSet::dequantize_q4_1, &KernelSet::dequantize_q5_0,
                         &KernelSet::dequantize_q5_1, &KernelSet::dequantize_q2_k, &KernelSet::dequantize_q3_k,
                         &KernelSet::dequantize_q4_k, &KernelSet::dequantize_q5_k, &KernelSet::dequantize_q6_k,
                         &KernelSet::dequantize_iq4_nl, &KernelSet::dequantize_iq4_xs, &KernelSet::quantize_input,
                         &KernelSet::panels);
        }
    }
    return set;
}

Error unknown_set(std::string_view name)
{
    Text<96> known;
    for (const KernelSet* set : kSets) {
        format(known, known.size() == 0 ? "{}" : ", {}", set->name);
    }
    return fail(Status::not_found, "there is no kernel set \"{}\"; choose one of: {}", name, known);
}

Error unusable_set(const KernelSet& set, const CpuFeatures& cpu)
{
    Text<96> missing;
    for (const FeatureName& feature : kFeatureNames) {
        if ((set.features & ~cpu.mask & feature.bit) != 0) {
            format(missing, missing.size() == 0 ? "{}" : " and {}", feature.name);
        }
    }
    return fail(Status::unsupported, "kernel set \"{}\" needs {}, which this CPU lacks or its firmware keeps off",
                set.name, missing);
}

// --- calibration ----------------------------------------------------------------------------------------------------

constexpr size_t kPositions = 128;
constexpr size_t kHeadDim = 64;
constexpr size_t kHeads = 4; // that share a head of keys and values
constexpr size_t kBatch = 4;
constexpr size_t kPromptBatch = 16; // a set may do such with other instructions than smaller ones
constexpr size_t kPromptPanels = 2;
constexpr size_t kGroup = 32;
constexpr int kTimedRuns = 3;

/// The workload, carved from the caller's scratch. Every block is a multiple of 64 bytes.
struct Workload {
    float* weights;                   // (kCalibrationRows, kCalibrationCols)
    float* x;                         // (kPromptBatch, kCalibrationCols)
    float* y;                         // (kPromptBatch, kCalibrationRows)
    float* scales;                    // (kCalibrationRows, kCalibrationCols / kGroup)
    uint8_t* keys;                    // (kPositions, kHeadDim), binary16
    uint8_t* values;                  // (kPositions, kHeadDim), binary16
    float* query;                     // (kHeads, kHeadDim)
    float* out;                       // (kHeads, kHeadDim)
    int8_t* codes;                    // (kPromptBatch, kCalibrationCols)
    djiblas::InputScale* code_scales; // (kPromptBatch, kCalibrationCols / kInputBlock)
};

constexpr size_t kInputs = kPromptBatch * kCalibrationCols;
constexpr size_t kOutputs = kPromptBatch * kCalibrationRows;
constexpr size_t kCodeFloats = kInputs / sizeof(float);
constexpr size_t kCodeScaleFloats = kInputs / djiblas::kInputBlock * (sizeof(djiblas::InputScale) / sizeof(float));
constexpr size_t kScales = kCalibrationRows * kCalibrationCols / kGroup;
constexpr size_t kWorkloadFloats = kCalibrationRows * kCalibrationCols + kInputs + kOutputs + kScales +
                                   2 * kPositions * kHeadDim + 2 * kHeads * kHeadDim + kCodeFloats + kCodeScaleFloats;
static_assert(kWorkloadFloats * sizeof(float) <= kCalibrationScratchBytes);

Workload lay_out(void* scratch)
{
    auto* next = static_cast<float*>(scratch);
    // Values as weights have them: zeros and subnormals would be timed wrongly.
    uint32_t state = 1;
    for (size_t i = 0; i < kWorkloadFloats; i++) {
        state = state * 1664525u + 1013904223u; // Numerical Recipes' generator
        next[i] = static_cast<float>(state >> 8 | 1u) * 0x1p-24f - 0.5f;
    }
    const auto take = [&next](size_t count) {
        float* block = next;
        next += count;
        return block;
    };
    Workload work;
    work.weights = take(kCalibrationRows * kCalibrationCols);
    work.x = take(kInputs);
    work.y = take(kOutputs);
    work.scales = take(kScales);
    // Packed in place: what is written lies before what is still to be read.
    const auto take_packed = [&take] {
        float* block = take(kPositions * kHeadDim);
        auto* packed = reinterpret_cast<uint8_t*>(block);
        djiblas::kScalar.pack_f16(packed, block, kPositions * kHeadDim);
        return packed;
    };
    work.keys = take_packed();
    work.values = take_packed();
    work.query = take(kHeads * kHeadDim);
    work.out = take(kHeads * kHeadDim);
    work.codes = reinterpret_cast<int8_t*>(take(kCodeFloats));
    work.code_scales = reinterpret_cast<djiblas::InputScale*>(take(kCodeScaleFloats));
    return work;
}

/// Decode and prefill, of float, int8 and panels: about as many multiply-adds each, and five times as many of prefill
/// with panels, which shows what a set's widest instructions give beside what it takes to begin with them.
void run_matmul(const KernelSet& set, const Workload& work)
{
    set.gemv_f32(work.y, work.weights, work.x, kCalibrationRows, kCalibrationCols);
    set.gemm_f32(work.y, kCalibrationRows, work.weights, work.x, kCalibrationCols, kCalibrationRows / kBatch,
                 kCalibrationCols, kBatch);
    // Any bytes are int8 values: the float weights and inputs serve once more.
    set.gemv_q8(work.y, reinterpret_cast<const int8_t*>(work.weights), work.scales,
                reinterpret_cast<const int8_t*>(work.x), work.scales, kCalibrationRows, kCalibrationCols, kGroup);
    set.quantize_input(work.codes, work.code_scales, work.x, kInputs);
    const auto product = [&](djiblas::PanelType type, size_t panels, size_t batch) {
        set.panels->product[static_cast<size_t>(type)](work.y, kCalibrationRows,
                                                       reinterpret_cast<const uint8_t*>(work.weights), panels,
                                                       {work.codes, work.code_scales, batch, kCalibrationCols});
    };
    constexpr size_t kPanels = kCalibrationRows / djiblas::kPanelRows;
    product(djiblas::PanelType::q8_0, kPanels, 1);
    product(djiblas::PanelType::q4_0, kPanels, 1);
    product(djiblas::PanelType::q4_0, kPromptPanels, kPromptBatch);
}

void run_attention(const KernelSet& set, const Workload& work)
{
    const djiblas::AttentionTask task = {.query = work.query,
                                         .out = work.out,
                                         .stride = kHeads * kHeadDim,
                                         .count = 1,
                                         .heads = kHeads,
                                         .head_dim = kHeadDim,
                                         .keys = work.keys,
                                         .values = work.values,
                                         .position = kPositions - 1,
                                         .window = kPositions,
                                         .begin = 0,
                                         .end = kPositions,
                                         .divisor = 8.0f,
                                         .softcap = 0.0f};
    set.attention_f16(task);
}

uint64_t best_ticks(Platform& platform, const KernelSet& set, const Workload& work,
                    void (*run)(const KernelSet&, const Workload&))
{
    run(set, work);
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < kTimedRuns; i++) {
        const uint64_t start = platform.ticks();
        run(set, work);
        const uint64_t ticks = platform.ticks() - start;
        best = ticks < best ? ticks : best;
    }
    return best;
}

bool is_baseline(const KernelSet& set) { return (set.features & ~djiblas::kFeatureSse2) == 0; }

/// Index of the set to use. Of equals (a clock too coarse to tell) the first counts, which is the best by expectation.
/// An emulator's wide set is not taken at all: there a quarter is within what one interruption can do to a measurement.
size_t fastest(const KernelChoice& choice, uint64_t KernelTiming::*ticks, bool emulated)
{
    const auto best_of = [&](bool baseline) {
        size_t best = std::size(kSets);
        for (size_t i = 0; i < choice.timing_count; i++) {
            const bool counts = choice.timings[i].usable && is_baseline(*kSets[i]) == baseline;
            if (counts && (best == std::size(kSets) || choice.timings[i].*ticks < choice.timings[best].*ticks)) {
                best = i;
            }
        }
        return best;
    };
    const size_t baseline = best_of(true);
    const size_t wide = best_of(false);
    const bool wide_wins =
        !emulated && wide < std::size(kSets) && choice.timings[wide].*ticks * 5 <= choice.timings[baseline].*ticks * 4;
    return wide_wins ? wide : baseline;
}

} // namespace

std::span<const KernelSet* const> kernel_sets() { return kSets; }

Result<KernelSet> complete_kernel_set(std::string_view name, const CpuFeatures& cpu)
{
    for (size_t i = 0; i < std::size(kSets); i++) {
        if (equal_ignore_case(name, kSets[i]->name)) {
            if (!is_usable(*kSets[i], cpu)) {
                return unusable_set(*kSets[i], cpu);
            }
            return complete(i, cpu);
        }
    }
    return unknown_set(name);
}

KernelChoice calibrate_kernels(Platform& platform, const CpuFeatures& cpu, void* scratch)
{
    const Workload work = lay_out(scratch);
    KernelChoice choice{};
    for (size_t i = 0; i < std::size(kSets); i++) {
        KernelTiming& timing = choice.timings[choice.timing_count++];
        timing.name = kSets[i]->name;
        timing.usable = is_usable(*kSets[i], cpu);
        if (!timing.usable) {
            continue;
        }
        const KernelSet set = complete(i, cpu);
        timing.matmul_ticks = best_ticks(platform, set, work, run_matmul);
        timing.attention_ticks = best_ticks(platform, set, work, run_attention);
    }
    choice.gemm = complete(fastest(choice, &KernelTiming::matmul_ticks, cpu.emulated), cpu);
    choice.attention = complete(fastest(choice, &KernelTiming::attention_ticks, cpu.emulated), cpu);
    return choice;
}

Result<KernelChoice> force_kernels(std::string_view name, const CpuFeatures& cpu)
{
    const KernelSet set = TRY(complete_kernel_set(name, cpu));
    KernelChoice choice{};
    choice.gemm = set;
    choice.attention = set;
    choice.forced = true;
    return choice;
}

} // namespace llmk
