// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way. Rows are read one after the other, so
// that a matrix is one stream.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

/// Bytes ahead of the loads that memory is asked for.
constexpr size_t kPrefetchBytes = 4096;

struct F16 {
    static __m512 widen(__m256i halves) { return _mm512_cvtph_ps(halves); }
};

struct Bf16 {
    static __m512 widen(__m256i halves)
    {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
};

template <class Type> float row_dot(const uint8_t* w, const float* x, size_t n)
{
    constexpr size_t kSums = 4; // hide the latency of the multiply-add
    __m512 sums[kSums];
    for (__m512& sum : sums) {
        sum = _mm512_setzero_ps();
    }
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
        prefetch(w, 2 * c + kPrefetchBytes);
        prefetch(w, 2 * c + kPrefetchBytes + 64);
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            const size_t at = c + i * kLanes;
            const __m512 weights = Type::widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 2 * at)));
            sums[i] = _mm512_fmadd_ps(weights, _mm512_loadu_ps(x + at), sums[i]);
        }
    }
    for (; c < n; c += kLanes) {
        const __mmask16 mask = lane_mask(n - c);
        const __m512 weights = Type::widen(_mm256_maskz_loadu_epi16(mask, w + 2 * c));
        sums[0] = _mm512_fmadd_ps(weights, _mm512_maskz_loadu_ps(mask, x + c), sums[0]);
    }
    return sum_lanes(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
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

} // namespace llmk::djiblas::avx512
