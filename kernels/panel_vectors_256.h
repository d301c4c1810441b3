// SPDX-License-Identifier: MIT
//
// What sets of 256-bit vectors have in common of the `Isa` that kernels/panel_types.h asks for. A set's panels.cpp
// defines LLMK_KERNEL_SET before it includes this file.
#pragma once

#include "kernels/djiblas.h"

#include <immintrin.h>

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

struct Vectors256 {
    using Words [[gnu::vector_size(32)]] = uint32_t;
    using Ints [[gnu::vector_size(32)]] = int32_t;
    using Floats [[gnu::vector_size(32)]] = float;
    using Input = const int8_t*;
    static constexpr size_t kTokens = 4;
    static constexpr size_t kUnpackTokens = 32;
    static constexpr bool kFloatSums = false;

    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats halves(const uint8_t* p)
    {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Words lookup(Words w)
    {
        const __m256i table =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values)));
        return reinterpret_cast<Words>(_mm256_shuffle_epi8(table, reinterpret_cast<__m256i>(w)));
    }
    static Input input(const int8_t* q, const InputScale&) { return q; }
    /// Four values of the input in each lane.
    static Words four(const int8_t* q)
    {
        uint32_t values;
        __builtin_memcpy(&values, q, sizeof values);
        return Words{} + values;
    }
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
