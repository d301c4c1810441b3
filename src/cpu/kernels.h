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
    uint64_t gemv_ticks = 0;      ///< best of three of a GEMV of kCalibrationRows x kCalibrationCols
    uint64_t attention_ticks = 0; ///< best of three of scores + softmax + sum
};

struct KernelChoice {
    KernelSet gemm;      ///< complete; everything but attention comes from here
    KernelSet attention; ///< complete; attention_scores, attention_sum and softmax come from here
    KernelTiming timings[8];
    size_t timing_count = 0;
    bool forced = false;
};

constexpr size_t kCalibrationRows = 96;
constexpr size_t kCalibrationCols = 288;

/// Runs each usable set once untimed (an emulator translates then), then takes the best of three, and picks the fastest
/// for GEMM and for attention. A few milliseconds. `scratch` holds at least kCalibrationScratchBytes, 64-byte aligned.
KernelChoice calibrate_kernels(Platform& platform, const CpuFeatures& cpu, void* scratch);
constexpr size_t kCalibrationScratchBytes = 256 * 1024;

/// No measurement: this set for everything.
Result<KernelChoice> force_kernels(std::string_view name, const CpuFeatures& cpu);

} // namespace llmk
