// SPDX-License-Identifier: MIT
//
// Float32 products. Each accumulator is a vector of partial sums along the columns, where weights and activations are
// both contiguous; lanes are summed once, at the end. Blocking is in registers (rows x batch) and, for SGEMM, in
// cache.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/row_sums.h"

namespace llmk::djiblas::avx2 {

namespace {

/// y[r] = scale * (w[r] . x) for kRows rows, a cache line of each at a time. Two accumulators a row hide the latency of
/// the multiply-add.
template <size_t kRows> void rows_dot(float* y, const float* w, size_t w_stride, const float* x, size_t n, float scale)
{
    __m256 even[kRows];
    __m256 odd[kRows];
    for (size_t r = 0; r < kRows; r++) {
        even[r] = odd[r] = _mm256_setzero_ps();
    }
    size_t c = 0;
    for (; c + 2 * kLanes <= n; c += 2 * kLanes) {
        // The same columns of the next rows. Past the last row there is nothing, and a prefetch does not mind: it is
        // an address, not an access.
        for (size_t r = kRows; r < 2 * kRows; r++) {
            prefetch(w, r * w_stride + c);
        }
        const __m256 x0 = _mm256_loadu_ps(x + c);
        const __m256 x1 = _mm256_loadu_ps(x + c + kLanes);
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const float* row = w + r * w_stride + c;
            even[r] = _mm256_fmadd_ps(_mm256_loadu_ps(row), x0, even[r]);
            odd[r] = _mm256_fmadd_ps(_mm256_loadu_ps(row + kLanes), x1, odd[r]);
        }
    }
    for (; c < n; c += kLanes) {
        const __m256i mask = lane_mask(n - c < kLanes ? n - c : kLanes);
        const __m256 x0 = _mm256_maskload_ps(x + c, mask);
        for (size_t r = 0; r < kRows; r++) {
            even[r] = _mm256_fmadd_ps(_mm256_maskload_ps(w + r * w_stride + c, mask), x0, even[r]);
        }
    }
    for (size_t r = 0; r < kRows; r++) {
        y[r] = scale * sum_lanes(_mm256_add_ps(even[r], odd[r]));
    }
}

/// Bytes ahead of the loads that gemv_f32 asks memory for.
constexpr size_t kPrefetchBytes = 4096;

/// y[b*y_stride] = w . x[b] for kBatch inputs, for a matrix read row by row. Memory sees one stream: a Zen 5's gives 90
/// to 99 % of what it gives to a plain loop, against 85 % for four rows side by side. The order of operations of a sum
/// is the same for any kBatch.
template <size_t kBatch>
void row_dots(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t n)
{
    constexpr size_t kSums = kRowSums;
    constexpr size_t kLineFloats = 16;
    __m256 sums[kBatch][kSums];
#pragma GCC unroll 4
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            sums[b][i] = _mm256_setzero_ps();
        }
    }
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
        prefetch(w, c + kPrefetchBytes / sizeof(float));
        prefetch(w, c + kPrefetchBytes / sizeof(float) + kLineFloats);
#pragma GCC unroll 4
        for (size_t i = 0; i < kSums; i++) {
            const size_t at = c + i * kLanes;
            const __m256 weights = _mm256_loadu_ps(w + at);
#pragma GCC unroll 4
            for (size_t b = 0; b < kBatch; b++) {
                sums[b][i] = _mm256_fmadd_ps(weights, _mm256_loadu_ps(x + b * x_stride + at), sums[b][i]);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t b = 0; b < kBatch; b++) {
        y[b * y_stride] =
            end_of_row<F32>(sums[b], reinterpret_cast<const uint8_t*>(w + c), x + b * x_stride + c, n - c);
    }
}

// --- SGEMM ----------------------------------------------------------------------------------------------------------

/// 4 x 3 accumulators, three activations and one weight fill the sixteen registers: 12 multiply-adds for 7 loads.
constexpr size_t kTileRows = 4;
constexpr size_t kTileBatch = 3;
/// Columns a pass: the weights of a tile (4 rows, 8 KiB) stay in the first-level cache while the batch goes by.
constexpr size_t kBlockCols = 512;
/// Activations a pass: 66 x 512 floats are 132 KiB, which stay in the second-level cache while the rows go by.
constexpr size_t kBlockBatch = 66;

/// What all tiles of a block have in common.
struct Block {
    size_t y_stride;
    size_t w_stride;
    size_t x_stride;
    size_t cols;
    bool accumulate; ///< add to y: not the first block of columns
};

