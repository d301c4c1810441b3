// SPDX-License-Identifier: MIT
//
// The table of kernel sets, and which one runs: by features, by measurement, or by order.
#pragma once

#include "base/status.h"
#include "cpu/features.h"
#include "kernels/djiblas.h"

namespace llmk {

class Platform;

using djiblas::KernelSet;

/// Best first by expectation; calibration decides.
std::span<const KernelSet* const> kernel_sets();

/// The set called `name` made complete: what it leaves out comes from the sets below it in the table, down to scalar.
/// Status::not_found names the known ones; Status::unsupported says which feature the CPU lacks.
Result<KernelSet> complete_kernel_set(std::string_view name, const CpuFeatures& cpu);

/// What calibration saw of one set.
struct KernelTiming {
    const char* name = nullptr;
    bool usable = false;
    uint64_t matmul_ticks = 0;    ///< best of three of GEMV, SGEMM and int8 GEMV of kCalibrationRows x kCalibrationCols
    uint64_t attention_ticks = 0; ///< best of three of four heads over 128 positions in F16
};

struct KernelChoice {
    KernelSet gemm;      ///< complete; everything but attention comes from here
    KernelSet attention; ///< complete; attention_*, pack_* and their dequantize_* come from here
    KernelTiming timings[8];
    size_t timing_count = 0;
    bool forced = false;
};

constexpr size_t kCalibrationRows = 96;
constexpr size_t kCalibrationCols = 288;

/// Runs each usable set once untimed (an emulator translates then), then takes the best of three, and picks the fastest
/// for products and for attention. A set that needs more than baseline x86-64 must be faster than the best of the
/// baseline sets by a quarter: where vectors really are wider it is by far, while an emulator's FMA comes out anywhere
/// around SSE2's speed, depending on its host; under a known emulator (CpuFeatures::emulated) only baseline sets are
/// chosen, the others can be forced. A few milliseconds. `scratch` holds at least kCalibrationScratchBytes,
/// 64-byte aligned.
KernelChoice calibrate_kernels(Platform& platform, const CpuFeatures& cpu, void* scratch);
constexpr size_t kCalibrationScratchBytes = 256 * 1024;

/// No measurement: this set for everything.
Result<KernelChoice> force_kernels(std::string_view name, const CpuFeatures& cpu);

} // namespace llmk
