// SPDX-License-Identifier: MIT
//
// Small helpers over sixteen floats. In an anonymous namespace: the linker must never merge them with copies compiled
// for another instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace llmk::djiblas::avx512 {

namespace {

constexpr size_t kLanes = 16;

/// The first n lanes; all of them from n = 16 on. Masked loads and stores touch no memory outside the mask.
inline __mmask16 lane_mask(size_t n) { return static_cast<__mmask16>(n < kLanes ? (1u << n) - 1 : 0xffffu); }

/// Asks for the cache line of p[index]. By way of an integer: the address may lie past the end of p's array.
template <class T> inline void prefetch(const T* p, size_t index)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p) + index * sizeof(T);
    _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0);
}

/// The sum of the lanes.
inline float sum_lanes(__m512 v)
{
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 quarters = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    const __m128 pairs = _mm_add_ps(quarters, _mm_movehl_ps(quarters, quarters));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)));
}

/// The sums of the lanes of a, b, c and d.
inline __m128 sum_lanes(__m512 a, __m512 b, __m512 c, __m512 d)
{
    // In each quarter of the register: a b a b, c d c d, then a b c d.
    const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    const __m512 quarters =
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps(quarters, 1));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

/// e^x, within 2 ulp over the whole range; subnormals, infinities and NaN as libm has them.
inline __m512 exp(__m512 x)
{
    // Beyond these all is 0 or infinity. x is the second operand: that is the one min and max give back for a NaN.
    x = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(89.0f), x));
    // x = k*ln2 + r with |r| <= ln2/2.
    const __m512 k = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    // Taylor: the first term left out is r^8/8! < 2^-27.
    __m512 sum = _mm512_set1_ps(1.0f / 5040);
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 720));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 120));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 24));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(1.0f / 6));
    sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(0.5f));
    // 1 + (r + r^2 * sum): the large parts last, so that their rounding is the only one that shows.
    sum = _mm512_add_ps(_mm512_set1_ps(1.0f), _mm512_fmadd_ps(_mm512_mul_ps(r, r), sum, r));
    return _mm512_scalef_ps(sum, k); // * 2^k, past both ends of the exponent too
}

} // namespace

} // namespace llmk::djiblas::avx512
