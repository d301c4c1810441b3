// SPDX-License-Identifier: MIT
//
// The packed tensor types for the checks that go through all of them: name, kernel, block.
#pragma once

#include "check.h"

namespace llmk::check {

struct PackedType {
    const char* name; ///< as in `dequantize_NAME` and tests/golden/data/quants
    djiblas::Dequantize KernelSet::*dequantize;
    djiblas::BlockShape block;
};

constexpr PackedType kPackedTypes[] = {
    {"f16", &KernelSet::dequantize_f16, djiblas::kBlockF16},
    {"bf16", &KernelSet::dequantize_bf16, djiblas::kBlockBf16},
    {"q8_0", &KernelSet::dequantize_q8_0, djiblas::kBlockQ80},
    {"q4_0", &KernelSet::dequantize_q4_0, djiblas::kBlockQ40},
    {"q4_1", &KernelSet::dequantize_q4_1, djiblas::kBlockQ41},
    {"q5_0", &KernelSet::dequantize_q5_0, djiblas::kBlockQ50},
    {"q5_1", &KernelSet::dequantize_q5_1, djiblas::kBlockQ51},
    {"q2_k", &KernelSet::dequantize_q2_k, djiblas::kBlockQ2K},
    {"q3_k", &KernelSet::dequantize_q3_k, djiblas::kBlockQ3K},
    {"q4_k", &KernelSet::dequantize_q4_k, djiblas::kBlockQ4K},
    {"q5_k", &KernelSet::dequantize_q5_k, djiblas::kBlockQ5K},
    {"q6_k", &KernelSet::dequantize_q6_k, djiblas::kBlockQ6K},
    {"iq4_nl", &KernelSet::dequantize_iq4_nl, djiblas::kBlockIq4Nl},
    {"iq4_xs", &KernelSet::dequantize_iq4_xs, djiblas::kBlockIq4Xs},
};

inline uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }

} // namespace llmk::check
