// SPDX-License-Identifier: MIT
//
// Small helpers over eight floats. In an anonymous namespace: the linker must never merge them with copies compiled for
// another instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace llmk::djiblas::avx2 {

namespace {

constexpr size_t kLanes = 8;

/// Eight ones and eight zeros: kMaskSource + 8 - n starts a mask of n lanes.
constexpr int32_t kMaskSource[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

/// The first n lanes, n in [0, 8]. Masked loads and stores touch no memory outside the mask.
inline __m256i lane_mask(size_t n)
{
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskSource + kLanes - n));
}

/// Asks for the cache line of p[index]. By way of an integer: the address may lie past the end of p's array.
template <class T> inline void prefetch(const T* p, size_t index)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p) + index * sizeof(T);
    _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0);
}

/// The sum of the lanes.
inline float sum_lanes(__m256 v)
{
    const __m128 quarters = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 halves = _mm_add_ps(quarters, _mm_movehl_ps(quarters, quarters));
    return _mm_cvtss_f32(_mm_add_ss(halves, _mm_movehdup_ps(halves)));
}

/// The sums of the lanes of a, b, c and d in each half. (vhaddps is three or four operations.)
inline __m256 sum_halves(__m256 a, __m256 b, __m256 c, __m256 d)
{
    const auto pairs = [](__m256 x, __m256 y) { // x0+x2, x1+x3, y0+y2, y1+y3
        const __m256d turned = _mm256_shuffle_pd(_mm256_castps_pd(x), _mm256_castps_pd(y), 0b0101);
        return _mm256_add_ps(_mm256_blend_ps(x, y, 0b11001100), _mm256_castpd_ps(turned));
    };
    const __m256 ab = pairs(a, b);
    const __m256 cd = pairs(c, d);
    return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(2, 0, 2, 0)),
                         _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 1, 3, 1)));
}

/// The sums of the lanes of a, b, c and d.
inline __m128 sum_lanes(__m256 a, __m256 b, __m256 c, __m256 d)
{
    const __m256 halves = sum_halves(a, b, c, d);
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

/// The sums of the lanes of a to h, each the same as of four.
inline __m256 sum_lanes(__m256 a, __m256 b, __m256 c, __m256 d, __m256 e, __m256 f, __m256 g, __m256 h)
{
    const __m256 low = sum_halves(a, b, c, d);
    const __m256 high = sum_halves(e, f, g, h);
    return _mm256_add_ps(_mm256_blend_ps(low, high, 0b11110000), _mm256_permute2f128_ps(low, high, 0x21));
}

/// e^x, within 2 ulp over the whole range; subnormals, infinities and NaN as libm has them.
inline __m256 exp(__m256 x)
{
    // Beyond these all is 0 or infinity. x is the second operand: that is the one min and max give back for a NaN.
    x = _mm256_max_ps(_mm256_set1_ps(-104.0f), _mm256_min_ps(_mm256_set1_ps(89.0f), x));
    // x = k*ln2 + r with |r| <= ln2/2.
    const __m256i k = _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)));
    const __m256 kf = _mm256_cvtepi32_ps(k);
    __m256 r = _mm256_fnmadd_ps(kf, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(kf, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    // Taylor: the first term left out is r^8/8! < 2^-27.
    __m256 sum = _mm256_set1_ps(1.0f / 5040);
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 720));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 120));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 24));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 6));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(0.5f));
    // 1 + (r + r^2 * sum): the large parts last, so that their rounding is the only one that shows.
    sum = _mm256_add_ps(_mm256_set1_ps(1.0f), _mm256_fmadd_ps(_mm256_mul_ps(r, r), sum, r));
    // 2^k in two factors: k runs from -150 to 128, past both ends of the exponent.
    const __m256i half = _mm256_srai_epi32(k, 1);
    const __m256i rest = _mm256_sub_epi32(k, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 scale1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 scale2 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(sum, scale1), scale2);
}

} // namespace

} // namespace llmk::djiblas::avx2
