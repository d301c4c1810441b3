// SPDX-License-Identifier: MIT
#include "platform/uefi/stack.h"

#include <cstddef>
#include <cstdint>

extern "C" {
// Defined in crt0.S.
extern volatile uint64_t llmk_stack_bottom[LLMK_STACK_BYTES / sizeof(uint64_t)];
}

namespace llmk::uefi {
namespace {

constexpr size_t kCanaryWords = LLMK_STACK_CANARY_BYTES / sizeof(uint64_t);

// Different in every word, so that a block of one repeated value cannot pass for it.
constexpr uint64_t canary_word(size_t i) { return 0x9e3779b97f4a7c15u * (i + 1); }

} // namespace

void arm_canary(volatile uint64_t* bottom)
{
    for (size_t i = 0; i < kCanaryWords; ++i) {
        bottom[i] = canary_word(i);
    }
}

bool canary_intact(const volatile uint64_t* bottom)
{
    for (size_t i = 0; i < kCanaryWords; ++i) {
        if (bottom[i] != canary_word(i)) {
            return false;
        }
    }
    return true;
}

void arm_stack_canary() { arm_canary(llmk_stack_bottom); }

bool stack_canary_intact() { return canary_intact(llmk_stack_bottom); }

} // namespace llmk::uefi
