// SPDX-License-Identifier: MIT
//
// Products with panels on tiles. A line of a panel is a row of a tile: four codes of each of sixteen rows of weights.
// So sixteen rows of input times sixteen rows of weights, 32 columns at a time (16 where a scale has 16), are one
// multiplication of tiles; what it gives are the exact sums that all sets compute, and the rest is done as
// kernels/panel_products.h does it, with the operations of avx512_vnni in the same order: the bits are that set's.
//
// The file that includes this defines LLMK_KERNEL_SET, the name of its namespace, and `Tiles` in an anonymous namespace
// there: the operations of ProcessorTiles (tiles.h). The kernel checks include it a second time, with tiles that are
// computed.
//
// Fewer rows of input than a tile has are avx512_vnni's. The last rows of a batch share a tile with rows before them,
// whose sums are made once more and dropped: that costs what a smaller tile would.
#pragma once

#include "kernels/amx_int8/tiles.h"
#include "kernels/djiblas.h"

#include <immintrin.h>

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

struct Isa {
    using Words [[gnu::vector_size(64)]] = uint32_t;
    using Ints [[gnu::vector_size(64)]] = int32_t;
    using Floats [[gnu::vector_size(64)]] = float;
    using Input = const int8_t*;
    /// Unsigned codes, as avx512_vnni has them: another bias would round otherwise.
    static constexpr int kSignedBias = 128;
    static constexpr bool kByWord = false;
    static constexpr bool kScaledPairs = false;

    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats halves(const uint8_t* p)
    {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Words signed_codes(Words w) { return w ^ 0x80808080u; }
    static Words lookup(Words w)
    {
        const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values)));
        return reinterpret_cast<Words>(_mm512_shuffle_epi8(table, reinterpret_cast<__m512i>(w)));
    }

    // For the loops over vectors, which are not compiled here.
    static constexpr size_t kTokens = 1;
    static Input input(const int8_t* q);
    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input input);
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET

#include "kernels/panel_products.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

static_assert(kPanelRows == amx_int8::kTileRows && kParts == 1);
constexpr size_t kTileRows = amx_int8::kTileRows;
/// A row of input holds no more of a scale's columns than this.
constexpr size_t kLine = amx_int8::kTileRowBytes;

// Which tile is what. Two of each: one is being filled while the other's sums are used.
constexpr int kSumsTile = 0;
constexpr int kInputTile = 2;
constexpr int kCodesTile = 4;

