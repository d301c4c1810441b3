// SPDX-License-Identifier: MIT
//
// The table of kernel sets, completion from the sets below, and the rules that choose.
#include "cpu/kernels.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr const KernelSet* kSets[] = {&djiblas::kAmxBf16, &djiblas::kAmxInt8, &djiblas::kAvx512Vnni, &djiblas::kAvx512,
                                      &djiblas::kAvxVnni, &djiblas::kAvx2,    &djiblas::kSse2,       &djiblas::kScalar};
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
    {djiblas::kFeatureAmxBf16, "AMX-BF16"},
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
            fill_missing(
                set, *kSets[i], &KernelSet::dot_f32, &KernelSet::gemv_f32, &KernelSet::gemv_f16, &KernelSet::gemv_bf16,
                &KernelSet::gemm_f32, &KernelSet::gemm_f32_exact, &KernelSet::quantize_q8, &KernelSet::gemv_q8,
                &KernelSet::gemm_q8, &KernelSet::attention_f32, &KernelSet::attention_f16, &KernelSet::attention_q8_0,
                &KernelSet::attention_merge, &KernelSet::pack_f16, &KernelSet::pack_q8_0, &KernelSet::softmax,
                &KernelSet::rmsnorm, &KernelSet::layernorm, &KernelSet::swiglu, &KernelSet::gelu_tanh,
                &KernelSet::gelu_erf, &KernelSet::geglu, &KernelSet::softcap, &KernelSet::add, &KernelSet::rope_pairs,
                &KernelSet::rope_halves, &KernelSet::dequantize_f16, &KernelSet::dequantize_bf16,
                &KernelSet::dequantize_q8_0, &KernelSet::dequantize_q4_0, &KernelSet::dequantize_q4_1,
                &KernelSet::dequantize_q5_0, &KernelSet::dequantize_q5_1, &KernelSet::dequantize_q2_k,
                &KernelSet::dequantize_q3_k, &KernelSet::dequantize_q4_k, &KernelSet::dequantize_q5_k,
                &KernelSet::dequantize_q6_k, &KernelSet::dequantize_iq4_nl, &KernelSet::dequantize_iq4_xs,
                &KernelSet::quantize_input, &KernelSet::panels, &KernelSet::gemv_f32_side_by_side,
                &KernelSet::gemv_f16_side_by_side, &KernelSet::gemv_bf16_side_by_side, &KernelSet::panels_side_by_side,
                &KernelSet::gemv_f32_in_places, &KernelSet::gemv_f16_in_places, &KernelSet::gemv_bf16_in_places,
                &KernelSet::panels_in_places, &KernelSet::turned, &KernelSet::gemm_f16, &KernelSet::gemm_bf16);
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

bool is_baseline(const KernelSet& set) { return (set.features & ~djiblas::kFeatureSse2) == 0; }

} // namespace

std::string_view weight_reading_name(WeightReading reading)
{
    constexpr std::string_view kNames[djiblas::kWeightReadings] = {"as one stream", "side by side", "in four places"};
    return kNames[static_cast<size_t>(reading)];
}

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

bool may_choose(const KernelSet& set, const CpuFeatures& cpu)
{
    return is_usable(set, cpu) && (!cpu.emulated || is_baseline(set));
}

KernelChoice expect_kernels(const CpuFeatures& cpu)
{
    KernelChoice choice{};
    for (size_t i = std::size(kSets); i-- > 0;) {
        choice.timings[i] = {.name = kSets[i]->name, .usable = is_usable(*kSets[i], cpu)};
        if (may_choose(*kSets[i], cpu)) {
            choice.gemm = choice.attention = complete(i, cpu);
        }
    }
    return choice;
}

size_t fastest_kernels(std::span<const KernelTiming> timings)
{
    constexpr double kMargin = 0.95;
    uint64_t decode = UINT64_MAX;
    uint64_t prefill = UINT64_MAX;
    for (const KernelTiming& timing : timings) {
        if (timing.timed) {
            decode = std::min(decode, std::max<uint64_t>(timing.decode_ticks, 1));
            prefill = std::min(prefill, std::max<uint64_t>(timing.prefill_ticks, 1));
        }
    }
    const auto score = [&](size_t i) {
        return static_cast<double>(timings[i].decode_ticks) / static_cast<double>(decode) +
               static_cast<double>(timings[i].prefill_ticks) / static_cast<double>(prefill);
    };
    const auto best_of = [&](bool baseline) {
        size_t best = timings.size();
        for (size_t i = 0; i < timings.size(); i++) {
            if (timings[i].timed && is_baseline(*kSets[i]) == baseline &&
                (best == timings.size() || score(i) < score(best))) {
                best = i;
            }
        }
        return best;
    };
    const size_t baseline = best_of(true);
    const size_t wide = best_of(false);
    if (wide == timings.size() || baseline == timings.size()) {
        return std::min(wide, baseline);
    }
    return score(wide) <= score(baseline) * kMargin ? wide : baseline;
}

Result<KernelChoice> force_kernels(std::string_view name, const CpuFeatures& cpu)
{
    const KernelSet set = TRY(complete_kernel_set(name, cpu));
    KernelChoice choice = expect_kernels(cpu);
    choice.gemm = choice.attention = set;
    choice.forced = true;
    return choice;
}

} // namespace llmk
