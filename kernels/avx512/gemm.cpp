// SPDX-License-Identifier: MIT
//
// Float32 products. Each accumulator is a vector of partial sums along the columns, where weights and activations are
// both contiguous; lanes are summed once, at the end. Blocking is in registers (rows x batch) and, for SGEMM, in
// cache.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

/// Bytes ahead of the loads that memory is asked for. Rows are read one after the other, so a matrix is one stream: on
/// a Zen 5 96 to 99 % of what plain reading reaches, where four rows side by side reach 80 %.
constexpr size_t kPrefetchBytes = 4096;
constexpr size_t kPrefetchFloats = kPrefetchBytes / sizeof(float);

float row_dot(const float* w, const float* x, size_t n)
{
    constexpr size_t kSums = 4; // hide the latency of the multiply-add
    __m512 sums[kSums];
    for (__m512& sum : sums) {
        sum = _mm512_setzero_ps();
    }
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            const size_t at = c + i * kLanes;
            prefetch(w, at + kPrefetchFloats);
            sums[i] = _mm512_fmadd_ps(_mm512_loadu_ps(w + at), _mm512_loadu_ps(x + at), sums[i]);
        }
    }
    for (; c < n; c += kLanes) {
        const __mmask16 mask = lane_mask(n - c);
        prefetch(w, c + kPrefetchFloats);
        sums[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, w + c), _mm512_maskz_loadu_ps(mask, x + c), sums[0]);
    }
    return sum_lanes(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

// --- SGEMM ----------------------------------------------------------------------------------------------------------

/// 4 x 6 accumulators, six activations and one weight are 31 of the 32 registers: 24 multiply-adds for 10 loads.
constexpr size_t kTileRows = 4;
constexpr size_t kTileBatch = 6;
/// Columns a pass: a tile's activations (6 x 1024 floats, 24 KiB) stay in the first-level cache while the rows of a
/// block go by.
constexpr size_t kBlockCols = 1024;
/// Rows of weights a pass: 64 x 1024 floats, 256 KiB, stay in the second-level cache while the batch goes by, and the
/// next 256 KiB come in.
constexpr size_t kBlockRows = 64;

/// What all tiles of a block have in common.
struct Block {
    size_t y_stride;
    size_t w_stride;
    size_t x_stride;
    size_t cols;
    bool accumulate; ///< add to y: not the first block of columns
};

/// Every loop over rows and batch is unrolled, or the accumulators would have to lie in memory for the others' sake.
template <size_t kRows, size_t kBatch> void tile(float* y, const float* w, const float* x, const Block& block)
{
    __m512 sums[kBatch][kRows];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm512_setzero_ps();
        }
    }
    size_t c = 0;
    for (; c + kLanes <= block.cols; c += kLanes) {
        __m512 activations[kBatch];
#pragma GCC unroll 8
        for (size_t b = 0; b < kBatch; b++) {
            activations[b] = _mm512_loadu_ps(x + b * block.x_stride + c);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m512 weights = _mm512_loadu_ps(w + r * block.w_stride + c);
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
            const __m512 weights = _mm512_maskz_loadu_ps(mask, w + r * block.w_stride + c);
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
            const __m128 sum = sum_lanes(sums[b][0], sums[b][1], sums[b][2], sums[b][3]);
            _mm_storeu_ps(out, block.accumulate ? _mm_add_ps(_mm_loadu_ps(out), sum) : sum);
        } else {
#pragma GCC unroll 8
            for (size_t r = 0; r < kRows; r++) {
                const float sum = sum_lanes(sums[b][r]);
                out[r] = block.accumulate ? out[r] + sum : sum;
            }
        }
    }
}

/// Asks for a block of a matrix piece by piece, so that it is in the second-level cache when its turn comes.
class Prefetch {
public:
    /// `parts` calls of next() ask for all of it. No rows, nothing to ask for.
    Prefetch(const float* first, size_t stride, size_t rows, size_t cols, size_t parts)
        : m_first(first), m_stride(stride), m_lines((cols + kLineFloats - 1) / kLineFloats), m_left(rows * m_lines),
          m_step((m_left + parts - 1) / parts)
    {
    }

    void next()
    {
        for (size_t n = m_left < m_step ? m_left : m_step; n > 0; n--, m_left--) {
            prefetch_l2(m_first, m_row * m_stride + m_line * kLineFloats);
            if (++m_line == m_lines) {
                m_line = 0;
                m_row++;
            }
        }
    }

private:
    static constexpr size_t kLineFloats = 16;
    const float* m_first;
    size_t m_stride;
    size_t m_lines; ///< of a row
    size_t m_left;
    size_t m_step;
    size_t m_row = 0;
    size_t m_line = 0;
};

/// kBatch rows of input against all rows of a block.
template <size_t kBatch>
void column_of_tiles(float* y, const float* w, const float* x, size_t rows, const Block& block, Prefetch& weights)
{
    size_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows) {
        weights.next();
        tile<kTileRows, kBatch>(y + r, w + r * block.w_stride, x, block);
    }
    for (; r < rows; r++) {
        tile<1, kBatch>(y + r, w + r * block.w_stride, x, block);
    }
}

/// The last rows of input, fewer than a tile's.
template <size_t kBatch = kTileBatch - 1> void last_column(float* y, const float* w, const float* x, size_t rows,
                                                           size_t batch, const Block& block, Prefetch& weights)
{
    if constexpr (kBatch > 0) {
        if (batch == kBatch) {
            column_of_tiles<kBatch>(y, w, x, rows, block, weights);
        } else {
            last_column<kBatch - 1>(y, w, x, rows, batch, block, weights);
        }
    }
}

} // namespace

float dot_f32(const float* a, const float* b, size_t n) { return row_dot(a, b, n); }

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        y[r] = row_dot(w + r * cols, x, cols);
    }
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    if (batch == 0) {
        return;
    }
    size_t c = 0;
    do { // once even without columns: the sums are zero then
        const size_t block_cols = cols - c < kBlockCols ? cols - c : kBlockCols;
        const Block block = {y_stride, cols, x_stride, block_cols, c > 0};
        for (size_t r = 0; r < rows; r += kBlockRows) {
            const size_t block_rows = rows - r < kBlockRows ? rows - r : kBlockRows;
            const size_t left = rows - r - block_rows;
            const size_t next_rows = left < kBlockRows ? left : kBlockRows;
            const float* block_w = w + r * cols + c;
            Prefetch weights(block_w + block_rows * cols, cols, next_rows, block_cols,
                             (batch + kTileBatch - 1) / kTileBatch * (kBlockRows / kTileRows));
            size_t b = 0;
            for (; b + kTileBatch <= batch; b += kTileBatch) {
                column_of_tiles<kTileBatch>(y + b * y_stride + r, block_w, x + b * x_stride + c, block_rows, block,
                                            weights);
            }
            last_column(y + b * y_stride + r, block_w, x + b * x_stride + c, block_rows, batch - b, block, weights);
        }
        c += block_cols;
    } while (c < cols);
}

} // namespace llmk::djiblas::avx512
