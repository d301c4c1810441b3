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
    using Input = const int8_t*;
    static constexpr size_t kTokens = 8;
    static constexpr int kSignedBias = 0;
    static constexpr bool kFloatSums = false;

    static Input input(const int8_t* q, const InputScale&) { return q; }

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

/// Of the first sixteen codes, and of the last.
void sum_pairs(PairSums (&sums)[2], __m256i codes)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e)); // two fours each, then all four, in each half
    pairs = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0xb1));
    const int32_t halves[2] = {_mm256_extract_epi32(pairs, 0), _mm256_extract_epi32(pairs, 4)};
    __builtin_memcpy(sums, halves, sizeof halves);
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
        const __m128i codes_first =
            _mm512_cvtepi32_epi8(round_to_int8(_mm512_maskz_div_ps(keep, first, _mm512_set1_ps(scale))));
        const __m128i codes_last =
            _mm512_cvtepi32_epi8(round_to_int8(_mm512_maskz_div_ps(keep, last, _mm512_set1_ps(scale))));
        const __m256i codes = _mm256_inserti128_si256(_mm256_castsi128_si256(codes_first), codes_last, 1);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + i), codes);
        sum_pairs(scales->pairs, codes);
        const int32_t sum_first = scales->pairs[0].sums[0] + scales->pairs[0].sums[1];
        const int32_t sum_last = scales->pairs[1].sums[0] + scales->pairs[1].sums[1];
        scales->set(scale, sum_first, sum_last);
    }
}

} // namespace llmk::djiblas::avx512
