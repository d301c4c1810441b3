// SPDX-License-Identifier: MIT
//
// SGEMM of a larger batch: inputs are turned, so that a vector holds one column of sixteen of them, and weights are
// taken one by one where they lie. There are no sums over lanes; a tile's outputs are turned back instead.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/row_products.h"

namespace llmk::djiblas::avx512 {

namespace {

static_assert(TurnedInput::kRows == kLanes);

/// Eight rows of weights by two panels of inputs: 16 accumulators, two inputs and a weight. 16 multiply-adds for ten
/// loads.
constexpr size_t kTileRows = 8;
constexpr size_t kTilePanels = 2;
/// Columns a pass: the weights of a tile (8 KiB) and two panels (32 KiB) go by within the first-level cache.
constexpr size_t kBlockCols = TurnedInput::kCols;
/// Rows a pass: the inputs of so many columns and the outputs of so many rows stay in the second-level cache.
constexpr size_t kBlockRows = 192;

/// Lane 4q + j of four vectors, one behind the other, is quarter q of fours[j].
inline void turn_fours(const __m512* v, __m512 (&fours)[4])
{
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
    fours[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
    fours[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
    fours[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
    fours[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
}

/// Lane i of vector j goes to lane j of vector i.
inline void transpose(__m512 (&v)[kLanes])
{
    __m512 fours[4][4]; // by fours of vectors, then as turn_fours has them
#pragma GCC unroll 4
    for (size_t g = 0; g < 4; g++) {
        turn_fours(v + 4 * g, fours[g]);
    }
    constexpr int kEven = 0x88; // quarters 0 and 2 of each of two vectors
    constexpr int kOdd = 0xdd;
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const __m512 even_first = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kEven);
        const __m512 even_last = _mm512_shuffle_f32x4(fours[2][j], fours[3][j], kEven);
        const __m512 odd_first = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kOdd);
        const __m512 odd_last = _mm512_shuffle_f32x4(fours[2][j], fours[3][j], kOdd);
        v[j] = _mm512_shuffle_f32x4(even_first, even_last, kEven);
        v[4 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kEven);
        v[8 + j] = _mm512_shuffle_f32x4(even_first, even_last, kOdd);
        v[12 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kOdd);
    }
}

/// TurnedGemm::turn.
void turn(float* values, const float* x, size_t x_stride, size_t row, size_t batch, size_t cols)
{
    for (size_t c = 0; c < cols; c += kLanes) {
        const size_t block_col = c / kBlockCols * kBlockCols;
        float* const out = values + TurnedInput::at(row, block_col, batch, cols) + (c - block_col) * kLanes;
        const size_t count = cols - c < kLanes ? cols - c : kLanes;
        const __mmask16 mask = lane_mask(count);
        __m512 block[kLanes];
#pragma GCC unroll 16
        for (size_t r = 0; r < kLanes; r++) {
            block[r] =
                row + r < batch ? _mm512_maskz_loadu_ps(mask, x + (row + r) * x_stride + c) : _mm512_setzero_ps();
        }
        transpose(block);
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) {
            if (i < count) {
                _mm512_storeu_ps(out + i * kLanes, block[i]);
            }
        }
    }
}

/// Rows of weights as float32.
struct Weights {
    const float* values;
    size_t stride;
};

/// Some columns of kRows rows: where they lie, or unpacked into `buffer`.
template <class Type, size_t kRows>
Weights as_floats(float (&buffer)[kRows * kBlockCols], const uint8_t* w, size_t row_bytes, size_t cols)
{
    if constexpr (Type::kBytes == sizeof(float)) {
        return {reinterpret_cast<const float*>(w), row_bytes / sizeof(float)};
    } else {
        for (size_t r = 0; r < kRows; r++) {
            for (size_t c = 0; c < cols; c += kLanes) {
                const __m512 values = Type::load(lane_mask(cols - c), w + r * row_bytes + c * Type::kBytes);
                _mm512_storeu_ps(buffer + r * kBlockCols + c, values);
            }
        }
        return {buffer, kBlockCols};
    }
}

/// Where a tile's outputs go.
struct Outputs {
    float* y;
    size_t y_stride;
    size_t inputs; ///< of a panel: 1 to sixteen
    bool is_first; ///< of the passes over columns: sums are written, else added. (To begin a sum with what is in y
                   ///< would wait for it, and make one long sum of all columns.)
};

/// Lane b of sums[r] goes to y[b * y_stride + r].
inline void put(const __m512 (&sums)[kTileRows], const Outputs& out)
{
    constexpr int kFirstHalves = 0x44; // quarters 0 and 1 of each of two vectors
    constexpr int kLastHalves = 0xee;
    constexpr int kSwapMiddle = 0xd8;
    __m512 fours[2][4];
    turn_fours(sums, fours[0]);
    turn_fours(sums + 4, fours[1]);
    const auto store = [&out](size_t input, __m256 eight) {
        float* const y = out.y + input * out.y_stride;
        if (input < out.inputs) {
            _mm256_storeu_ps(y, out.is_first ? eight : _mm256_add_ps(_mm256_loadu_ps(y), eight));
        }
    };
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const __m512 low = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kFirstHalves);
        const __m512 high = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kLastHalves);
        const __m512 first = _mm512_shuffle_f32x4(low, low, kSwapMiddle);
        const __m512 last = _mm512_shuffle_f32x4(high, high, kSwapMiddle);
        store(j, _mm512_castps512_ps256(first));
        store(4 + j, _mm512_extractf32x8_ps(first, 1));
        store(8 + j, _mm512_castps512_ps256(last));
        store(12 + j, _mm512_extractf32x8_ps(last, 1));
    }
}

