// SPDX-License-Identifier: MIT
//
// Float32 products. Each accumulator is a vector of partial sums along the columns, where weights and activations are
// both contiguous; lanes are summed once, at the end. Blocking is in registers (rows x batch) and, for SGEMM, in
// cache.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

constexpr size_t kGemvRows = 4;
constexpr size_t kVectorsPerLine = 4;

/// Keeps the compiler's order: all loads, all multiplications, all additions of a step, nothing of the next step among
/// them. A processor reorders anyhow; QEMU keeps registers in memory, where the distance between writing and reading
/// one is worth a fifth of the time (7.2, TCG: 175 to 210 million multiply-adds a second). Nothing moves to the stack
/// either, which GCC's scheduler is fond of when it may hoist loads.
inline void settle(__m128 (&v)[kGemvRows])
{
    asm volatile("" : "+x"(v[0]), "+x"(v[1]), "+x"(v[2]), "+x"(v[3]) : : "memory");
}
inline void settle(__m128 (&v)[1]) { asm volatile("" : "+x"(v[0]) : : "memory"); }

/// sums[r] += w[r][0..3] * x[0..3].
template <size_t kRows> inline void multiply_add(__m128 (&sums)[kRows], const float* w, size_t w_stride, const float* x)
{
    const __m128 activations = _mm_loadu_ps(x);
    __m128 products[kRows];
    for (size_t r = 0; r < kRows; r++) {
        products[r] = _mm_loadu_ps(w + r * w_stride);
    }
    settle(products);
    for (size_t r = 0; r < kRows; r++) {
        products[r] = _mm_mul_ps(products[r], activations);
    }
    settle(products);
    for (size_t r = 0; r < kRows; r++) {
        sums[r] = _mm_add_ps(sums[r], products[r]);
    }
    settle(sums);
}

/// y[r] = scale * (w[r] . x) for kRows rows, a cache line of each at a time. Meanwhile later lines are asked for: as
/// one stream where rows follow each other and memory answers soon, which gives a fifth more there. Past the last row
/// there is nothing, and a prefetch does not mind: it is an address, not an access.
template <size_t kRows, WeightReading kReading = WeightReading::one_stream>
void rows_dot(float* y, const float* w, size_t w_stride, const float* x, size_t n, float scale, size_t y_stride = 1)
{
    constexpr size_t kAhead = kReading == WeightReading::in_places ? 256 : 512; // bytes, not as one stream
    // Four sums hide the latency of the addition: of four rows, or of every fourth vector of one row.
    constexpr size_t kSums = kRows == 1 ? kVectorsPerLine : 1;
    __m128 sums[kSums][kRows];
    for (size_t i = 0; i < kSums; i++) {
        for (size_t r = 0; r < kRows; r++) {
            sums[i][r] = _mm_setzero_ps();
        }
    }
    size_t ahead = kRows * w_stride;
    size_t c = 0;
    for (; c + kVectorsPerLine * kLanes <= n; c += kVectorsPerLine * kLanes) {
        for (size_t r = 0; r < kRows; r++, ahead += kVectorsPerLine * kLanes) {
            prefetch(w, kReading == WeightReading::one_stream ? ahead : r * w_stride + c + kAhead / sizeof(float));
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < kVectorsPerLine; i++) {
            multiply_add<kRows>(sums[i % kSums], w + c + i * kLanes, w_stride, x + c + i * kLanes);
        }
    }
    for (; c + kLanes <= n; c += kLanes) {
        multiply_add<kRows>(sums[0], w + c, w_stride, x + c);
    }
    if (c < n) {
        const size_t left = n - c;
        const __m128 activations = load_tail(x + c, left);
        for (size_t r = 0; r < kRows; r++) {
            const __m128 weights = load_tail(w + r * w_stride + c, left);
            sums[0][r] = _mm_add_ps(sums[0][r], _mm_mul_ps(weights, activations));
        }
    }
    for (size_t r = 0; r < kRows; r++) {
        __m128 sum = sums[0][r];
        for (size_t i = 1; i < kSums; i++) {
            sum = _mm_add_ps(sum, sums[i][r]);
        }
        y[r * y_stride] = scale * sum_lanes(sum);
    }
}

