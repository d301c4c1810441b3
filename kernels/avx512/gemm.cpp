// SPDX-License-Identifier: MIT
//
// Products with a few rows of float32 inputs; weights are float32, or halves that are converted in registers on the
// way. Memory is slower than the arithmetic here: each accumulator is a vector of partial sums along the columns, where
// weights and activations are both contiguous; lanes are summed once, at the end. A larger batch is turned.cpp's.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/row_products.h"

namespace llmk::djiblas::avx512 {

namespace {

constexpr size_t kLineFloats = 16;

inline const uint8_t* bytes(const float* w) { return reinterpret_cast<const uint8_t*>(w); }

/// Two rows and six inputs: 24 sums, six inputs and a weight are 31 of the 32 registers.
constexpr size_t kExactRows = 2;
constexpr size_t kExactBatch = 6;

/// rows_dot of all rows of the input, kBatch at a time.
template <class Type, size_t kRows, size_t kBatch = kExactBatch>
void rows_dot_of(size_t batch, float* y, const uint8_t* w, const float* x, const Rows& rows)
{
    for (; batch >= kBatch; batch -= kBatch, y += kBatch * rows.y_stride, x += kBatch * rows.x_stride) {
        rows_dot<Type, kRows, kBatch>(y, w, x, rows);
    }
    if constexpr (kBatch > 1) {
        rows_dot_of<Type, kRows, kBatch - 1>(batch, y, w, x, rows);
    }
}

/// Each row of y has the bits of gemv.
template <class Type>
void gemm_exact(float* y, const uint8_t* w, const float* x, size_t rows, size_t batch, const Rows& all)
{
    const size_t row_bytes = all.cols * Type::kBytes;
    size_t r = 0;
    for (; r + kExactRows <= rows; r += kExactRows) {
        rows_dot_of<Type, kExactRows>(batch, y + r, w + r * row_bytes, x, all);
    }
    for (; r < rows; r++) {
        rows_dot_of<Type, 1>(batch, y + r, w + r * row_bytes, x, all);
    }
}

// --- SGEMM ----------------------------------------------------------------------------------------------------------

/// For a few rows of input: 4 x 5 accumulators, five activations and one weight are 26 of the 32 registers.
constexpr size_t kFewRows = 4;
constexpr size_t kFewBatch = 5;
/// Up to here memory is slower than the arithmetic, and the weights go by once, in the order of their addresses.
constexpr size_t kStreamedBatch = 2 * kFewBatch;

/// How much of the weights of as many rows a tile asks for meanwhile, as rows_dot does: nothing, or half of the rows,
/// or all.
enum class Ahead { nothing, half, all };

/// Every loop over rows and batch is unrolled, or the accumulators would have to lie in memory for the others' sake.
/// `ahead` is where the weights begin that are asked for.
template <size_t kRows, size_t kBatch, Ahead kAhead>
void few_dots(float* y, const float* w, const float* x, const Rows& block, const float* ahead)
{
    constexpr size_t kLinesAhead = kAhead == Ahead::all ? kRows : kAhead == Ahead::half ? kRows / 2 : 0;
    __m512 sums[kBatch][kRows];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm512_setzero_ps();
        }
    }
    [[maybe_unused]] size_t asked = 0;
    size_t c = 0;
    for (; c + kLanes <= block.cols; c += kLanes) {
#pragma GCC unroll 8
        for (size_t i = 0; i < kLinesAhead; i++, asked += kLineFloats) {
            prefetch(ahead, asked);
        }
        __m512 activations[kBatch];
#pragma GCC unroll 8
        for (size_t b = 0; b < kBatch; b++) {
            activations[b] = _mm512_loadu_ps(x + b * block.x_stride + c);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m512 weights = _mm512_loadu_ps(w + r * block.cols + c);
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                sums[b][r] = _mm512_fmadd_ps(weights, activations[b], sums[b][r]);
            }
        }
    }
    if (c < block.cols) {
        const __mmask16 mask = lane_mask(block.cols - c);
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m512 weights = _mm512_maskz_loadu_ps(mask, w + r * block.cols + c);
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                const __m512 activations = _mm512_maskz_loadu_ps(mask, x + b * block.x_stride + c);
                sums[b][r] = _mm512_fmadd_ps(weights, activations, sums[b][r]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
        float* out = y + b * block.y_stride;
        if constexpr (kRows == 4) {
            _mm_storeu_ps(out, sum_lanes(sums[b][0], sums[b][1], sums[b][2], sums[b][3]));
        } else {
#pragma GCC unroll 8
            for (size_t r = 0; r < kRows; r++) {
                out[r] = sum_lanes(sums[b][r]);
            }
        }
    }
}

