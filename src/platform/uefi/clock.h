// SPDX-License-Identifier: MIT
//
// The time-stamp counter, its rate by measurement, and the wall clock (which resolves one second).
#pragma once

#include "llmk/platform.h"
#include "platform/uefi/firmware.h"

namespace llmk::uefi {

/// Cycles of this processor's TSC, read after all earlier loads are done.
inline uint64_t read_tsc()
{
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
}

/// Cycles a second. Takes about 50 ms.
uint64_t measure_tsc_frequency(const Firmware& firmware);

Result<WallClock> read_wall_clock(const Firmware& firmware);

} // namespace llmk::uefi
