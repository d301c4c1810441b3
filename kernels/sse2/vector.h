// SPDX-License-Identifier: MIT
//
// Small helpers over four floats. In an anonymous namespace: the linker must never merge them with copies compiled for
// another instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <emmintrin.h>

namespace llmk::djiblas::sse2 {

namespace {

constexpr size_t kLanes = 4;

/// The first n floats of p, n in [1, 3], and zeros.
inline __m128 load_tail(const float* p, size_t n)
{
    const __m128 first = _mm_load_ss(p);
    const __m128 second = n > 1 ? _mm_load_ss(p + 1) : _mm_setzero_ps();
    const __m128 third = n > 2 ? _mm_load_ss(p + 2) : _mm_setzero_ps();
    return _mm_movelh_ps(_mm_unpacklo_ps(first, second), third);
}

/// Stores the first n lanes, n in [1, 3].
inline void store_tail(float* p, __m128 v, size_t n)
{
    _mm_store_ss(p, v);
    if (n > 1) {
        _mm_store_ss(p + 1, _mm_shuffle_ps(v, v, _MM_SHUFFLE(1, 1, 1, 1)));
    }
    if (n > 2) {
        _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
    }
}

/// Asks for the cache line of p[index]. By way of an integer: the address may lie past the end of p's array.
template <class T> inline void prefetch(const T* p, size_t index)
{
    const uintptr_t address = reinterpret_cast<uintptr_t>(p) + index * sizeof(T);
    _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T0);
}

/// The sum of the lanes.
inline float sum_lanes(__m128 v)
{
    const __m128 halves = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(halves, _mm_shuffle_ps(halves, halves, _MM_SHUFFLE(1, 1, 1, 1))));
}

/// The sums of the lanes of a, b, c and d.
inline __m128 sum_lanes(__m128 a, __m128 b, __m128 c, __m128 d)
{
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)); // a02 b02 a13 b13
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

/// Four binary16, one in the upper half of each lane with zeros below it, to float; no arithmetic that would be slow
/// for subnormals.
inline __m128 widen_f16(__m128i halves)
{
    const __m128i sign = _mm_and_si128(halves, _mm_set1_epi32(INT32_MIN));
    const __m128i magnitude = _mm_srli_epi32(_mm_and_si128(halves, _mm_set1_epi32(0x7fff0000)), 3);
    // The exponent's bias goes from 15 to 127; that of infinity and NaN, all ones, needs twice as much to be all ones.
    const __m128i rebias = _mm_set1_epi32((127 - 15) << 23);
    const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32((0x1f << 23) - 1));
    const __m128i bits = _mm_add_epi32(_mm_add_epi32(magnitude, rebias), _mm_and_si128(special, rebias));
    // A subnormal, fraction * 2^-24, is now 2^-15 + half of it: twice that less 2^-14, exactly. All else is below twice
    // itself less 2^-14, or equal; then, and for a NaN, min gives back its second operand.
    const __m128 normal = _mm_castsi128_ps(bits);
    const __m128 subnormal = _mm_sub_ps(_mm_add_ps(normal, normal), _mm_set1_ps(0x1p-14f));
    return _mm_or_ps(_mm_castsi128_ps(sign), _mm_min_ps(subnormal, normal));
}

/// e^x, within 2 ulp over the whole range; subnormals, infinities and NaN as libm has them.
inline __m128 exp(__m128 x)
{
    // Beyond these all is 0 or infinity. x is the second operand: that is the one min and max give back for a NaN.
    x = _mm_max_ps(_mm_set1_ps(-104.0f), _mm_min_ps(_mm_set1_ps(89.0f), x));
    // x = k*ln2 + r with |r| <= ln2/2. The high part of ln2 has 15 bits, so that k*high is exact.
    const __m128i k = _mm_cvtps_epi32(_mm_mul_ps(x, _mm_set1_ps(0x1.715476p+0f)));
    const __m128 kf = _mm_cvtepi32_ps(k);
    __m128 r = _mm_sub_ps(x, _mm_mul_ps(kf, _mm_set1_ps(0x1.62e4p-1f)));
    r = _mm_sub_ps(r, _mm_mul_ps(kf, _mm_set1_ps(0x1.7f7d1cp-20f)));
    // Taylor: the first term left out is r^8/8! < 2^-27.
    __m128 sum = _mm_set1_ps(1.0f / 5040);
    sum = _mm_add_ps(_mm_mul_ps(sum, r), _mm_set1_ps(1.0f / 720));
    sum = _mm_add_ps(_mm_mul_ps(sum, r), _mm_set1_ps(1.0f / 120));
    sum = _mm_add_ps(_mm_mul_ps(sum, r), _mm_set1_ps(1.0f / 24));
    sum = _mm_add_ps(_mm_mul_ps(sum, r), _mm_set1_ps(1.0f / 6));
    sum = _mm_add_ps(_mm_mul_ps(sum, r), _mm_set1_ps(0.5f));
    // 1 + (r + r^2 * sum): the large parts last, so that their rounding is the only one that shows.
    sum = _mm_add_ps(_mm_set1_ps(1.0f), _mm_add_ps(r, _mm_mul_ps(_mm_mul_ps(r, r), sum)));
    // 2^k in two factors: k runs from -150 to 128, past both ends of the exponent.
    const __m128i half = _mm_srai_epi32(k, 1);
    const __m128i rest = _mm_sub_epi32(k, half);
    const __m128i bias = _mm_set1_epi32(127);
    const __m128 scale1 = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(half, bias), 23));
    const __m128 scale2 = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(rest, bias), 23));
    return _mm_mul_ps(_mm_mul_ps(sum, scale1), scale2);
}

} // namespace

} // namespace llmk::djiblas::sse2
