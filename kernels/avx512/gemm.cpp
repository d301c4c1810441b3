// SPDX-License-Identifier: MIT
//
// Float32 products. Each accumulator is a vector of partial sums along the columns, where weights and activations are
// both contiguous; lanes are summed once, at the end. Blocking is in registers (rows x batch) and, for SGEMM, in
// cache.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

constexpr size_t kLineFloats = 16;
constexpr size_t kGemvRows = 4;

/// What all products of one call have in common.
struct Rows {
    size_t y_stride;
    size_t x_stride;
    size_t cols;
};

/// y[b][r] = w[r] . x[b] for kRows rows and kBatch inputs, two cache lines of a row at a time. Meanwhile the rows after
/// them are asked for in the order of their addresses: memory sees one stream. (Read so, a Zen 5's memory gives 96 % of
/// what it gives to a plain loop; 80 % when the lines are asked for in the order of their use.) Past the last row there
/// is nothing, and a prefetch does not mind: it is an address, not an access. The order of operations of a sum is the
/// same for any kRows and kBatch.
template <size_t kRows, size_t kBatch> void rows_dot(float* y, const float* w, const float* x, const Rows& rows)
{
    constexpr size_t kSums = 2; // of a product; hide the latency of the multiply-add
    const size_t n = rows.cols;
    const size_t x_stride = rows.x_stride;
    __m512 sums[kBatch][kRows][kSums];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 4
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r][0] = sums[b][r][1] = _mm512_setzero_ps();
        }
    }
    size_t ahead = kRows * n;
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
#pragma GCC unroll 8
        for (size_t line = 0; line < kSums * kRows; line++, ahead += kLineFloats) {
            prefetch(w, ahead);
        }
#pragma GCC unroll 2
        for (size_t i = 0; i < kSums; i++) {
            __m512 inputs[kBatch];
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                inputs[b] = _mm512_loadu_ps(x + b * x_stride + c + i * kLanes);
            }
#pragma GCC unroll 4
            for (size_t r = 0; r < kRows; r++) {
                const __m512 weights = _mm512_loadu_ps(w + r * n + c + i * kLanes);
#pragma GCC unroll 8
                for (size_t b = 0; b < kBatch; b++) {
                    sums[b][r][i] = _mm512_fmadd_ps(weights, inputs[b], sums[b][r][i]);
                }
            }
        }
    }
    for (; c < n; c += kLanes) {
        const __mmask16 mask = lane_mask(n - c);
#pragma GCC unroll 4
        for (size_t r = 0; r < kRows; r++, ahead += kLineFloats) {
            prefetch(w, ahead);
            const __m512 weights = _mm512_maskz_loadu_ps(mask, w + r * n + c);
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                const __m512 inputs = _mm512_maskz_loadu_ps(mask, x + b * x_stride + c);
                sums[b][r][0] = _mm512_fmadd_ps(weights, inputs, sums[b][r][0]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 4
        for (size_t r = 0; r < kRows; r++) {
            y[b * rows.y_stride + r] = sum_lanes(_mm512_add_ps(sums[b][r][0], sums[b][r][1]));
        }
    }
}

/// Two rows and six inputs: 24 sums, six inputs and a weight are 31 of the 32 registers.
constexpr size_t kExactRows = 2;
constexpr size_t kExactBatch = 6;

/// rows_dot of all rows of the input, kBatch at a time.
template <size_t kRows, size_t kBatch = kExactBatch>
void rows_dot_of(size_t batch, float* y, const float* w, const float* x, const Rows& rows)
{
    for (; batch >= kBatch; batch -= kBatch, y += kBatch * rows.y_stride, x += kBatch * rows.x_stride) {
        rows_dot<kRows, kBatch>(y, w, x, rows);
    }
    if constexpr (kBatch > 1) {
        rows_dot_of<kRows, kBatch - 1>(batch, y, w, x, rows);
    }
}

// --- SGEMM ----------------------------------------------------------------------------------------------------------

/// 4 x 5 accumulators, five activations and one weight are 26 of the 32 registers: 20 multiply-adds for 9 loads. (Of 4
/// x 6 the activations and two tiles' weights would be more lines than the first-level cache has places for, where rows
/// lie a power of two apart.)
constexpr size_t kTileRows = 4;
constexpr size_t kTileBatch = 5;
/// Columns a pass: a tile's activations (5 x 1024 floats, 20 KiB) stay in the first-level cache while the rows of a
/// block go by. Fewer, and summing the lanes at the end of each tile would show.
constexpr size_t kBlockCols = 1024;
/// Rows of weights a pass: 96 x 1024 floats, 384 KiB, stay in the second-level cache while the batch goes by, and the
/// next ones come in.
constexpr size_t kBlockRows = 96;
/// Up to here memory is slower than the arithmetic, and the weights go by once, in the order of their addresses.
constexpr size_t kStreamedBatch = 2 * kTileBatch;

/// What all tiles of a block have in common.
struct Block {
    size_t y_stride;
    size_t w_stride;
    size_t x_stride;
    size_t cols;
    bool accumulate; ///< add to y: not the first block of columns
};

/// How much of the weights of as many rows a tile asks for meanwhile, as rows_dot does: nothing, or half of the rows,
/// or all.
enum class Ahead { nothing, half, all };

/// Every loop over rows and batch is unrolled, or the accumulators would have to lie in memory for the others' sake.
/// `ahead` is where the weights begin that are asked for.
template <size_t kRows, size_t kBatch, Ahead kAhead>
void tile(float* y, const float* w, const float* x, const Block& block, const float* ahead)
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
        for (size_t n = m_left < m_step ? m_left : m_step; n > 0;) {
            const size_t run = n < m_lines - m_line ? n : m_lines - m_line;
            const float* p = m_first + m_row * m_stride + m_line * kLineFloats;
            for (size_t i = 0; i < run; i++) {
                prefetch_l2(p, i * kLineFloats);
            }
            n -= run;
            m_left -= run;
            m_line += run;
            if (m_line == m_lines) {
                m_line = 0;
                m_row++;
            }
        }
    }