inline void put(const __m512 (&sums)[1], const Outputs& out)
{
    float lanes[kLanes];
    _mm512_storeu_ps(lanes, sums[0]);
    for (size_t b = 0; b < out.inputs; b++) {
        float* const y = out.y + b * out.y_stride;
        *y = out.is_first ? lanes[b] : *y + lanes[b];
    }
}

/// What a tile asks memory for while it goes over its columns: the same columns of some rows to come. Where there is
/// nothing, a prefetch does not mind. (All at once they would wait for each other.)
struct Ahead {
    const uint8_t* w;
    size_t row_bytes;
    size_t col_bytes;
    size_t rows;
};

/// Some columns of kRows rows of weights by kPanels panels, the last of which holds `out.inputs`, the others sixteen.
template <size_t kRows, size_t kPanels>
void tile(const Outputs& out, const Weights& w, const float* x, size_t cols, const Ahead& ahead)
{
    constexpr size_t kStep = 16; // columns: a line of a row of float32
    __m512 sums[kPanels][kRows];
#pragma GCC unroll 2
    for (size_t p = 0; p < kPanels; p++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            sums[p][r] = _mm512_setzero_ps();
        }
    }
    const auto column = [&](size_t c) __attribute__((always_inline))
    {
        __m512 inputs[kPanels];
#pragma GCC unroll 2
        for (size_t p = 0; p < kPanels; p++) {
            inputs[p] = _mm512_loadu_ps(x + (p * cols + c) * kLanes);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m512 weight = _mm512_set1_ps(w.values[r * w.stride + c]);
#pragma GCC unroll 2
            for (size_t p = 0; p < kPanels; p++) {
                sums[p][r] = _mm512_fmadd_ps(weight, inputs[p], sums[p][r]);
            }
        }
    };
    size_t c = 0;
    for (; c + kStep <= cols; c += kStep) {
        // Their last byte: where rows begin within a line, that line came with the columns before.
        for (size_t r = 0; r < ahead.rows; r++) {
            prefetch(ahead.w, r * ahead.row_bytes + (c + kStep) * ahead.col_bytes - 1);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < kStep; i++) {
            column(c + i);
        }
    }
    for (; c < cols; c++) {
        column(c);
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < kPanels; p++) {
        const size_t inputs = p + 1 < kPanels ? kLanes : out.inputs;
        put(sums[p], {out.y + p * kLanes * out.y_stride, out.y_stride, inputs, out.is_first});
    }
}

/// Some columns of kRows rows by the whole batch. Meanwhile those of as many rows from `next` on come into the cache.
template <class Type, size_t kRows> void tiles(float* y, size_t y_stride, const uint8_t* w, const uint8_t* next,
                                               const TurnedInput& x, size_t first_col, size_t cols)
{
    constexpr size_t kInputs = kTilePanels * kLanes;
    const size_t row_bytes = x.cols * Type::kBytes;
    float buffer[kRows * kBlockCols];
    const Weights weights = as_floats<Type, kRows>(buffer, w, row_bytes, cols);
    const size_t rows_a_tile = (kRows * kInputs + x.batch - 1) / x.batch;
    Ahead ahead = {next, row_bytes, Type::kBytes, 0};
    size_t asked = 0;
    for (size_t b = 0; b < x.batch; b += kInputs) {
        ahead.w += ahead.rows * row_bytes;
        ahead.rows = kRows - asked < rows_a_tile ? kRows - asked : rows_a_tile;
        asked += ahead.rows;
        const float* const inputs = x.values + TurnedInput::at(b, first_col, x.batch, x.cols);
        const size_t left = x.batch - b;
        const bool is_first = first_col == 0;
        float* const out = y + b * y_stride;
        if (left > kLanes) {
            tile<kRows, kTilePanels>({out, y_stride, left < kInputs ? left - kLanes : kLanes, is_first}, weights,
                                     inputs, cols, ahead);
        } else {
            tile<kRows, 1>({out, y_stride, left, is_first}, weights, inputs, cols, ahead);
        }
    }
}

template <class Type> void product(float* y, size_t y_stride, const uint8_t* w, size_t rows, const TurnedInput& x)
{
    const size_t row_bytes = x.cols * Type::kBytes;
    for (size_t block = 0; block < rows; block += kBlockRows) {
        const size_t end = rows - block < kBlockRows ? rows : block + kBlockRows;
        size_t c = 0;
        do { // once even without columns: the sums are zero then
            const size_t cols = x.cols - c < kBlockCols ? x.cols - c : kBlockCols;
            // After the last rows, the next columns of the first, or the next block.
            const uint8_t* const after =
                c + cols < x.cols ? w + block * row_bytes + (c + cols) * Type::kBytes : w + end * row_bytes;
            for (size_t r = block; r < end;) {
                const uint8_t* const at = w + r * row_bytes + c * Type::kBytes;
                const size_t count = end - r < kTileRows ? 1 : kTileRows;
                const uint8_t* const next = r + count < end ? at + count * row_bytes : after;
                if (count == kTileRows) {
                    tiles<Type, kTileRows>(y + r, y_stride, at, next, x, c, cols);
                } else {
                    tiles<Type, 1>(y + r, y_stride, at, next, x, c, cols);
                }
                r += count;
            }
            c += cols;
        } while (c < x.cols);
    }
}

} // namespace

constinit const TurnedGemm kTurned = {turn, product<F32>, product<F16>, product<Bf16>};

} // namespace llmk::djiblas::avx512
