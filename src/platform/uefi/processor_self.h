// SPDX-License-Identifier: MIT
//
// What a processor does for itself and finds out about itself: called on each by our code, with no firmware behind it.
#pragma once

#include "llmk/platform.h"

namespace llmk::uefi {

/// The state that a processor needs before our code runs on it; the firmware's INIT has taken it away.
void prepare_processor();

/// The first thread of its core, or the only one.
bool is_first_thread();
bool has_monitor();

/// Place and kind, by CPUID.
void read_place(ProcessorState& state);

/// The clock since `begin()`, by APERF and MPERF, and the temperature now. Both are model-specific registers, which
/// fault where they are not: read only when CPUID.6 tells of them, and never under a hypervisor, which may tell of them
/// and not have them.
class ProcessorMeter {
public:
    void begin();
    /// `ticks_per_second` is the TSC's, whose rate MPERF counts at.
    void end(uint64_t ticks_per_second, ProcessorState& state) const;

private:
    uint64_t m_actual = 0;  ///< APERF
    uint64_t m_maximum = 0; ///< MPERF
};

} // namespace llmk::uefi
