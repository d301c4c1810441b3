// SPDX-License-Identifier: MIT
//
// Products with rows of float32 inputs; weights are float32, or halves that are converted in registers on the way.
// Where memory is slower than the arithmetic each accumulator is a vector of partial sums along the columns, where
// weights and activations are both contiguous; lanes are summed once, at the end. SGEMM of a larger batch turns a piece
// of the weights at a time, so that a vector holds a column of sixteen rows.
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

/// For more: a tile of 48 rows of weights, turned so that a vector holds a column of sixteen, by 8 rows of input. 24
/// accumulators, three weights and one activation are 28 registers: 24 multiply-adds for 11 loads, and no sums over
/// lanes.
constexpr size_t kTileVectors = 3;
constexpr size_t kTileBatch = 8;
/// Columns that are turned at a time: 9 KiB of weights stay in the first-level cache while the batch goes by.
constexpr size_t kChunkCols = 48;
/// Rows a pass: the activations of a chunk's columns and the outputs of so many rows stay in the second-level cache.
constexpr size_t kBlockRows = 5 * kTileVectors * kLanes;

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

/// Some columns of kVectors times sixteen rows of weights.
template <size_t kVectors> struct Chunk {
    __m512 weights[kChunkCols][kVectors];
    size_t cols;
};

/// Lane i of vector j goes to lane j of vector i.
inline void transpose(__m512 (&v)[kLanes])
{
    __m512 pairs[kLanes]; // of two rows: columns 4q and 4q + 1 in quarter q, then 4q + 2 and 4q + 3
#pragma GCC unroll 8
    for (size_t i = 0; i < kLanes; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    __m512 fours[4][4]; // of rows 4g to 4g + 3: column 4q + j in quarter q of fours[j][g]
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
#pragma GCC unroll 2
        for (size_t i = 0; i < 2; i++) {
            const __m512d first = _mm512_castps_pd(pairs[4 * g + i]);
            const __m512d last = _mm512_castps_pd(pairs[4 * g + 2 + i]);
            fours[2 * i][g] = _mm512_castpd_ps(_mm512_unpacklo_pd(first, last));
            fours[2 * i + 1][g] = _mm512_castpd_ps(_mm512_unpackhi_pd(first, last));
        }
    }
    constexpr int kEven = 0x88; // quarters 0 and 2 of each of two vectors
    constexpr int kOdd = 0xdd;
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const __m512 even_first = _mm512_shuffle_f32x4(fours[j][0], fours[j][1], kEven);
        const __m512 even_last = _mm512_shuffle_f32x4(fours[j][2], fours[j][3], kEven);
        const __m512 odd_first = _mm512_shuffle_f32x4(fours[j][0], fours[j][1], kOdd);
        const __m512 odd_last = _mm512_shuffle_f32x4(fours[j][2], fours[j][3], kOdd);
        v[j] = _mm512_shuffle_f32x4(even_first, even_last, kEven);
        v[4 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kEven);
        v[8 + j] = _mm512_shuffle_f32x4(even_first, even_last, kOdd);
        v[12 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kOdd);
    }
}

template <class Type, size_t kVectors> void turn(Chunk<kVectors>& chunk, const uint8_t* w, size_t row_bytes)
{
    for (size_t v = 0; v < kVectors; v++, w += kLanes * row_bytes) {
        for (size_t c = 0; c < chunk.cols; c += kLanes) {
            const __mmask16 mask = lane_mask(chunk.cols - c);
            __m512 block[kLanes];
#pragma GCC unroll 16
            for (size_t r = 0; r < kLanes; r++) {
                block[r] = Type::load(mask, w + r * row_bytes + c * Type::kBytes);
            }
            transpose(block);
#pragma GCC unroll 16
            for (size_t i = 0; i < kLanes; i++) {
                chunk.weights[c + i][v] = block[i];
            }
        }
    }
}