template <size_t kRows, size_t kBatch> void tile(float* y, const float* w, const float* x, const Block& block)
{
    __m256 sums[kBatch][kRows];
    for (size_t b = 0; b < kBatch; b++) {
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm256_setzero_ps();
        }
    }
    size_t c = 0;
    for (; c + kLanes <= block.cols; c += kLanes) {
        __m256 activations[kBatch];
        for (size_t b = 0; b < kBatch; b++) {
            activations[b] = _mm256_loadu_ps(x + b * block.x_stride + c);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m256 weights = _mm256_loadu_ps(w + r * block.w_stride + c);
            for (size_t b = 0; b < kBatch; b++) {
                sums[b][r] = _mm256_fmadd_ps(weights, activations[b], sums[b][r]);
            }
        }
    }
    if (c < block.cols) {
        const __m256i mask = lane_mask(block.cols - c);
        for (size_t r = 0; r < kRows; r++) {
            const __m256 weights = _mm256_maskload_ps(w + r * block.w_stride + c, mask);
            for (size_t b = 0; b < kBatch; b++) {
                const __m256 activations = _mm256_maskload_ps(x + b * block.x_stride + c, mask);
                sums[b][r] = _mm256_fmadd_ps(weights, activations, sums[b][r]);
            }
        }
    }
    for (size_t b = 0; b < kBatch; b++) {
        float* out = y + b * block.y_stride;
        if constexpr (kRows == 4) {
            const __m128 sum = sum_lanes(sums[b][0], sums[b][1], sums[b][2], sums[b][3]);
            _mm_storeu_ps(out, block.accumulate ? _mm_add_ps(_mm_loadu_ps(out), sum) : sum);
        } else {
            for (size_t r = 0; r < kRows; r++) {
                const float sum = sum_lanes(sums[b][r]);
                out[r] = block.accumulate ? out[r] + sum : sum;
            }
        }
    }
}

/// Asks for a tile's weights piece by piece, so that they come from memory while the tile before it is computed: the
/// hardware's own prefetch is thrown off where a row's block ends.
class Prefetch {
public:
    /// `parts` calls of next() fetch it all. No weights (null), nothing to fetch.
    Prefetch(const float* w, const Block& block, size_t parts)
        : m_w(w), m_stride(block.w_stride), m_cols(w ? block.cols : 0), m_step((block.cols + parts - 1) / parts)
    {
    }

    void next()
    {
        constexpr size_t kLineFloats = 16;
        for (const size_t end = m_at + m_step; m_fetched < end && m_fetched < m_cols; m_fetched += kLineFloats) {
            for (size_t r = 0; r < kTileRows; r++) {
                prefetch(m_w, r * m_stride + m_fetched);
            }
        }
        m_at += m_step;
    }

private:
    const float* m_w;
    size_t m_stride;
    size_t m_cols;
    size_t m_step;
    size_t m_at = 0;
    size_t m_fetched = 0;
};

template <size_t kRows>
void row_of_tiles(float* y, const float* w, const float* next_w, const float* x, size_t batch, const Block& block)
{
    Prefetch prefetch(next_w, block, batch / kTileBatch + 1);
    size_t b = 0;
    for (; b + kTileBatch <= batch; b += kTileBatch) {
        prefetch.next();
        tile<kRows, kTileBatch>(y + b * block.y_stride, w, x + b * block.x_stride, block);
    }
    if (batch - b == 2) {
        tile<kRows, 2>(y + b * block.y_stride, w, x + b * block.x_stride, block);
    } else if (batch - b == 1) {
        tile<kRows, 1>(y + b * block.y_stride, w, x + b * block.x_stride, block);
    }
}

} // namespace

float dot_f32(const float* a, const float* b, size_t n)
{
    float sum = 0.0f;
    rows_dot<1>(&sum, a, 0, b, n, 1.0f);
    return sum;
}

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        row_dots<1>(y + r, 0, w + r * cols, x, 0, cols);
    }
}

void gemv_f32_side_by_side(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv_side_by_side<F32>(y, reinterpret_cast<const uint8_t*>(w), x, rows, cols);
}

void gemv_f32_in_places(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv_in_places<F32>(y, reinterpret_cast<const uint8_t*>(w), x, rows, cols);
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    for (size_t b = 0; b < batch; b += kBlockBatch) {
        const size_t block_batch = batch - b < kBlockBatch ? batch - b : kBlockBatch;
        size_t c = 0;
        do { // once even without columns: the sums are zero then
            const size_t block_cols = cols - c < kBlockCols ? cols - c : kBlockCols;
            const Block block = {y_stride, cols, x_stride, block_cols, c > 0};
            const float* block_x = x + b * x_stride + c;
            float* block_y = y + b * y_stride;
            size_t r = 0;
            for (; r + kTileRows <= rows; r += kTileRows) {
                const float* block_w = w + r * cols + c;
                const float* next_w = r + 2 * kTileRows <= rows ? block_w + kTileRows * cols : nullptr;
                row_of_tiles<kTileRows>(block_y + r, block_w, next_w, block_x, block_batch, block);
            }
            for (; r < rows; r++) {
                row_of_tiles<1>(block_y + r, w + r * cols + c, nullptr, block_x, block_batch, block);
            }
            c += block_cols;
        } while (c < cols);
    }
}

void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch)
{
    for (size_t r = 0; r < rows; r++) {
        const float* const row = w + r * cols;
        size_t b = 0;
        for (; b + 3 <= batch; b += 3) {
            row_dots<3>(y + b * y_stride + r, y_stride, row, x + b * x_stride, x_stride, cols);
        }
        if (batch - b == 2) {
            row_dots<2>(y + b * y_stride + r, y_stride, row, x + b * x_stride, x_stride, cols);
        } else if (batch - b == 1) {
            row_dots<1>(y + b * y_stride + r, y_stride, row, x + b * x_stride, x_stride, cols);
        }
    }
}

} // namespace llmk::djiblas::avx2
