// SPDX-License-Identifier: MIT
//
// Products with panels by VPMADDUBSW on 512 bits: as AVX2's (kernels/avx2/panels.cpp), with more rows of input a tile.
#include "kernels/avx512/avx512.h"
#include "kernels/panel_vectors_512.h"

#include <immintrin.h>

#define LLMK_KERNEL_SET avx512

namespace llmk::djiblas::avx512 {

namespace {

struct Isa : Vectors512 {
    static constexpr size_t kTokens = 8;
    static constexpr int kSignedBias = 0;

    static Words signed_codes(Words w) { return w; }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input q)
    {
        const __m512i ones = _mm512_set1_epi16(1);
        // Sums of pairs that fit in 16 bits before they are widened; signed codes reach 128 * 127 * 2 at once.
        constexpr size_t kSafe = kMax < 0 ? 1 : 32767 / (kMax * 127 * 2);
        __m512i sum = _mm512_setzero_si512();
        __m512i pairs = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            auto x = reinterpret_cast<__m512i>(broadcast(q + 4 * (kFirst + i)));
            __m512i w = reinterpret_cast<__m512i>(codes[kFirst + i]);
            if constexpr (kMax < 0) { // the sign goes to the input
                x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
                w = _mm512_abs_epi8(w);
            }
            const __m512i products = _mm512_maddubs_epi16(w, x);
            pairs = i % kSafe == 0 ? products : _mm512_add_epi16(pairs, products);
            if (i % kSafe == kSafe - 1 || i + 1 == kQuads) {
                const __m512i wide = _mm512_madd_epi16(pairs, ones);
                sum = i < kSafe ? wide : _mm512_add_epi32(sum, wide);
            }
        }
        return reinterpret_cast<Ints>(sum);
    }
};

} // namespace

} // namespace llmk::djiblas::avx512

#include "kernels/panel_products.h"

namespace llmk::djiblas::avx512 {

constinit const PanelKernels kPanels = kPanelProducts<>;
constinit const PanelKernels kFarPanels = kPanelProducts<FarLoops>;

namespace {

/// Half away from zero, and into [-127, 127]: what a subnormal scale puts out of range. A NaN becomes 0.
__m512i round_to_int8(__m512 v)
{
    const __m512 limit = _mm512_set1_ps(127.0f);
    v = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), limit), _mm512_min_ps(limit, v)); // a NaN stays one
    const __mmask16 number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
    const __m512 whole = _mm512_maskz_roundscale_ps(number, v, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __m512 rest = _mm512_abs_ps(_mm512_sub_ps(v, whole)); // exact
    const __mmask16 away = _mm512_mask_cmp_ps_mask(number, rest, _mm512_set1_ps(0.5f), _CMP_GE_OQ);
    const __m512i rounded = _mm512_cvttps_epi32(whole);
    // 1 or -1, as the sign of v.
    const __m512i one = _mm512_or_si512(_mm512_srai_epi32(_mm512_castps_si512(v), 31), _mm512_set1_epi32(1));
    return _mm512_mask_add_epi32(rounded, away, rounded, one);
}

/// Of sixteen codes that add up to `sum`.
PairSums pairs_of(__m512i codes, int32_t sum)
{
    constexpr __mmask16 kFirstTwoOfFour = 0x3333;
    const int32_t first = _mm512_mask_reduce_add_epi32(kFirstTwoOfFour, codes);
    return {{static_cast<int16_t>(first), static_cast<int16_t>(sum - first)}};
}

} // namespace

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (size_t i = 0; i < n; i += kInputBlock, scales++) {
        const __m512 first = _mm512_loadu_ps(x + i);
        const __m512 last = _mm512_loadu_ps(x + i + kInputBlock / 2);
        // Magnitudes compare as their bit patterns do, and every NaN is above infinity.
        const __m512i largest = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                                                 _mm512_and_si512(_mm512_castps_si512(last), magnitude));
        const float scale = __builtin_bit_cast(float, _mm512_reduce_max_epu32(largest)) / 127.0f;
        // Dividing by zero gives NaN or infinity; the mask makes both zero.
        const __mmask16 keep = scale == 0.0f ? 0 : 0xffff;
        const __m512i codes_first = round_to_int8(_mm512_maskz_div_ps(keep, first, _mm512_set1_ps(scale)));
        const __m512i codes_last = round_to_int8(_mm512_maskz_div_ps(keep, last, _mm512_set1_ps(scale)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtepi32_epi8(codes_first));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i + kInputBlock / 2), _mm512_cvtepi32_epi8(codes_last));
        const int32_t sum_first = _mm512_reduce_add_epi32(codes_first);
        const int32_t sum_last = _mm512_reduce_add_epi32(codes_last);
        *scales = {scale,
                   {scale * static_cast<float>(sum_first), scale * static_cast<float>(sum_last),
                    scale * static_cast<float>(sum_first + sum_last)},
                   {pairs_of(codes_first, sum_first), pairs_of(codes_last, sum_last)}};
    }
}

} // namespace llmk::djiblas::avx512