private:
    const float* m_first;
    size_t m_stride;
    size_t m_lines; ///< of a row
    size_t m_left;
    size_t m_step;
    size_t m_row = 0;
    size_t m_line = 0;
};

/// A tile of `batch` rows of input, 1 to kTileBatch.
template <size_t kRows, Ahead kAhead = Ahead::nothing, size_t kBatch = kTileBatch>
void tile_of(size_t batch, float* y, const float* w, const float* x, const Block& block, const float* ahead = nullptr)
{
    if constexpr (kBatch > 0) {
        if (batch == kBatch) {
            tile<kRows, kBatch, kAhead>(y, w, x, block, ahead);
        } else {
            tile_of<kRows, kAhead, kBatch - 1>(batch, y, w, x, block, ahead);
        }
    }
}

/// `batch` rows of input, 1 to kTileBatch, against all rows of a block.
void column_of_tiles(size_t batch, float* y, const float* w, const float* x, size_t rows, const Block& block,
                     Prefetch& weights)
{
    size_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows) {
        weights.next();
        tile_of<kTileRows>(batch, y + r, w + r * block.w_stride, x, block);
    }
    for (; r < rows; r++) {
        tile_of<1>(batch, y + r, w + r * block.w_stride, x, block);
    }
}

/// SGEMM for up to kStreamedBatch rows of input: the second tile finds the weights in the caches.
void gemm_streamed(float* y, const float* w, const float* x, size_t rows, size_t batch, const Block& block)
{
    size_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows, w += kTileRows * block.w_stride) {
        const float* ahead = w + kTileRows * block.w_stride;
        if (batch <= kTileBatch) {
            tile_of<kTileRows, Ahead::all>(batch, y + r, w, x, block, ahead);
        } else {
            tile_of<kTileRows, Ahead::half>(kTileBatch, y + r, w, x, block, ahead);
            tile_of<kTileRows, Ahead::half>(batch - kTileBatch, y + kTileBatch * block.y_stride + r, w,
                                            x + kTileBatch * block.x_stride, block,
                                            ahead + kTileRows / 2 * block.w_stride);
        }
    }
    for (; r < rows; r++, w += block.w_stride) {
        for (size_t b = 0; b < batch; b += kTileBatch) {
            tile_of<1>(batch - b < kTileBatch ? batch - b : kTileBatch, y + b * block.y_stride + r, w,
                       x + b * block.x_stride, block);
        }
    }
}

} // namespace

float dot_f32(const float* a, const float* b, size_t n)
{
    float sum;
    rows_dot<1, 1>(&sum, a, b, {0, 0, n});
    return sum;
}

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    const Rows one = {0, 0, cols};
    size_t r = 0;
    for (; r + kGemvRows <= rows; r += kGemvRows) {
        rows_dot<kGemvRows, 1>(y + r, w + r * cols, x, one);
    }
    for (; r < rows; r++) {
        rows_dot<1, 1>(y + r, w + r * cols, x, one);
    }
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    if (batch <= kStreamedBatch) {
        gemm_streamed(y, w, x, rows, batch, {y_stride, cols, x_stride, cols, false});
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
            const size_t tiles = (batch + kTileBatch - 1) / kTileBatch * (kBlockRows / kTileRows);
            Prefetch weights(block_w + block_rows * cols, cols, next_rows, block_cols, tiles);
            for (size_t b = 0; b < batch; b += kTileBatch) {
                const size_t tile_batch = batch - b < kTileBatch ? batch - b : kTileBatch;
                column_of_tiles(tile_batch, y + b * y_stride + r, block_w, x + b * x_stride + c, block_rows, block,
                                weights);
            }
        }
        c += block_cols;
    } while (c < cols);
}

void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch)
{
    const Rows all = {y_stride, x_stride, cols};
    size_t r = 0;
    for (; r + kExactRows <= rows; r += kExactRows) {
        rows_dot_of<kExactRows>(batch, y + r, w + r * cols, x, all);
    }
    for (; r < rows; r++) {
        rows_dot_of<1>(batch, y + r, w + r * cols, x, all);
    }
}

} // namespace llmk::djiblas::avx512
