// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way. Rows are read one after the other, so
// that a matrix is one stream.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vector.h"

namespace llmk::djiblas::avx2 {

namespace {

/// Bytes ahead of the loads that memory is asked for.
constexpr size_t kPrefetchBytes = 4096;

struct F16 {
    static __m256 widen(__m128i halves) { return _mm256_cvtph_ps(halves); }
};

struct Bf16 {
    static __m256 widen(__m128i halves)
    {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    }
};

template <class Type> float row_dot(const uint8_t* w, const float* x, size_t n)
{
    constexpr size_t kSums = 4; // hide the latency of the multiply-add
    __m256 sums[kSums];
    for (__m256& sum : sums) {
        sum = _mm256_setzero_ps();
    }
    const auto multiply_add = [&](size_t at, __m256 sum) {
        const __m256 weights = Type::widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 2 * at)));
        return _mm256_fmadd_ps(weights, _mm256_loadu_ps(x + at), sum);
    };
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
        prefetch(w, 2 * c + kPrefetchBytes);
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            sums[i] = multiply_add(c + i * kLanes, sums[i]);
        }
    }
    for (; c + kLanes <= n; c += kLanes) {
        sums[0] = multiply_add(c, sums[0]);
    }
    if (c < n) {
        alignas(16) uint16_t halves[kLanes] = {};
        for (size_t i = 0; i < n - c; i++) {
            __builtin_memcpy(halves + i, w + 2 * (c + i), sizeof(uint16_t));
        }
        const __m256 weights = Type::widen(_mm_load_si128(reinterpret_cast<const __m128i*>(halves)));
        sums[0] = _mm256_fmadd_ps(weights, _mm256_maskload_ps(x + c, lane_mask(n - c)), sums[0]);
    }
    return sum_lanes(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
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

} // namespace llmk::djiblas::avx2
