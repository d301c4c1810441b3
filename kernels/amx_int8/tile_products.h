// SPDX-License-Identifier: MIT
//
// Products with panels on tiles. A line of a panel is a row of a tile: four codes of each of sixteen rows of weights.
// So sixteen rows of input times sixteen rows of weights, 32 columns at a time (16 where a scale has 16), are one
// multiplication of tiles; what it gives are the exact sums that all sets compute, and the rest is done as
// kernels/panel_products.h does it, with the operations of avx512_vnni in the same order: the bits are that set's.
//
// The file that includes this defines LLMK_KERNEL_SET, the name of its namespace, and `Tiles` in an anonymous namespace
// there: the operations of ProcessorTiles (kernels/amx_tiles.h). The kernel checks include it a second time, with tiles
// that are computed.
//
// Fewer rows of input than a tile has are avx512_vnni's. The last rows of a batch share a tile with rows before them,
// whose sums are made once more and dropped: that costs what a smaller tile would.
#pragma once

#include "kernels/amx_tiles.h"
#include "kernels/panel_vectors_512.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

struct Isa : UnsignedCodes512 {
    // For the loops over vectors, which are not compiled here.
    static constexpr size_t kTokens = 1;
    template <size_t kQuads> static Ints dot(const Words* codes, const int8_t* q, Ints first);
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET

#include "kernels/panel_products.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

static_assert(kPanelRows == amx::kTileRows && kParts == 1);
constexpr size_t kTileRows = amx::kTileRows;
/// Bytes of a line of a panel, and of sums.
constexpr size_t kLine = amx::kTileRowBytes;

// Which tile is what. Two of each: one is being filled while the other's sums are used.
constexpr int kSumsTile = 0;
constexpr int kInputTile = 2;
constexpr int kCodesTile = 4;

/// Shapes where a scale has `columns` columns.
constexpr amx::TileConfig tile_shapes(size_t columns)
{
    amx::TileConfig config = {};
    config.palette = 1;
    for (int turn = 0; turn < 2; turn++) {
        config.rows[kSumsTile + turn] = kTileRows;
        config.row_bytes[kSumsTile + turn] = kLine;
        config.rows[kInputTile + turn] = kTileRows;
        config.row_bytes[kInputTile + turn] = static_cast<uint16_t>(columns);
        config.rows[kCodesTile + turn] = static_cast<uint8_t>(columns / 4);
        config.row_bytes[kCodesTile + turn] = kLine;
    }
    return config;
}

/// Of 32 columns at a time; sums rest in the output between one strip and the next.
constexpr size_t kStripBlocks = 8;

/// Columns of a panel whose codes and scales lie open for all rows of input. Types that are laid out alike share this.
template <size_t kGroups, bool kBias> struct Strip {
    static constexpr size_t kGroupColumns = kInputBlock / kGroups;
    static constexpr size_t kGroupQuads = kQuads / kGroups;

    Words codes[kStripBlocks * kQuads];
    Floats scales[kStripBlocks * kGroups];
    Floats biases[kBias ? kStripBlocks * kGroups : 1];
    SumStart<kGroups, kBias> start{0};
    size_t blocks;
    alignas(64) int32_t sums[2][kTileRows * kPanelRows];

    /// `count` blocks from `unit` on; returns where the next ones lie.
    template <class Type> const uint8_t* unpack(const uint8_t* unit, size_t count)
    {
        start = SumStart<kGroups, kBias>(Type::kOffset);
        blocks = count;
        for (size_t first = 0; first < count; first += Type::kBlocks, unit += Type::kUnitBytes) {
            Type type;
            type.load(unit, 0);
            for (size_t b = 0; b < Type::kBlocks; b++) {
                type.codes(b, codes + (first + b) * kQuads);
                for (size_t g = 0; g < kGroups; g++) {
                    scales[(first + b) * kGroups + g] = type.scale(b, g);
                    if constexpr (kBias) {
                        biases[(first + b) * kGroups + g] = type.bias(b, g);
                    }
                }
            }
        }
        return unit;
    }

    /// Makes the sums of a group of columns, the `step`-th of the strip. `q` is where the rows of input begin it,
    /// `stride` values apart.
    template <int kTurn> void multiply(size_t step, const int8_t* q, size_t stride)
    {
        Tiles::template zero<kSumsTile + kTurn>();
        Tiles::template load<kInputTile + kTurn>(q + step * kGroupColumns, stride);
        Tiles::template load<kCodesTile + kTurn>(codes + step * kGroupQuads, kLine);
        Tiles::template multiply<kSumsTile + kTurn, kInputTile + kTurn, kCodesTile + kTurn>();
        Tiles::template store<kSumsTile + kTurn>(sums[kTurn], kLine);
    }

    /// Adds them to the rows' totals. `inputs` are the first row's at the strip's first block, `stride` from row to
    /// row.
    template <int kTurn> void add(Floats* totals, size_t step, const InputScale* inputs, size_t stride) const
    {
        constexpr size_t kSum = kGroups == 1 ? 2 : kTurn; // which of InputScale::sums
#pragma GCC unroll 16
        for (size_t row = 0; row < kTileRows; row++) {
            Ints exact;
            __builtin_memcpy(&exact, sums[kTurn] + row * kPanelRows, sizeof exact);
            const InputScale& input = inputs[row * stride + step / kGroups];
            exact += start(input, kGroups == 1 ? 0 : kTurn);
            const Floats bias = kBias ? biases[step] : Floats{};
            totals[row] = add_float_sum<kBias>(totals[row], exact, scales[step], bias, input, input.sums[kSum]);
        }
    }

    /// All of the strip for sixteen rows of input. Each tile is multiplied while the sums of the one before are added.
    void add_rows(Floats* totals, const int8_t* q, size_t q_stride, const InputScale* inputs)
    {
        const size_t steps = blocks * kGroups;
        const size_t stride = q_stride / kInputBlock;
        multiply<0>(0, q, q_stride);
        for (size_t step = 0; step < steps; step += 2) {
            const bool pair = step + 1 < steps;
            if (pair) {
                multiply<1>(step + 1, q, q_stride);
            }
            add<0>(totals, step, inputs, stride);
            if (step + 2 < steps) {
                multiply<0>(step + 2, q, q_stride);
            }
            if (pair) {
                add<1>(totals, step + 1, inputs, stride);
            }
        }
    }
};

/// Sixteen rows of input, by the strip that begins with `block`; the first `done` of them have their outputs already.
template <class AnyStrip> [[gnu::noinline]] void add_tile(AnyStrip& strip, size_t block, float* y, size_t y_stride,
                                                          const int8_t* q, size_t q_stride, const InputScale* inputs,
                                                          size_t done)
{
    Floats totals[kTileRows];
#pragma GCC unroll 16
    for (size_t row = 0; row < kTileRows; row++) {
        totals[row] = Floats{};
        if (block != 0) {
            __builtin_memcpy(&totals[row], y + row * y_stride, sizeof(Floats));
        }
    }
    strip.add_rows(totals, q + block * kInputBlock, q_stride, inputs + block);
#pragma GCC unroll 16
    for (size_t row = 0; row < kTileRows; row++) {
        if (row >= done) {
            __builtin_memcpy(y + row * y_stride, &totals[row], sizeof(Floats));
        }
    }
}

template <class Type>
void tile_product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    static constexpr amx::TileConfig kShapes = tile_shapes(kInputBlock / Type::kGroups);
    if (x.batch < kTileRows) {
        kAvx512Vnni.panels->product[static_cast<size_t>(Type::kPanelType)](y, y_stride, data, panels, x);
        return;
    }
    const size_t blocks = x.cols / kInputBlock;
    const size_t last = x.batch - kTileRows;
    Strip<Type::kGroups, Type::kBias> strip;
    Tiles::configure(kShapes);
    for (size_t i = 0; i < panels; i++, y += kPanelRows) {
        for (size_t block = 0; block < blocks; block += strip.blocks) {
            const size_t left = blocks - block;
            data = strip.template unpack<Type>(data, left < kStripBlocks ? left : kStripBlocks);
            for (size_t token = 0; token < x.batch; token += kTileRows) {
                const size_t first = token < last ? token : last;
                add_tile(strip, block, y + first * y_stride, y_stride, x.q + first * x.stride, x.stride,
                         x.scales + first * (x.stride / kInputBlock), token - first);
            }
        }
    }
    Tiles::release();
}

/// For a table of products.
template <class Type> struct TileLoops {
    static constexpr PanelProduct kProduct = tile_product<Type>;
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
