// SPDX-License-Identifier: MIT
//
// SGEMM of a larger batch: inputs are turned (djiblas::TurnedInput), so that a vector holds one column of as many of
// them as it has lanes, and weights are taken one by one. There are no sums over lanes; a tile's outputs are turned
// back instead. The order of operations of a sum depends on nothing but the count of columns.
//
// A set's turned.cpp defines `Isa` in an anonymous namespace, which must have:
//   Floats; kLanes, which divides TurnedInput::kRows: a vector, and its lanes
//   kTileRows, kTallRows: rows of weights of a tile that takes two vectors of inputs, and of one that takes one
//   Floats load(p), in_all_lanes(x), multiply_add(a, b, c): a * b + c with one rounding
//   Floats load_some(p, n): n to kLanes floats, and zeros
//   void store(p, v)
//   void transpose(v): lane i of v[j] goes to lane j of v[i], of kLanes vectors
//   void put(sums, y, y_stride, inputs): as put_lanes, for kTileRows rows
//   +: of Floats, lane by lane
//   void unpack(Type{}, out, w, n): n weights of Type as floats
// In an anonymous namespace: the linker must never merge it with copies compiled for another instruction set.
#pragma once

#include "kernels/djiblas.h"

#include <immintrin.h>

namespace llmk::djiblas {

namespace {

/// Columns a pass. What a tile has of the inputs (32 KiB at most) stays in the first-level cache while rows of weights
/// go by: the other way round, each tile loads three times as much from the second level.
constexpr size_t kPassCols = TurnedInput::kCols;
/// Rows a pass: so many columns of them (96 KiB) stay in the second-level cache while the inputs go by.
constexpr size_t kPassRows = 96;
/// Floats of weights that are unpacked at a time, on the stack.
constexpr size_t kUnpackedFloats = 8 * 1024;
/// Those, and sums that a pass over columns leaves to the next, on the stack: of so many inputs as there is room for.
constexpr size_t kStackFloats = 13 * 1024;

/// TurnedGemm::turn.
template <class Isa> void turn(float* values, const float* x, size_t x_stride, size_t row, size_t batch, size_t cols)
{
    constexpr size_t kLanes = Isa::kLanes;
    constexpr size_t kPanel = TurnedInput::kRows;
    for (size_t c = 0; c < cols; c += kLanes) {
        const size_t block_col = c / TurnedInput::kCols * TurnedInput::kCols;
        float* const out = values + TurnedInput::at(row, block_col, batch, cols) + (c - block_col) * kPanel;
        const size_t count = cols - c < kLanes ? cols - c : kLanes;
        for (size_t part = 0; part < kPanel; part += kLanes) {
            typename Isa::Floats block[kLanes];
#pragma GCC unroll 16
            for (size_t r = 0; r < kLanes; r++) {
                const size_t b = row + part + r;
                block[r] = b < batch ? Isa::load_some(x + b * x_stride + c, count) : typename Isa::Floats{};
            }
            Isa::transpose(block);
#pragma GCC unroll 16
            for (size_t i = 0; i < kLanes; i++) {
                if (i < count) {
                    Isa::store(out + i * kPanel + part, block[i]);
                }
            }
        }
    }
}

/// Where a tile's sums go.
struct TileOutputs {
    float* y;
    size_t y_stride;
    size_t inputs; ///< at least one
    /// What the passes over columns before this one came to: a vector of inputs for each row, one behind the other. (To
    /// begin a sum with it would wait for it, and make one long sum of all columns.)
    float* sums;
    size_t sums_stride; ///< floats from there to those of the next vector of inputs
    bool is_first;      ///< of the passes: there are no sums yet
    bool is_last;       ///< y is written, and no sums
};

/// Lane b of sums[r] goes to y[b * y_stride + r].
template <class Isa, size_t kRows>
void put_lanes(const typename Isa::Floats* sums, float* y, size_t y_stride, size_t inputs)
{
    float lanes[kRows][Isa::kLanes];
    __builtin_memcpy(lanes, sums, sizeof lanes);
    for (size_t b = 0; b < inputs; b++, y += y_stride) {
        for (size_t r = 0; r < kRows; r++) {
            y[r] = lanes[r][b];
        }
    }
}

/// Columns of a tile's step: a line of a row of float32.
constexpr size_t kStepCols = 16;

/// Rows from w on that memory is asked for while a tile goes over its columns, step by step. (All at once they would
/// wait for each other.)
struct TileAhead {
    uintptr_t w;
    size_t rows;
    size_t row_bytes;
    size_t step_bytes;
};

/// What memory is asked for during a pass: the pass to come, by each tile as much of it as the tile is of this one.
/// Where there is nothing, a prefetch does not mind.
class Ahead {
public:
    /// `rows` from w on; `work` is done meanwhile.
    Ahead(const uint8_t* w, size_t row_bytes, size_t col_bytes, size_t rows, size_t work)
        : m_w(reinterpret_cast<uintptr_t>(w)), m_row_bytes(row_bytes), m_col_bytes(col_bytes), m_rows(rows),
          m_work(work)
    {
    }

