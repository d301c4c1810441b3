// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way. Rows are read one after the other, so
// that a matrix is one stream.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

/// Weights converted at a time: a register of them.
constexpr size_t kWeights = 8;
/// Bytes ahead of the loads that memory is asked for.
constexpr size_t kPrefetchBytes = 4096;

struct Floats {
    __m128 first;
    __m128 last;
};

struct F16 {
    /// Each half's bits lie in the upper half of a lane, zeros below. Sign and magnitude move to a float's places at
    /// once: the shift repeats the sign, and the mask leaves one of its copies.
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

    static Floats widen(__m128i halves)
    {
        const __m128i first = _mm_unpacklo_epi16(_mm_setzero_si128(), halves);
        const __m128i last = _mm_unpackhi_epi16(_mm_setzero_si128(), halves);
        // Few weights are that small, and none that large: about one register in fifty takes the long way.
        const __m128i exponents = _mm_and_si128(halves, _mm_set1_epi16(0x7c00));
        const __m128i special = _mm_or_si128(_mm_cmpeq_epi16(exponents, _mm_setzero_si128()),
                                             _mm_cmpeq_epi16(exponents, _mm_set1_epi16(0x7c00)));
        if (_mm_movemask_epi8(special) != 0) [[unlikely]] {
            return {any(first), any(last)};
        }
        return {normal(first), normal(last)};
    }
};

struct Bf16 {
    static Floats widen(__m128i halves)
    {
        return {_mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves)),
                _mm_castsi128_ps(_mm_unpackhi_epi16(_mm_setzero_si128(), halves))};
    }
};

template <class Type> float row_dot(const uint8_t* w, const float* x, size_t n)
{
    __m128 sums[4] = {_mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps(), _mm_setzero_ps()};
    size_t c = 0;
    const auto multiply_add = [&](size_t at, __m128& first, __m128& last) {
        const Floats weights = Type::widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 2 * at)));
        first = _mm_add_ps(first, _mm_mul_ps(weights.first, _mm_loadu_ps(x + at)));
        last = _mm_add_ps(last, _mm_mul_ps(weights.last, _mm_loadu_ps(x + at + kLanes)));
    };
    for (; c + 4 * kWeights <= n; c += 4 * kWeights) {
        prefetch(w, 2 * c + kPrefetchBytes);
        multiply_add(c, sums[0], sums[1]);
        multiply_add(c + kWeights, sums[2], sums[3]);
        multiply_add(c + 2 * kWeights, sums[0], sums[1]);
        multiply_add(c + 3 * kWeights, sums[2], sums[3]);
    }
    for (; c + kWeights <= n; c += kWeights) {
        multiply_add(c, sums[0], sums[1]);
    }
    if (c < n) {
        alignas(16) uint16_t weights[kWeights] = {};
        alignas(16) float inputs[kWeights] = {};
        for (size_t i = 0; i < n - c; i++) {
            __builtin_memcpy(weights + i, w + 2 * (c + i), sizeof(uint16_t));
            inputs[i] = x[c + i];
        }
        const Floats wide = Type::widen(_mm_load_si128(reinterpret_cast<const __m128i*>(weights)));
        sums[0] = _mm_add_ps(sums[0], _mm_mul_ps(wide.first, _mm_load_ps(inputs)));
        sums[1] = _mm_add_ps(sums[1], _mm_mul_ps(wide.last, _mm_load_ps(inputs + kLanes)));
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
