// SPDX-License-Identifier: MIT
//
// What a freestanding C++ program needs behind it: panic, and the few functions that compiled code and the standard
// headers call. (The memory functions are in memory_functions.cpp.)
#pragma once

#include "platform/uefi/firmware.h"

namespace llmk::uefi {

/// Tells panic where to print. Until then it can only stop.
void runtime_start(const Firmware& firmware);

/// Prints the words on whatever console there is, as they are: ASCII only.
void print_plain(const char* text);

/// Rests for ever: the message before it is the last thing this machine does for us.
[[noreturn]] void halt();

} // namespace llmk::uefi
