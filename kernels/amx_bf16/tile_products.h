// SPDX-License-Identifier: MIT
//
// Products with panels on tiles of BF16 numbers: for many rows of input whose bits need not be those of the rows by
// themselves. Weights are unpacked to what they stand for, their scales included, and rounded to BF16; the input is
// rounded likewise; products are summed in float32, on the tiles, over all columns. So nothing is left to do for each
// block of 32, which is what int8 tiles spend their time with. Rounding to BF16 is off by at most 2^-8 of the value, to
// int8 (kernels/panels.h) by 2^-8 of the largest of 32.
//
// The file that includes this defines LLMK_KERNEL_SET, the name of its namespace, and `Tiles` in an anonymous namespace
// there, as for kernels/amx_int8/tile_products.h.
#pragma once

#include "kernels/amx_tiles.h"
#include "kernels/panel_vectors_512.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// Of codes without a sign a byte of a lane is one by a shift or a mask.
using Isa = UnsignedCodes512;

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET

#include "kernels/panel_types.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

static_assert(kPanelRows == amx::kTileRows && kParts == 1);
constexpr size_t kTileRows = amx::kTileRows;
constexpr size_t kLine = amx::kTileRowBytes;

// Which tile is what: four of sums, of one panel by up to four times sixteen rows of input or of two panels by up to
// twice sixteen; then inputs; the last ones are a panel's weights each.
constexpr int kSumsTiles = 4;
constexpr int kTiles = 8;

constexpr amx::TileConfig tile_shapes()
{
    amx::TileConfig config = {};
    config.palette = 1;
    for (int tile = 0; tile < kTiles; tile++) {
        config.rows[tile] = kTileRows;
        config.row_bytes[tile] = kLine;
    }
    return config;
}

/// Two vectors of values as BF16, side by side in each lane.
inline Words pairs_of_bf16(Floats low, Floats high)
{
    using Places [[gnu::vector_size(64)]] = uint16_t;
    static constexpr Places kPlaces = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
    return reinterpret_cast<Words>(
        _mm512_permutexvar_epi16(reinterpret_cast<__m512i>(kPlaces), reinterpret_cast<__m512i>(both)));
}

/// 32 columns of a panel as a factor of tiles: a line holds two columns of each row.
struct Weights {
    Words lines[kTileRows];

    /// Block b of a unit.
    template <class Type> void unpack(const Type& type, size_t b)
    {
        constexpr size_t kGroupQuads = kQuads / Type::kGroups;
#pragma GCC unroll 2
        for (size_t g = 0; g < Type::kGroups; g++) {
            const Floats scale = type.scale(b, g);
            Floats bias;
            if constexpr (Type::kBias) {
                bias = type.bias(b, g);
            } else {
                bias = scale * static_cast<float>(-Type::kOffset);
            }
#pragma GCC unroll 8
            for (size_t j = g * kGroupQuads; j < (g + 1) * kGroupQuads; j++) {
                const Words codes = type.code(b, j);
                const auto value = [&](int i) {
                    return Isa::fma(to_floats(i == 3 ? codes >> 24 : (codes >> (8 * i)) & 0xffu), scale, bias);
                };
                lines[2 * j] = pairs_of_bf16(value(0), value(1));
                lines[2 * j + 1] = pairs_of_bf16(value(2), value(3));
            }
        }
    }
};

/// Calls function with the numbers 0 to kCount - 1, as constants.
template <size_t kCount, int kFirst = 0, class Function> void for_each_tile(const Function& function)
{
    if constexpr (kFirst < static_cast<int>(kCount)) {
        function(std::integral_constant<int, kFirst>{});
        for_each_tile<kCount, kFirst + 1>(function);
    }
}

/// Some rows of input by some columns of panels.
struct RowsOfInput {
    float* y;
    size_t y_stride;
    const uint16_t* inputs; ///< the tile of the first sixteen rows and the first columns
    size_t row_values;      ///< to that of the next sixteen rows
    size_t count;
    size_t kept;                           ///< blocks of 32 columns that stay unpacked, a power of two
    bool is_first;                         ///< of the columns
    float (*last)[kTileRows * kPanelRows]; ///< of each panel, the sums of the last tile
};

