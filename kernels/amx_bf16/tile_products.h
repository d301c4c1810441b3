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

// Which tile is what: sums of up to four times sixteen rows of input, three of those inputs, and weights.
constexpr int kSumsTile = 0;
constexpr size_t kSumsTiles = 4;
constexpr int kInputTile = 4;
constexpr int kInputTiles = 3;
constexpr int kWeightsTile = 7;

constexpr amx::TileConfig tile_shapes()
{
    amx::TileConfig config = {};
    config.palette = 1;
    for (int tile = 0; tile < 8; tile++) {
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

/// A panel by kCount times sixteen rows of input, whose sums stay on their tiles for all columns. While the weights of
/// 32 columns are multiplied, the next ones are unpacked.
template <class Type, size_t kCount> class PanelTiles {
public:
    /// `inputs` are the first sixteen rows', kBf16TileValues from tile to tile, row_values to the next sixteen rows.
    PanelTiles(const uint16_t* inputs, size_t row_values) : m_inputs(inputs), m_row_values(row_values) {}

    void multiply(const uint8_t* unit, size_t blocks)
    {
        for_each_tile<kCount>([](auto t) { Tiles::template zero<kSumsTile + t()>(); });
        for (size_t block = 0; block < blocks; unit += Type::kUnitBytes) {
            fetch_ahead(unit);
            Type type;
            type.load(unit, 0);
            for (size_t b = 0; b < Type::kBlocks; b++, block++) {
                m_weights[block % 2].unpack(type, b);
                if (block != 0) {
                    multiply_block(block - 1);
                }
            }
        }
        multiply_block(blocks - 1);
    }

    /// Writes the outputs of `rows` rows, more than those of all tiles but the last.
    void store(float* y, size_t y_stride, size_t rows)
    {
        for_each_tile<kCount>([&](auto t) {
            constexpr size_t kFirst = t() * kTileRows;
            float* const to = y + kFirst * y_stride;
            if (kFirst + kTileRows <= rows) {
                Tiles::template store<kSumsTile + t()>(to, y_stride * sizeof(float));
                return;
            }
            alignas(64) float sums[kTileRows][kPanelRows];
            Tiles::template store<kSumsTile + t()>(sums, kLine);
            for (size_t row = 0; row < rows - kFirst; row++) {
                __builtin_memcpy(to + row * y_stride, sums[row], sizeof sums[row]);
            }
        });
    }

private:
    void multiply_block(size_t block)
    {
        Tiles::template load<kWeightsTile>(m_weights[block % 2].lines, kLine);
        for_each_tile<kCount>([&](auto t) {
            constexpr int kInput = kInputTile + t() % kInputTiles;
            Tiles::template load<kInput>(m_inputs + t() * m_row_values + block * kBf16TileValues, kLine);
            Tiles::template multiply_bf16<kSumsTile + t(), kInput, kWeightsTile>();
        });
    }
    /// Asks for what is unpacked some units later. It may lie past the end of the weights; a prefetch does not mind.
    static void fetch_ahead(const uint8_t* unit)
    {
        constexpr size_t kAhead = 4096;
        for (size_t at = 0; at < Type::kUnitBytes; at += kLine) {
            __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(unit) + kAhead + at));
        }
    }

    const uint16_t* m_inputs;
    size_t m_row_values;
    Weights m_weights[2];
};

template <class Type, size_t kCount> [[gnu::noinline]] void
tiles_product(float* y, size_t y_stride, const uint8_t* panel, const Bf16Input& x, size_t first_row)
{
    PanelTiles<Type, kCount> tiles(x.tiles + first_row * x.cols, kTileRows * x.cols);
    tiles.multiply(panel, x.cols / kInputBlock);
    tiles.store(y + first_row * y_stride, y_stride, x.batch - first_row);
}

template <class Type> void product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const Bf16Input& x)
{
    static constexpr amx::TileConfig kShapes = tile_shapes();
    static constexpr decltype(&tiles_product<Type, 1>) kProductOf[kSumsTiles] = {
        tiles_product<Type, 1>, tiles_product<Type, 2>, tiles_product<Type, 3>, tiles_product<Type, 4>};
    constexpr size_t kRows = kSumsTiles * kTileRows;
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    Tiles::configure(kShapes);
    for (size_t i = 0; i < panels; i++, data += panel_bytes, y += kPanelRows) {
        for (size_t row = 0; row < x.batch; row += kRows) {
            const size_t rows = x.batch - row < kRows ? x.batch - row : kRows;
            kProductOf[(rows - 1) / kTileRows](y, y_stride, data, x, row);
        }
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
