// SPDX-License-Identifier: MIT
//
// The program's own stack (in .bss, set up by crt0.S) and the canary at its bottom. There is no guard page, so an
// overflow is seen only afterwards: at the program's end and whenever someone asks.
//
// The canary is as large as a frame may be and more (-Wframe-larger-than in the Makefile): no frame steps over it
// without a trace, and what it takes up is room that an overflow can spoil without harm.
#pragma once

#define LLMK_STACK_BYTES (512 * 1024)
#define LLMK_STACK_CANARY_BYTES (60 * 1024)

#ifndef __ASSEMBLER__

#include <cstdint>

namespace llmk::uefi {

/// Writes the canary at the bottom of a stack. Before anything else runs on it.
void arm_canary(volatile uint64_t* bottom);
/// False once the stack has overflowed.
bool canary_intact(const volatile uint64_t* bottom);

/// The same of the program's own.
void arm_stack_canary();
bool stack_canary_intact();

} // namespace llmk::uefi

#endif