/// Of 32 columns, unpacked at a time where several groups of rows share them: 16 KiB a panel. A multiple of every
/// type's blocks.
constexpr size_t kChunkBlocks = 16;

/// kCount times sixteen rows of input on their way through the columns of kPanels panels. Between two chunks their sums
/// rest in the output, which changes no bit; those of a tile that the rows do not fill have a place of their own.
template <size_t kPanels, size_t kCount> struct Tiled {
    static constexpr int kWeights = kTiles - static_cast<int>(kPanels);
    static constexpr int kInputs = kWeights - kSumsTiles;
    static_assert(kPanels * kCount <= kSumsTiles);

    const RowsOfInput& rows;

    /// Calls function(tile, its first output, whether the rows fill it).
    template <class Function> void each_sum(const Function& function) const
    {
        for_each_tile<kCount>([&](auto t) {
            for_each_tile<kPanels>([&](auto p) {
                function(std::integral_constant<int, t() * static_cast<int>(kPanels) + p()>{},
                         rows.y + t() * kTileRows * rows.y_stride + p() * kPanelRows,
                         (t() + 1) * kTileRows <= rows.count);
            });
        });
    }
    void begin() const
    {
        each_sum([&](auto tile, const float* y, bool is_full) {
            if (rows.is_first) {
                Tiles::template zero<tile()>();
            } else if (is_full) {
                Tiles::template load<tile()>(y, rows.y_stride * sizeof(float));
            } else {
                Tiles::template load<tile()>(rows.last[tile() % kPanels], kLine);
            }
        });
    }
    /// 32 columns, the block-th of the chunk.
    void multiply(const Weights* weights, size_t block) const
    {
        for_each_tile<kPanels>([&](auto p) {
            Tiles::template load<kWeights + p()>(weights[(block & (rows.kept - 1)) * kPanels + p()].lines, kLine);
        });
        for_each_tile<kCount>([&](auto t) {
            constexpr int kInput = kSumsTiles + t() % kInputs;
            Tiles::template load<kInput>(rows.inputs + t() * rows.row_values + block * kBf16TileValues, kLine);
            for_each_tile<kPanels>([&](auto p) {
                constexpr int kSum = t() * static_cast<int>(kPanels) + p();
                Tiles::template multiply_bf16<kSum, kInput, kWeights + p()>();
            });
        });
    }
    void end() const
    {
        each_sum([&](auto tile, float* y, bool is_full) {
            if (is_full) {
                Tiles::template store<tile()>(y, rows.y_stride * sizeof(float));
                return;
            }
            float* const last = rows.last[tile() % kPanels];
            Tiles::template store<tile()>(last, kLine);
            for (size_t row = 0; row < rows.count % kTileRows; row++) {
                __builtin_memcpy(y + row * rows.y_stride, last + row * kPanelRows, kLine);
            }
        });
    }
};

/// Asks for what is unpacked some units later. It may lie past the end of the weights; a prefetch does not mind.
template <class Type> inline void fetch_ahead(const uint8_t* unit)
{
    constexpr size_t kAhead = 4096;
    for (size_t at = 0; at < Type::kUnitBytes; at += kLine) {
        __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(unit) + kAhead + at));
    }
}

/// The first rows by some columns of kPanels panels, panel_bytes apart, which are unpacked: one block while the one
/// before is multiplied.
template <class Type, size_t kPanels, size_t kCount> [[gnu::noinline]] void
unpack_and_multiply(Weights* weights, const uint8_t* unit, size_t panel_bytes, size_t blocks, const RowsOfInput& rows)
{
    const Tiled<kPanels, kCount> tiled{rows};
    tiled.begin();
    for (size_t block = 0; block < blocks; unit += Type::kUnitBytes) {
        Type types[kPanels];
        for (size_t p = 0; p < kPanels; p++) {
            fetch_ahead<Type>(unit + p * panel_bytes);
            types[p].load(unit + p * panel_bytes, 0);
        }
        for (size_t b = 0; b < Type::kBlocks; b++, block++) {
            for (size_t p = 0; p < kPanels; p++) {
                weights[(block & (rows.kept - 1)) * kPanels + p].unpack(types[p], b);
            }
            if (block != 0) {
                tiled.multiply(weights, block - 1);
            }
        }
    }
    tiled.multiply(weights, blocks - 1);
    tiled.end();
}