/// few_dots of `batch` rows of input, 1 to kFewBatch.
template <size_t kRows, Ahead kAhead = Ahead::nothing, size_t kBatch = kFewBatch> void
few_dots_of(size_t batch, float* y, const float* w, const float* x, const Rows& block, const float* ahead = nullptr)
{
    if constexpr (kBatch > 0) {
        if (batch == kBatch) {
            few_dots<kRows, kBatch, kAhead>(y, w, x, block, ahead);
        } else {
            few_dots_of<kRows, kAhead, kBatch - 1>(batch, y, w, x, block, ahead);
        }
    }
}

/// SGEMM of a few rows, in the order of their addresses. Where the input is up to kStreamedBatch rows the second tile
/// finds the weights in the caches.
void gemm_streamed(float* y, const float* w, const float* x, size_t rows, size_t batch, const Rows& block)
{
    size_t r = 0;
    for (; r + kFewRows <= rows; r += kFewRows, w += kFewRows * block.cols) {
        const float* ahead = w + kFewRows * block.cols;
        if (batch <= kFewBatch) {
            few_dots_of<kFewRows, Ahead::all>(batch, y + r, w, x, block, ahead);
            continue;
        }
        for (size_t b = 0; b < batch; b += kFewBatch) {
            float* out = y + b * block.y_stride + r;
            const float* in = x + b * block.x_stride;
            const size_t count = batch - b < kFewBatch ? batch - b : kFewBatch;
            if (b < kStreamedBatch) {
                few_dots_of<kFewRows, Ahead::half>(count, out, w, in, block, ahead);
                ahead += kFewRows / 2 * block.cols;
            } else {
                few_dots_of<kFewRows>(count, out, w, in, block);
            }
        }
    }
    for (; r < rows; r++, w += block.cols) {
        for (size_t b = 0; b < batch; b += kFewBatch) {
            few_dots_of<1>(batch - b < kFewBatch ? batch - b : kFewBatch, y + b * block.y_stride + r, w,
                           x + b * block.x_stride, block);
        }
    }
}

} // namespace

float dot_f32(const float* a, const float* b, size_t n)
{
    float sum;
    rows_dot<F32, 1, 1>(&sum, bytes(a), b, {0, 0, n});
    return sum;
}

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv<F32, WeightReading::one_stream>(y, bytes(w), x, rows, cols);
}

void gemv_f32_side_by_side(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv<F32, WeightReading::side_by_side>(y, bytes(w), x, rows, cols);
}

void gemv_f32_in_places(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv<F32, WeightReading::in_places>(y, bytes(w), x, rows, cols);
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    gemm_streamed(y, w, x, rows, batch, {y_stride, x_stride, cols});
}

void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch)
{
    gemm_exact<F32>(y, bytes(w), x, rows, batch, {y_stride, x_stride, cols});
}

void gemm_f16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    gemm_exact<F16>(y, w, x, rows, batch, {y_stride, x_stride, cols});
}

void gemm_bf16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
               size_t batch)
{
    gemm_exact<Bf16>(y, w, x, rows, batch, {y_stride, x_stride, cols});
}

} // namespace llmk::djiblas::avx512