template <WeightReading kReading>
void strided_dots(float* y, const float* w, size_t w_stride, const float* x, size_t rows, size_t n, float scale)
{
    size_t r = 0;
    for (; r + kGemvRows <= rows; r += kGemvRows) {
        rows_dot<kGemvRows, kReading>(y + r, w + r * w_stride, w_stride, x, n, scale);
    }
    for (; r < rows; r++) {
        rows_dot<1, kReading>(y + r, w + r * w_stride, w_stride, x, n, scale);
    }
}

// --- SGEMM ----------------------------------------------------------------------------------------------------------

constexpr size_t kTileRows = 4;
constexpr size_t kTileBatch = 2;
/// Columns a pass: the weights of a tile (4 rows, 8 KiB) stay in the first-level cache while the batch goes by.
constexpr size_t kBlockCols = 512;
/// Activations a pass: 64 x 512 floats are 128 KiB, which stay in the second-level cache while the rows go by.
constexpr size_t kBlockBatch = 64;

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
    __m128 sums[kBatch][kRows];
    for (size_t b = 0; b < kBatch; b++) {
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm_setzero_ps();
        }
    }
    size_t c = 0;
    for (; c + kLanes <= block.cols; c += kLanes) {
        __m128 activations[kBatch];
        for (size_t b = 0; b < kBatch; b++) {
            activations[b] = _mm_loadu_ps(x + b * block.x_stride + c);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m128 weights = _mm_loadu_ps(w + r * block.w_stride + c);
            for (size_t b = 0; b < kBatch; b++) {
                sums[b][r] = _mm_add_ps(sums[b][r], _mm_mul_ps(weights, activations[b]));
            }
        }
    }
    if (c < block.cols) {
        const size_t left = block.cols - c;
        for (size_t r = 0; r < kRows; r++) {
            const __m128 weights = load_tail(w + r * block.w_stride + c, left);
            for (size_t b = 0; b < kBatch; b++) {
                const __m128 activations = load_tail(x + b * block.x_stride + c, left);
                sums[b][r] = _mm_add_ps(sums[b][r], _mm_mul_ps(weights, activations));
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
    if (b < batch) {
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
    strided_dots<WeightReading::one_stream>(y, w, cols, x, rows, cols, 1.0f);
}

void gemv_f32_side_by_side(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    strided_dots<WeightReading::side_by_side>(y, w, cols, x, rows, cols, 1.0f);
}

void gemv_f32_in_places(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    const size_t each = rows / kPlaces;
    for (size_t r = 0; r < each; r++) {
        rows_dot<kPlaces, WeightReading::in_places>(y + r, w + r * cols, each * cols, x, cols, 1.0f, each);
    }
    const size_t done = kPlaces * each;
    strided_dots<WeightReading::one_stream>(y + done, w + done * cols, cols, x, rows - done, cols, 1.0f);
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
    // A tile over all columns sums in the order of rows_dot<4>: one vector behind the other, then the lanes.
    const Block block = {y_stride, cols, x_stride, cols, false};
    static_assert(kTileRows == kGemvRows);
    size_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows) {
        const float* const row_w = w + r * cols;
        const float* const next_w = r + 2 * kTileRows <= rows ? row_w + kTileRows * cols : nullptr;
        row_of_tiles<kTileRows>(y + r, row_w, next_w, x, batch, block);
    }
    for (; r < rows; r++) {
        for (size_t b = 0; b < batch; b++) {
            rows_dot<1>(y + b * y_stride + r, w + r * cols, cols, x + b * x_stride, cols, 1.0f);
        }
    }
}

} // namespace llmk::djiblas::sse2