/// Adds a chunk's products with kBatch rows of input to y, or writes them where it is the first. (To begin the sums
/// with what is in y would wait for it, and make one long sum of all columns.)
template <size_t kVectors, size_t kBatch>
[[gnu::noinline]] void tile(float* y, const float* x, const Rows& block, const Chunk<kVectors>& chunk, bool is_first)
{
    __m512 sums[kBatch][kVectors];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; v++) {
            sums[b][v] = _mm512_setzero_ps();
        }
    }
    for (size_t c = 0; c < chunk.cols; c++) {
#pragma GCC unroll 8
        for (size_t b = 0; b < kBatch; b++) {
            const __m512 activation = _mm512_set1_ps(x[b * block.x_stride + c]);
#pragma GCC unroll 4
            for (size_t v = 0; v < kVectors; v++) {
                sums[b][v] = _mm512_fmadd_ps(chunk.weights[c][v], activation, sums[b][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 4
        for (size_t v = 0; v < kVectors; v++) {
            float* out = y + b * block.y_stride + v * kLanes;
            _mm512_storeu_ps(out, is_first ? sums[b][v] : _mm512_add_ps(_mm512_loadu_ps(out), sums[b][v]));
        }
    }
}

/// A tile of `batch` rows of input, 1 to kTileBatch.
template <size_t kVectors, size_t kBatch = kTileBatch>
void tile_of(size_t batch, float* y, const float* x, const Rows& block, const Chunk<kVectors>& chunk, bool is_first)
{
    if constexpr (kBatch > 0) {
        if (batch == kBatch) {
            tile<kVectors, kBatch>(y, x, block, chunk, is_first);
        } else {
            tile_of<kVectors, kBatch - 1>(batch, y, x, block, chunk, is_first);
        }
    }
}

/// Some columns of kVectors times sixteen rows by the whole batch. Meanwhile those of as many rows from `next` on come
/// into the second-level cache, a few lines a tile. Where there is nothing, a prefetch does not mind.
template <class Type, size_t kVectors>
[[gnu::noinline]] void chunk_product(float* y, const uint8_t* w, const uint8_t* next, const float* x, size_t batch,
                                     const Rows& block, size_t cols, bool is_first)
{
    constexpr size_t kLine = 64;
    const size_t row_bytes = block.cols * Type::kBytes;
    Chunk<kVectors> chunk;
    chunk.cols = cols;
    turn<Type>(chunk, w, row_bytes);
    const size_t tiles = (batch + kTileBatch - 1) / kTileBatch;
    const size_t rows_ahead = (kVectors * kLanes + tiles - 1) / tiles;
    size_t ahead = 0;
    for (size_t b = 0; b < batch; b += kTileBatch) {
        for (size_t r = 0; r < rows_ahead; r++, ahead += row_bytes) {
            // One more: they may begin within a line.
            for (size_t at = 0; at < kChunkCols * Type::kBytes + kLine; at += kLine) {
                prefetch_l2(next, ahead + at);
            }
        }
        tile_of(batch - b < kTileBatch ? batch - b : kTileBatch, y + b * block.y_stride, x + b * block.x_stride, block,
                chunk, is_first);
    }
}

/// All columns of some rows, a multiple of sixteen, by the whole batch.
template <class Type>
void block_product(float* y, const uint8_t* w, const float* x, size_t rows, size_t batch, const Rows& block)
{
    const size_t row_bytes = block.cols * Type::kBytes;
    for (size_t c = 0; c < block.cols; c += kChunkCols) {
        const size_t cols = block.cols - c < kChunkCols ? block.cols - c : kChunkCols;
        for (size_t r = 0; r < rows;) {
            const uint8_t* chunk_w = w + r * row_bytes + c * Type::kBytes;
            const size_t vectors = (rows - r) / kLanes < kTileVectors ? (rows - r) / kLanes : kTileVectors;
            const size_t next_row = r + vectors * kLanes;
            const uint8_t* next =
                next_row < rows ? chunk_w + vectors * kLanes * row_bytes : w + (c + cols) * Type::kBytes;
            switch (vectors) {
            case 1:
                chunk_product<Type, 1>(y + r, chunk_w, next, x + c, batch, block, cols, c == 0);
                break;
            case 2:
                chunk_product<Type, 2>(y + r, chunk_w, next, x + c, batch, block, cols, c == 0);
                break;
            default:
                chunk_product<Type, kTileVectors>(y + r, chunk_w, next, x + c, batch, block, cols, c == 0);
                break;
            }
            r = next_row;
        }
    }
}

/// Of a batch that is not streamed, the rows that fill whole vectors. Returns how many that are.
template <class Type>
size_t gemm_turned(float* y, const uint8_t* w, const float* x, size_t rows, size_t batch, const Rows& block)
{
    const size_t end = batch <= kStreamedBatch || block.cols == 0 ? 0 : rows / kLanes * kLanes;
    for (size_t r = 0; r < end; r += kBlockRows) {
        block_product<Type>(y + r, w + r * block.cols * Type::kBytes, x, end - r < kBlockRows ? end - r : kBlockRows,
                            batch, block);
    }
    return end;
}

template <class Type> void gemm_halves(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride,
                                       size_t rows, size_t cols, size_t batch)
{
    const Rows all = {y_stride, x_stride, cols};
    const size_t done = gemm_turned<Type>(y, w, x, rows, batch, all);
    gemm_exact<Type>(y + done, w + done * cols * Type::kBytes, x, rows - done, batch, all);
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
    gemv<F32, Streams::one>(y, bytes(w), x, rows, cols);
}

void gemv_f32_far(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemv<F32, Streams::side_by_side>(y, bytes(w), x, rows, cols);
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    const Rows block = {y_stride, x_stride, cols};
    const size_t done = gemm_turned<F32>(y, bytes(w), x, rows, batch, block);
    gemm_streamed(y + done, w + done * cols, x, rows - done, batch, block);
}

void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch)
{
    gemm_exact<F32>(y, bytes(w), x, rows, batch, {y_stride, x_stride, cols});
}

void gemm_f16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    gemm_halves<F16>(y, y_stride, w, x, x_stride, rows, cols, batch);
}

void gemm_bf16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
               size_t batch)
{
    gemm_halves<Bf16>(y, y_stride, w, x, x_stride, rows, cols, batch);
}

} // namespace llmk::djiblas::avx512