/// Shapes where a scale has `columns` columns.
constexpr amx_int8::TileConfig tile_shapes(size_t columns)
{
    amx_int8::TileConfig config = {};
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

/// Eight blocks of 32 columns at most, whose codes lie open for all rows of input. Sums rest in the output between one
/// strip and the next.
constexpr size_t kStripBlocks = 8;

template <class Type> struct Strip {
    static constexpr size_t kGroups = Type::kGroups;
    static constexpr size_t kGroupColumns = kInputBlock / kGroups;
    static constexpr size_t kGroupQuads = kQuads / kGroups;

    Words codes[kStripBlocks * kQuads];
    Type units[kStripBlocks / Type::kBlocks];
    alignas(64) int32_t sums[2][kTileRows * kPanelRows];
    size_t blocks;

    /// `count` blocks from `unit` on; returns where the next ones lie.
    const uint8_t* unpack(const uint8_t* unit, size_t count)
    {
        blocks = count;
        for (size_t b = 0; b < blocks; b += Type::kBlocks, unit += Type::kUnitBytes) {
            Type& type = units[b / Type::kBlocks];
            type.load(unit, 0);
            for (size_t i = 0; i < Type::kBlocks; i++) {
                type.codes(i, codes + (b + i) * kQuads);
            }
        }
        return unit;
    }

    /// Begins the sums of a group of columns, the `step`-th of the strip. `q` is where the rows of input begin it.
    template <int kTurn> void multiply(size_t step, const int8_t* q, size_t cols)
    {
        Tiles::template zero<kSumsTile + kTurn>();
        Tiles::template load<kInputTile + kTurn>(q + step * kGroupColumns, cols);
        Tiles::template load<kCodesTile + kTurn>(codes + step * kGroupQuads, kLine);
        Tiles::template multiply<kSumsTile + kTurn, kInputTile + kTurn, kCodesTile + kTurn>();
        Tiles::template store<kSumsTile + kTurn>(sums[kTurn], kLine);
    }

    /// Adds them to the rows' totals. `scales` are those of the first row at the strip's first block.
    template <int kTurn> void add(Floats* totals, size_t step, const InputScale* scales, size_t stride) const
    {
        const size_t block = step / kGroups;
        const Type& type = units[block / Type::kBlocks];
#pragma GCC unroll 16
        for (size_t row = 0; row < kTileRows; row++) {
            Ints exact;
            __builtin_memcpy(&exact, sums[kTurn] + row * kPanelRows, sizeof exact);
            totals[row] = add_exact < Type,
            kGroups == 1 ? 0 : kTurn > (totals[row], type, block % Type::kBlocks, exact, scales[row * stride + block]);
        }
    }

    /// All of the strip for sixteen rows of input. Each tile is multiplied while the sums of the one before are added.
    void add_rows(Floats* totals, const int8_t* q, size_t cols, const InputScale* scales)
    {
        const size_t steps = blocks * kGroups;
        const size_t stride = cols / kInputBlock;
        multiply<0>(0, q, cols);
        for (size_t step = 0; step < steps; step += 2) {
            const bool pair = step + 1 < steps;
            if (pair) {
                multiply<1>(step + 1, q, cols);
            }
            add<0>(totals, step, scales, stride);
            if (step + 2 < steps) {
                multiply<0>(step + 2, q, cols);
            }
            if (pair) {
                add<1>(totals, step + 1, scales, stride);
            }
        }
    }
};

/// Sixteen rows of input from `token` on, of which the first `done` have their outputs already.
template <class Type> inline void add_tile(Strip<Type>& strip, size_t block, float* y, size_t y_stride,
                                           const PanelInput& x, size_t token, size_t done)
{
    Floats totals[kTileRows];
    float* out = y + token * y_stride;
#pragma GCC unroll 16
    for (size_t row = 0; row < kTileRows; row++) {
        totals[row] = Floats{};
        if (block != 0) {
            __builtin_memcpy(&totals[row], out + row * y_stride, sizeof(Floats));
        }
    }
    strip.add_rows(totals, x.q + token * x.cols + block * kInputBlock, x.cols,
                   x.scales + token * (x.cols / kInputBlock) + block);
#pragma GCC unroll 16
    for (size_t row = 0; row < kTileRows; row++) {
        if (row >= done) {
            __builtin_memcpy(out + row * y_stride, &totals[row], sizeof(Floats));
        }
    }
}

template <class Type>
void tile_product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    static constexpr amx_int8::TileConfig kShapes = tile_shapes(Strip<Type>::kGroupColumns);
    if (x.batch < kTileRows) {
        kAvx512Vnni.panels->product[static_cast<size_t>(Type::kPanelType)](y, y_stride, data, panels, x);
        return;
    }
    const size_t blocks = x.cols / kInputBlock;
    Strip<Type> strip;
    Tiles::configure(kShapes);
    for (size_t i = 0; i < panels; i++, y += kPanelRows) {
        for (size_t block = 0; block < blocks; block += strip.blocks) {
            const size_t left = blocks - block;
            data = strip.unpack(data, left < kStripBlocks ? left : kStripBlocks);
            const size_t last = x.batch - kTileRows;
            for (size_t token = 0; token < x.batch; token += kTileRows) {
                const size_t first = token < last ? token : last;
                add_tile(strip, block, y, y_stride, x, first, token - first);
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
