// SPDX-License-Identifier: MIT
//
// Where the program's functions are, for debuggers and profilers.
#pragma once

#include "efisim.h"

namespace llmk::efisim {

/// Prints gdb's line for `elf` at `base`, and writes /tmp/perf-PID.map, which perf reads.
void announce_symbols(const std::string& elf, uint64_t base);

} // namespace llmk::efisim
