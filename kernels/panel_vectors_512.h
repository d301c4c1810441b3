// SPDX-License-Identifier: MIT
//
// What the sets of 512-bit vectors have in common of the `Isa` that kernels/panel_types.h asks for. In an anonymous
// namespace: the linker must never merge it with copies compiled for another instruction set.
#pragma once

#include "kernels/djiblas.h"

#include <immintrin.h>

namespace llmk::djiblas {

namespace {

struct Vectors512 {
    using Words [[gnu::vector_size(64)]] = uint32_t;
    using Ints [[gnu::vector_size(64)]] = int32_t;
    using Floats [[gnu::vector_size(64)]] = float;
    static constexpr size_t kUnpackTokens = 32;
    static constexpr size_t kTileParts = 1;
    static constexpr size_t kWordParts = 0;
    static constexpr bool kScaledPairs = false;

    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats halves(const uint8_t* p)
    {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Words lookup(Words w)
    {
        const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values)));
        return reinterpret_cast<Words>(_mm512_shuffle_epi8(table, reinterpret_cast<__m512i>(w)));
    }
    /// Four values of the input in each lane.
    static Words broadcast(const int8_t* q)
    {
        int32_t four;
        __builtin_memcpy(&four, q, sizeof four);
        return reinterpret_cast<Words>(_mm512_set1_epi32(four));
    }
};

#ifdef __AVX512VNNI__

/// Of sets whose products want codes without a sign: signed ones get 128 added.
struct UnsignedCodes512 : Vectors512 {
    struct Input {
        const int8_t* q;
        const InputScale* scale;
    };
    static constexpr int kSignedBias = 128;
    static constexpr bool kFloatSums = true;

    static Input input(const int8_t* q, const InputScale& scale) { return {q, &scale}; }

    static Words signed_codes(Words w) { return w ^ 0x80808080u; }
    /// sum + in each lane the products of two 16-bit numbers with two others.
    static Ints add_products(Ints sum, Words a, Words b)
    {
        return reinterpret_cast<Ints>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a),
                                                          reinterpret_cast<__m512i>(b)));
    }
};

#endif

} // namespace

} // namespace llmk::djiblas
