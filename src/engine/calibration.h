// SPDX-License-Identifier: MIT
//
// Which kernels, and how many processors, a loaded model runs fastest with: measured on some of its own layers, of its
// own shapes and types, in passes of one token and of several. Features alone choose badly (an emulator's FMA), and so
// does a workload of fixed size.
#pragma once

#include "engine/session.h"

namespace llmk {

/// What calibration saw with a number of processors.
struct ProcessorTiming {
    size_t count = 0; ///< 0: no measurement
    uint64_t decode_ticks = 0;
    uint64_t prefill_ticks = 0;
};

/// What calibration saw of memory: passes of one token through the same layers. 0: no measurement.
struct MemoryTiming {
    uint64_t ticks[djiblas::kWeightReadings] = {}; ///< by WeightReading
};

struct Calibration {
    uint64_t layers = 0; ///< that each pass went through; 0: there was no calibration
    size_t batch = 0;    ///< tokens of the passes that count as prefill
    ProcessorTiming processors[8];
    MemoryTiming memory;
};

/// Times each candidate, and leaves the fastest in `kernels`, which must be what the session runs on: some passes of
/// one to a few milliseconds each. Nothing is measured where the context has no room for the passes.
Calibration calibrate_kernels(Platform& platform, Session& session, const ModelDesc& desc, const CpuFeatures& cpu,
                              KernelChoice& kernels);

/// At most so many work from now on, 0: all; rests until the firmware can start them.
void use_processors(Platform& platform, size_t most);

/// Halves the number of processors for as long as that makes passes faster by a twentieth (hand-overs cost more than a
/// small model's work; memory may be busy with fewer), and leaves the best number in use. All must be in use,
/// calibrate_kernels must have run.
void calibrate_processors(Platform& platform, Session& session, Calibration& calibration);

/// Times how the weights are read, of `set`, which must be the one that the session runs on, and leaves the fastest way
/// in set.reading: another than one stream where that saves a thirtieth. Nothing is measured where the context has no
/// room for a token.
void calibrate_memory(Platform& platform, Session& session, const ModelDesc& desc, KernelSet& set,
                      Calibration& calibration);

} // namespace llmk
