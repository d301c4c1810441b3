// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/row_sums.h"

namespace llmk::djiblas::avx2 {

namespace {

/// Memory sees a matrix as one stream: while some rows are read, what comes after them is asked for in the order of its
/// addresses. One row at a time gives a Zen 5's memory 95 % of the speed that a plain loop gives it. Where x is wider
/// than this it would be pushed out of the first-level cache between one row and the next, and two rows share it.
constexpr size_t kWidestSingle = 4096;
/// How far ahead of a single row's loads.
constexpr size_t kPrefetchBytes = 4096;
constexpr size_t kLineBytes = 64;

/// y[r] = w[r] . x for kRows rows of n values, a cache line of each at a time.
template <class Type, size_t kRows> void rows_dot(float* y, const uint8_t* w, const float* x, size_t n)
{
    constexpr size_t kSums = kRowSums;
    const size_t row_bytes = 2 * n;
    __m256 sums[kRows][kSums];
    for (size_t r = 0; r < kRows; r++) {
        for (size_t i = 0; i < kSums; i++) {
            sums[r][i] = _mm256_setzero_ps();
        }
    }
    size_t ahead = kRows == 1 ? kPrefetchBytes : kRows * row_bytes;
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
        for (size_t r = 0; r < kRows; r++, ahead += kLineBytes) {
            prefetch(w, ahead);
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            const size_t at = c + i * kLanes;
            const __m256 inputs = _mm256_loadu_ps(x + at);
#pragma GCC unroll 2
            for (size_t r = 0; r < kRows; r++) {
                sums[r][i] = _mm256_fmadd_ps(Type::load(w + r * row_bytes + 2 * at), inputs, sums[r][i]);
            }
        }
    }
    for (size_t r = 0; r < kRows; r++) {
        y[r] = end_of_row<Type>(sums[r], w + r * row_bytes + 2 * c, x + c, n - c);
    }
}

template <class Type> void gemv(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    size_t r = 0;
    if (cols > kWidestSingle) {
        for (; r + 2 <= rows; r += 2) {
            rows_dot<Type, 2>(y + r, w + 2 * r * cols, x, cols);
        }
    }
    for (; r < rows; r++) {
        rows_dot<Type, 1>(y + r, w + 2 * r * cols, x, cols);
    }
}

} // namespace

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols) { gemv<F16>(y, w, x, rows, cols); }

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16>(y, w, x, rows, cols);
}

void gemv_f16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_side_by_side<F16>(y, w, x, rows, cols);
}

void gemv_f16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_in_places<F16>(y, w, x, rows, cols);
}

void gemv_bf16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_side_by_side<Bf16>(y, w, x, rows, cols);
}

void gemv_bf16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_in_places<Bf16>(y, w, x, rows, cols);
}

} // namespace llmk::djiblas::avx2