    /// What a tile asks for that is so much of the work.
    TileAhead of_tile(size_t work)
    {
        m_done += work;
        const size_t first = m_asked;
        m_asked = m_rows * m_done / m_work;
        return {m_w + first * m_row_bytes, m_asked - first, m_row_bytes, m_col_bytes * kStepCols};
    }

private:
    uintptr_t m_w;
    size_t m_row_bytes;
    size_t m_col_bytes;
    size_t m_rows;
    size_t m_work;
    size_t m_done = 0;
    size_t m_asked = 0; ///< rows
};

/// Some columns of kRows rows of weights by kVectors vectors of inputs, the last of which may hold less than all lanes.
template <class Isa, size_t kRows, size_t kVectors> [[gnu::noinline]] void
tile(const TileOutputs& out, const float* w, size_t w_stride, const float* x, size_t cols, const TileAhead& ahead)
{
    constexpr size_t kPanel = TurnedInput::kRows;
    using Floats = typename Isa::Floats;
    Floats sums[kVectors][kRows];
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; v++) {
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; r++) {
            sums[v][r] = Floats{};
        }
    }
    const auto column = [&](size_t c) __attribute__((always_inline))
    {
        Floats inputs[kVectors];
#pragma GCC unroll 2
        for (size_t v = 0; v < kVectors; v++) {
            const size_t input = v * Isa::kLanes;
            inputs[v] = Isa::load(x + (input / kPanel * cols + c) * kPanel + input % kPanel);
        }
#pragma GCC unroll 16
        for (size_t r = 0; r < kRows; r++) {
            const Floats weight = Isa::in_all_lanes(w[r * w_stride + c]);
#pragma GCC unroll 2
            for (size_t v = 0; v < kVectors; v++) {
                sums[v][r] = Isa::multiply_add(weight, inputs[v], sums[v][r]);
            }
        }
    };
    // The last byte of the step to come is asked for: where rows begin within a line, that line's first bytes came with
    // the step before. (An address that moves on takes fewer registers than one made from the column: 3 % of the time.)
    uintptr_t asked = ahead.w - 1;
    size_t c = 0;
    for (; c + kStepCols <= cols; c += kStepCols) {
        asked += ahead.step_bytes;
        uintptr_t at = asked;
        for (size_t r = ahead.rows; r != 0; r--, at += ahead.row_bytes) {
            __builtin_prefetch(reinterpret_cast<const void*>(at), 0, 2);
        }
#pragma GCC unroll 16
        for (size_t i = 0; i < kStepCols; i++) {
            column(c + i);
        }
    }
    for (; c < cols; c++) {
        column(c);
    }
#pragma GCC unroll 2
    for (size_t v = 0; v < kVectors; v++) {
        float* const kept = out.sums + v * out.sums_stride;
        if (!out.is_first) {
#pragma GCC unroll 16
            for (size_t r = 0; r < kRows; r++) {
                sums[v][r] += Isa::load(kept + r * Isa::kLanes);
            }
        }
        if (!out.is_last) {
#pragma GCC unroll 16
            for (size_t r = 0; r < kRows; r++) {
                Isa::store(kept + r * Isa::kLanes, sums[v][r]);
            }
            continue;
        }
        const size_t inputs = v + 1 < kVectors ? Isa::kLanes : out.inputs - v * Isa::kLanes;
        float* const y = out.y + v * Isa::kLanes * out.y_stride;
        if constexpr (kRows % Isa::kTileRows == 0) {
#pragma GCC unroll 2
            for (size_t r = 0; r < kRows; r += Isa::kTileRows) {
                Isa::put(sums[v] + r, y + r, out.y_stride, inputs);
            }
        } else {
            put_lanes<Isa, kRows>(sums[v], y, out.y_stride, inputs);
        }
    }
}