/// More rows by the same.
template <size_t kPanels, size_t kCount>
[[gnu::noinline]] void multiply_more(const Weights* weights, size_t blocks, const RowsOfInput& rows)
{
    const Tiled<kPanels, kCount> tiled{rows};
    tiled.begin();
    for (size_t block = 0; block < blocks; block++) {
        tiled.multiply(weights, block);
    }
    tiled.end();
}

/// Calls function with 1 to kMost, as a constant.
template <size_t kMost, class Function> void with_constant(size_t count, const Function& function)
{
    if constexpr (kMost > 0) {
        if (count == kMost) {
            function(std::integral_constant<size_t, kMost>{});
        } else {
            with_constant<kMost - 1>(count, function);
        }
    }
}

/// All rows of input by kPanels panels. What is unpacked of a chunk serves all of them.
template <class Type, size_t kPanels>
void panels_product(float* y, size_t y_stride, const uint8_t* data, size_t panel_bytes, const Bf16Input& x)
{
    static_assert(kChunkBlocks % Type::kBlocks == 0);
    constexpr size_t kMost = kSumsTiles / kPanels;
    constexpr size_t kRows = kMost * kTileRows;
    const size_t blocks = x.cols / kInputBlock;
    // What only one group of rows uses need not be kept, and its sums stay on their tiles.
    const bool is_one = x.batch <= kRows;
    const size_t chunk = is_one ? blocks : kChunkBlocks;
    const size_t kept = is_one ? 2 : kChunkBlocks;
    Weights weights[kChunkBlocks * kPanels];
    alignas(64) float last[kPanels][kTileRows * kPanelRows];
    for (size_t block = 0; block < blocks; block += chunk) {
        const size_t count = blocks - block < chunk ? blocks - block : chunk;
        for (size_t row = 0; row < x.batch; row += kRows) {
            const size_t left = x.batch - row < kRows ? x.batch - row : kRows;
            const RowsOfInput rows = {y + row * y_stride, y_stride, x.tiles + row * x.cols + block * kBf16TileValues,
                                      kTileRows * x.cols, left,     kept,
                                      block == 0,         last};
            with_constant<kMost>((left + kTileRows - 1) / kTileRows, [&](auto tiles) {
                if (row == 0) {
                    unpack_and_multiply<Type, kPanels, tiles()>(weights, data, panel_bytes, count, rows);
                } else {
                    multiply_more<kPanels, tiles()>(weights, count, rows);
                }
            });
        }
        data += count / Type::kBlocks * Type::kUnitBytes;
    }
}

template <class Type> void product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const Bf16Input& x)
{
    static constexpr amx::TileConfig kShapes = tile_shapes();
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    Tiles::configure(kShapes);
    size_t i = 0;
    // Two panels share each tile of the input that is loaded. Fewer rows take less time by four tiles of them at once,
    // all of which are multiplied while weights are unpacked.
    for (; x.batch > kSumsTiles * kTileRows && i + 2 <= panels; i += 2) {
        panels_product<Type, 2>(y + i * kPanelRows, y_stride, data + i * panel_bytes, panel_bytes, x);
    }
    for (; i < panels; i++) {
        panels_product<Type, 1>(y + i * kPanelRows, y_stride, data + i * panel_bytes, panel_bytes, x);
    }
    Tiles::release();
}

/// Bf16Panels::round_row.
void round_row(uint16_t* out, const float* x, size_t n)
{
    for (size_t i = 0; i < n; i += kInputBlock, out += kBf16TileValues) {
        const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + kPanelRows), _mm512_loadu_ps(x + i));
        __builtin_memcpy(out, &both, sizeof both);
    }
}

constexpr Bf16Panels kProducts = {round_row,
                                  {product<Q80>, product<Q40>, product<Q41>, product<Q50>, product<Q51>, product<Q2K>,
                                   product<Q3K>, product<Q4K>, product<Q5K>, product<Q6K>, product<Iq4Nl>,
                                   product<Iq4Xs>}};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
