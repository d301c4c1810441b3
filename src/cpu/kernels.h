// SPDX-License-Identifier: MIT
//
// The table of kernel sets, and which one runs: by features, by measurement, or by order.
#pragma once

#include "base/status.h"
#include "cpu/features.h"
#include "kernels/djiblas.h"

namespace llmk {

using djiblas::KernelSet;
using djiblas::WeightReading;

/// "as one stream", ...: as it is printed.
std::string_view weight_reading_name(WeightReading reading);

/// Best first by expectation; calibration decides.
std::span<const KernelSet* const> kernel_sets();

/// The set called `name` made complete: what it leaves out comes from the sets below it in the table, down to scalar.
/// Status::not_found names the known ones; Status::unsupported says which feature the CPU lacks.
Result<KernelSet> complete_kernel_set(std::string_view name, const CpuFeatures& cpu);

/// What calibration saw of one set.
struct KernelTiming {
    const char* name = nullptr;
    bool usable = false;
    bool timed = false;         ///< false: not measured, or so slow at the first look that it was left at that
    uint64_t decode_ticks = 0;  ///< of a pass of one token; best of some
    uint64_t prefill_ticks = 0; ///< of a pass of several tokens; best of some
};

struct KernelChoice {
    KernelSet gemm;          ///< complete; everything but attention comes from here
    KernelSet attention;     ///< complete; attention_*, pack_* and their dequantize_* come from here
    KernelTiming timings[8]; ///< of each set, best by expectation first
    bool measured = false;   ///< false: by expectation, or forced
    bool forced = false;
};

/// The choice before anything was measured: the first usable set of the table. Under a known emulator
/// (CpuFeatures::emulated) the first that needs no more than baseline x86-64: there FMA comes out anywhere around
/// SSE2's speed and can be many times slower, depending on the emulator's host.
KernelChoice expect_kernels(const CpuFeatures& cpu);

/// Whether a set is a candidate at all: usable, and under a known emulator a baseline one. The others can be forced.
bool may_choose(const KernelSet& set, const CpuFeatures& cpu);

/// Index of the timed set to use: that with the smallest sum of decode and prefill, each in units of the best. A set
/// that needs more than baseline x86-64 must be better than the baseline's best by a twentieth. Of equals (a clock too
/// coarse to tell) the first counts. At least one must have been timed.
size_t fastest_kernels(std::span<const KernelTiming> timings);

/// No measurement: this set for everything.
Result<KernelChoice> force_kernels(std::string_view name, const CpuFeatures& cpu);

} // namespace llmk