/// Some columns of `rows` rows by at most kVectors vectors of inputs: kRows at a time, then what is left by smaller
/// tiles.
template <class Isa, size_t kVectors, size_t kRows>
void tiles(TileOutputs out, const float* w, size_t w_stride, size_t rows, const float* x, size_t cols, Ahead& ahead)
{
    for (; rows >= kRows; rows -= kRows) {
        tile<Isa, kRows, kVectors>(out, w, w_stride, x, cols, ahead.of_tile(kRows * kVectors));
        out.y += kRows;
        out.sums += kRows * Isa::kLanes;
        w += kRows * w_stride;
    }
    if constexpr (kRows > 1) {
        constexpr size_t kLess = kRows > Isa::kTileRows ? Isa::kTileRows : kRows > 4 ? 4 : kRows / 2;
        tiles<Isa, kVectors, kLess>(out, w, w_stride, rows, x, cols, ahead);
    }
}

/// What a pass is of, for weights of Type::kBytes each: floats, or what Isa::unpack makes floats of.
template <class Isa, class Type> struct PassShape {
    static constexpr bool kUnpacks = Type::kBytes != sizeof(float);
    static constexpr size_t kRows =
        kUnpacks ? kUnpackedFloats / kPassCols / Isa::kTileRows * Isa::kTileRows : kPassRows;
    static constexpr size_t kUnpacked = kUnpacks ? kRows * kPassCols : 0; ///< floats
    static constexpr size_t kTileInputs = 2 * Isa::kLanes;
    static constexpr size_t kInputs = (kStackFloats - kUnpacked) / kRows / kTileInputs * kTileInputs;
    static_assert(kInputs > 0);
};

/// All columns of `rows` rows by the inputs [begin, end), at most as many as a pass has, pass by pass. `then` is what
/// weights are needed after that.
template <class Isa, class Type> void passes(float* y, size_t y_stride, const uint8_t* w, size_t rows,
                                             const uint8_t* then, const TurnedInput& x, size_t begin, size_t end)
{
    using Shape = PassShape<Isa, Type>;
    constexpr size_t kBytes = Type::kBytes;
    const size_t row_bytes = x.cols * kBytes;
    const size_t vectors = (end - begin + Isa::kLanes - 1) / Isa::kLanes;
    alignas(64) float sums[Shape::kRows * Shape::kInputs];
    size_t c = 0;
    do { // once even without columns: the sums are zero then
        const size_t cols = x.cols - c < kPassCols ? x.cols - c : kPassCols;
        const bool is_last = c + cols == x.cols;
        const uint8_t* const at = w + c * kBytes;
        Ahead ahead(is_last ? then : at + cols * kBytes, row_bytes, kBytes, rows, rows * vectors);
        float unpacked[Shape::kUnpacks ? Shape::kUnpacked : 1];
        const float* values = reinterpret_cast<const float*>(at);
        size_t stride = x.cols;
        if constexpr (Shape::kUnpacks) {
            for (size_t r = 0; r < rows; r++) {
                Isa::unpack(Type{}, unpacked + r * kPassCols, at + r * row_bytes, cols);
            }
            values = unpacked;
            stride = kPassCols;
        }
        for (size_t b = begin; b < end; b += Shape::kTileInputs) {
            const size_t inputs = end - b < Shape::kTileInputs ? end - b : Shape::kTileInputs;
            const TileOutputs out = {.y = y + b * y_stride,
                                     .y_stride = y_stride,
                                     .inputs = inputs,
                                     .sums = sums + (b - begin) * rows,
                                     .sums_stride = rows * Isa::kLanes,
                                     .is_first = c == 0,
                                     .is_last = is_last};
            const float* const panel = x.values + TurnedInput::at(b, c, x.batch, x.cols);
            if (inputs > Isa::kLanes) {
                tiles<Isa, 2, Isa::kTileRows>(out, values, stride, rows, panel, cols, ahead);
            } else {
                tiles<Isa, 1, Isa::kTallRows>(out, values, stride, rows, panel, cols, ahead);
            }
        }
        c += cols;
    } while (c < x.cols);
}

/// TurnedProduct.
template <class Isa, class Type>
void product(float* y, size_t y_stride, const uint8_t* w, size_t rows, const TurnedInput& x)
{
    using Shape = PassShape<Isa, Type>;
    const size_t row_bytes = x.cols * Type::kBytes;
    for (size_t first = 0; first < rows; first += Shape::kRows) {
        const size_t count = rows - first < Shape::kRows ? rows - first : Shape::kRows;
        const uint8_t* const own = w + first * row_bytes;
        for (size_t begin = 0; begin < x.batch; begin += Shape::kInputs) {
            const bool is_last = x.batch - begin <= Shape::kInputs;
            // The same rows once more, for other inputs, or the next ones.
            const uint8_t* const then = is_last ? own + count * row_bytes : own;
            passes<Isa, Type>(y + first, y_stride, own, count, then, x, begin,
                              is_last ? x.batch : begin + Shape::kInputs);
        }
    }
}

} // namespace

} // namespace llmk::djiblas
