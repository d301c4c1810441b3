// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way. Rows are read one after the other, so
// that a matrix is one stream.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

/// Weights converted at a time: two registers of them.
constexpr size_t kWeights = 16;
/// Bytes ahead of the loads that memory is asked for.
constexpr size_t kPrefetchBytes = 8192;

struct Floats {
    __m128 parts[4];
};

/// Eight halves, each in the upper half of a lane, zeros below.
inline __m128i raise_first(__m128i halves) { return _mm_unpacklo_epi16(_mm_setzero_si128(), halves); }
inline __m128i raise_last(__m128i halves) { return _mm_unpackhi_epi16(_mm_setzero_si128(), halves); }

struct F16 {
    /// Neither subnormal, zero, infinite nor NaN. Sign and magnitude move to a float's places at once: the shift
    /// repeats the sign, and the mask leaves one of its copies.
    static __m128 normal(__m128i upper)
    {
        const __m128i moved = _mm_and_si128(_mm_srai_epi32(upper, 3), _mm_set1_epi32(static_cast<int>(0x8fffffffu)));
        return _mm_castsi128_ps(_mm_add_epi32(moved, _mm_set1_epi32((127 - 15) << 23)));
    }

    /// Any value. A subnormal comes out of normal() as 2^-15 * (1 + fraction): twice that less 2^-14 is what it should
    /// be, and exact. Infinity and NaN want the exponent's bias once more.
    static __m128 any(__m128i upper)
    {
        const __m128i sign = _mm_and_si128(upper, _mm_set1_epi32(static_cast<int>(0x80000000u)));
        const __m128i exponent = _mm_and_si128(upper, _mm_set1_epi32(0x7c000000));
        const __m128 value = normal(upper);
        const __m128 low = _mm_castsi128_ps(_mm_cmpeq_epi32(exponent, _mm_setzero_si128()));
        const __m128i high = _mm_cmpeq_epi32(exponent, _mm_set1_epi32(0x7c000000));
        const __m128 least = _mm_or_ps(_mm_castsi128_ps(sign), _mm_set1_ps(0x1p-14f));
        const __m128 subnormal = _mm_sub_ps(_mm_add_ps(value, value), least);
        const __m128i rebias = _mm_and_si128(high, _mm_set1_epi32((127 - 15) << 23));
        const __m128 rest = _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(value), rebias));
        return _mm_or_ps(_mm_and_ps(low, subnormal), _mm_andnot_ps(low, rest));
    }

    /// All ones where normal() would be wrong: the exponent's bits are all zeros or all ones, and one more clears the
    /// upper four of them.
    static __m128i special(__m128i halves)
    {
        const __m128i next = _mm_add_epi16(halves, _mm_set1_epi16(0x0400));
        return _mm_cmpeq_epi16(_mm_and_si128(next, _mm_set1_epi16(0x7800)), _mm_setzero_si128());
    }

    static Floats widen(__m128i a, __m128i b)
    {
        // Few weights are that small, and none that large: about one time in thirty the long way is taken.
        if (_mm_movemask_epi8(_mm_or_si128(special(a), special(b))) != 0) [[unlikely]] {
            return {{any(raise_first(a)), any(raise_last(a)), any(raise_first(b)), any(raise_last(b))}};
        }
        return {{normal(raise_first(a)), normal(raise_last(a)), normal(raise_first(b)), normal(raise_last(b))}};
    }
};

struct Bf16 {
    static Floats widen(__m128i a, __m128i b)
    {
        return {{_mm_castsi128_ps(raise_first(a)), _mm_castsi128_ps(raise_last(a)), _mm_castsi128_ps(raise_first(b)),
                 _mm_castsi128_ps(raise_last(b))}};
    }
};

template <class Type> inline void multiply_add(__m128 (&sums)[4], const uint8_t* w, const float* x)
{
    const auto* halves = reinterpret_cast<const __m128i*>(w);
    const Floats weights = Type::widen(_mm_loadu_si128(halves), _mm_loadu_si128(halves + 1));
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        sums[i] = _mm_add_ps(sums[i], _mm_mul_ps(weights.parts[i], _mm_loadu_ps(x + i * kLanes)));
    }
}

template <class Type> float row_dot(const uint8_t* w, const float* x, size_t n)
{
    __m128 sums[4] = {_mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps()};
    size_t c = 0;
    for (; c + 2 * kWeights <= n; c += 2 * kWeights) { // a cache line
        prefetch(w, 2 * c + kPrefetchBytes);
        multiply_add<Type>(sums, w + 2 * c, x + c);
        multiply_add<Type>(sums, w + 2 * (c + kWeights), x + c + kWeights);
    }
    for (; c < n; c += kWeights) {
        const size_t left = n - c < kWeights ? n - c : kWeights;
        uint16_t weights[kWeights] = {};
        float inputs[kWeights] = {};
        for (size_t i = 0; i < left; i++) {
            __builtin_memcpy(weights + i, w + 2 * (c + i), sizeof(uint16_t));
            inputs[i] = x[c + i];
        }
        multiply_add<Type>(sums, reinterpret_cast<const uint8_t*>(weights), inputs);
    }
    return sum_lanes(_mm_add_ps(_mm_add_ps(sums[0], sums[1]), _mm_add_ps(sums[2], sums[3])));
}

template <class Type> void gemv(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        y[r] = row_dot<Type>(w + 2 * r * cols, x, cols);
    }
}

} // namespace

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols) { gemv<F16>(y, w, x, rows, cols); }

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16>(y, w, x, rows, cols);
}

} // namespace llmk::djiblas::sse2
