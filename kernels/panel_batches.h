// SPDX-License-Identifier: MIT
//
// Products of panels with many rows of input: what some blocks of three panels hold is unpacked once for all of them.
// Included after panel_products.h, with that header's LLMK_KERNEL_SET and `Isa`, whose vectors must hold a panel's
// sixteen rows; and `Isa` has besides:
//   Words broadcast(q): four values of the input in each lane
//   Ints accumulate(sum, codes, input): sum + in each lane its four codes times the four values of the input
//
// Each sum is made in the order of panel_products.h, so a row of input has the same bits here and there.
#pragma once

#include "kernels/panel_products.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// Panels a tile takes: each value of the input that is loaded serves three instructions.
constexpr size_t kTilePanels = 3;
/// 12 integer sums, 12 float sums, three words of codes and one of the input are 28 of 32 registers. (Five rows by two
/// panels, with more loads, were slower by 9 %, and six rows no faster than five.)
constexpr size_t kTileTokens = 4;
/// Blocks that are unpacked at a time: 24 KiB of codes, so that a tile takes some thousand cycles. (It loads its sums
/// and waits for its last products: four blocks were slower by a sixth, though the input's part of 128 rows stayed in
/// the first-level cache.)
constexpr size_t kChunkBlocks = 16;
/// Rows of input that go by between two chunks.
constexpr size_t kChunkTokens = 128;
/// From so many rows of input on unpacking pays.
constexpr size_t kWideBatch = 12;

/// What a tile needs to know of a type.
struct Layout {
    size_t groups; ///< scales to 32 columns
    bool has_bias;
};

/// Blocks of kPanels panels, unpacked. Codes without a bias are as InputScale::starts wants them.
template <Layout kLayout, size_t kPanels> struct Chunk {
    Words codes[kChunkBlocks][kQuads][kPanels];
    Floats scales[kChunkBlocks][kLayout.groups][kPanels];
    Floats biases[kLayout.has_bias ? kChunkBlocks : 1][kLayout.groups][kPanels];
    size_t blocks;
};

/// A chunk's blocks of one panel.
template <class Type, class Chunk> void unpack(Chunk& chunk, size_t panel, const uint8_t* unit)
{
    static_assert(kChunkBlocks % Type::kBlocks == 0);
    Type type;
    for (size_t b = 0; b < chunk.blocks; b++) {
        const size_t block = b % Type::kBlocks;
        if (block == 0) {
            type.load(unit + b / Type::kBlocks * Type::kUnitBytes, 0);
        }
        Words codes[kQuads];
        type.codes(block, codes);
        for (size_t j = 0; j < kQuads; j++) {
            chunk.codes[b][j][panel] = Type::kBias ? codes[j] : add_bytes(codes[j], 128 - Type::kOffset);
        }
        for (size_t g = 0; g < Type::kGroups; g++) {
            chunk.scales[b][g][panel] = type.scale(block, g);
            if constexpr (Type::kBias) {
                chunk.biases[b][g][panel] = type.bias(block, g);
            }
        }
    }
}

/// Where a tile's rows of input begin, and its outputs.
struct TilePlace {
    float* y;
    size_t y_stride;
    const int8_t* q;
    size_t q_stride;
    const InputScale* scales;
    size_t scale_stride;
};

/// Adds a chunk's products with kTokens rows of input to y, or writes them where it is the first chunk.
template <Layout kLayout, size_t kTokens, size_t kPanels>
[[gnu::noinline]] void chunk_tile(const TilePlace& place, const Chunk<kLayout, kPanels>& chunk, bool is_first)
{
    constexpr size_t kGroupQuads = kQuads / kLayout.groups;
    float* const y = place.y;
    const size_t y_stride = place.y_stride;
    const size_t q_stride = place.q_stride;
    const size_t scale_stride = place.scale_stride;
    Floats sums[kTokens][kPanels] = {};
    if (!is_first) {
#pragma GCC unroll 8
        for (size_t t = 0; t < kTokens; t++) {
#pragma GCC unroll 4
            for (size_t p = 0; p < kPanels; p++) {
                __builtin_memcpy(&sums[t][p], y + t * y_stride + p * kVectorRows, sizeof(Floats));
            }
        }
    }
    const int8_t* q = place.q;
    const InputScale* scales = place.scales;
    for (size_t b = 0; b < chunk.blocks; b++, q += kInputBlock, scales++) {
#pragma GCC unroll 2
        for (size_t g = 0; g < kLayout.groups; g++) {
            Ints exact[kTokens][kPanels];
#pragma GCC unroll 8
            for (size_t t = 0; t < kTokens; t++) {
                const InputScale& scale = scales[t * scale_stride];
                const Ints first = Ints{} + (kLayout.has_bias ? __builtin_bit_cast(int32_t, kSumStart)
                                                              : scale.starts[kLayout.groups == 1 ? 2 : g]);
#pragma GCC unroll 4
                for (size_t p = 0; p < kPanels; p++) {
                    exact[t][p] = first;
                }
            }
#pragma GCC unroll 8
            for (size_t j = 0; j < kGroupQuads; j++) {
                const size_t quad = g * kGroupQuads + j;
#pragma GCC unroll 8
                for (size_t t = 0; t < kTokens; t++) {
                    const Words input = Isa::broadcast(q + t * q_stride + 4 * quad);
#pragma GCC unroll 4
                    for (size_t p = 0; p < kPanels; p++) {
                        exact[t][p] = Isa::accumulate(exact[t][p], chunk.codes[b][quad][p], input);
                    }
                }
            }
#pragma GCC unroll 8
            for (size_t t = 0; t < kTokens; t++) {
                const InputScale& scale = scales[t * scale_stride];
#pragma GCC unroll 4
                for (size_t p = 0; p < kPanels; p++) {
                    const Floats bias = kLayout.has_bias ? chunk.biases[b][g][p] : Floats{};
                    sums[t][p] = add_float_sum<kLayout.has_bias>(sums[t][p], exact[t][p], chunk.scales[b][g][p], bias,
                                                                 scale, scale.sums[kLayout.groups == 1 ? 2 : g]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; t++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < kPanels; p++) {
            __builtin_memcpy(y + t * y_stride + p * kVectorRows, &sums[t][p], sizeof(Floats));
        }
    }
}

/// Asks for what lies in kPanels panels from `first` on, a piece a call. It may end past the end of the weights; a
/// prefetch does not mind.
template <size_t kPanels> class AskAhead {
public:
    AskAhead(const uint8_t* first, size_t stride, size_t bytes, size_t calls)
        : m_at(reinterpret_cast<uintptr_t>(first)), m_stride(stride), m_step((bytes / 64 + calls) / calls * 64)
    {
    }

    void next()
    {
        for (size_t i = 0; i < m_step; i += 64, m_at += 64) {
            for (size_t p = 0; p < kPanels; p++) {
                __builtin_prefetch(reinterpret_cast<const void*>(m_at + p * m_stride), 0, 2);
            }
        }
    }

private:
    uintptr_t m_at;
    size_t m_stride;
    size_t m_step;
};

template <size_t kTokens, Layout kLayout, size_t kPanels, class Ahead>
void chunk_tiles(TilePlace& place, size_t& tokens, const Chunk<kLayout, kPanels>& chunk, bool is_first, Ahead& ahead)
{
    for (; tokens >= kTokens; tokens -= kTokens) {
        ahead.next();
        chunk_tile<kLayout, kTokens>(place, chunk, is_first);
        place.y += kTokens * place.y_stride;
        place.q += kTokens * place.q_stride;
        place.scales += kTokens * place.scale_stride;
    }
}

/// Some columns of kPanels panels by up to kChunkTokens rows of input.
template <class Type, size_t kPanels> void chunk_product(float* y, size_t y_stride, const uint8_t* data,
                                                         size_t panel_bytes, const PanelInput& x, size_t token,
                                                         size_t tokens, size_t block)
{
    constexpr Layout kLayout = {Type::kGroups, Type::kBias};
    const size_t blocks = x.cols / kInputBlock;
    const size_t scale_stride = x.stride / kInputBlock;
    const uint8_t* unit = data + block / Type::kBlocks * Type::kUnitBytes;
    Chunk<kLayout, kPanels> chunk;
    chunk.blocks = blocks - block < kChunkBlocks ? blocks - block : kChunkBlocks;
    for (size_t p = 0; p < kPanels; p++) {
        unpack<Type>(chunk, p, unit + p * panel_bytes);
    }
    TilePlace place = {y + token * y_stride,
                       y_stride,
                       x.q + token * x.stride + block * kInputBlock,
                       x.stride,
                       x.scales + token * scale_stride + block,
                       scale_stride};
    constexpr size_t kBytes = Type::kUnitBytes * kChunkBlocks / Type::kBlocks;
    const uint8_t* const next = block + kChunkBlocks < blocks ? unit + kBytes : data + kPanels * panel_bytes;
    AskAhead<kPanels> ahead(next, panel_bytes, kBytes, (tokens + kTileTokens - 1) / kTileTokens);
    chunk_tiles<kTileTokens>(place, tokens, chunk, block == 0, ahead);
    chunk_tiles<2>(place, tokens, chunk, block == 0, ahead);
    chunk_tiles<1>(place, tokens, chunk, block == 0, ahead);
}

/// All columns of kPanels panels by up to kChunkTokens rows of input.
template <class Type, size_t kPanels> void panels_product(float* y, size_t y_stride, const uint8_t* data,
                                                          size_t panel_bytes, const PanelInput& x, size_t token,
                                                          size_t tokens)
{
    for (size_t block = 0; block < x.cols / kInputBlock; block += kChunkBlocks) {
        chunk_product<Type, kPanels>(y, y_stride, data, panel_bytes, x, token, tokens, block);
    }
}

/// A PanelProduct.
template <class Type>
void batch_product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    static_assert(kParts == 1 && Isa::kFloatSums);
    if (x.batch < kWideBatch) {
        product<Type>(y, y_stride, data, panels, x);
        return;
    }
    const size_t blocks = x.cols / kInputBlock;
    const size_t panel_bytes = blocks / Type::kBlocks * Type::kUnitBytes;
    for (size_t token = 0; token < x.batch; token += kChunkTokens) {
        const size_t tokens = x.batch - token < kChunkTokens ? x.batch - token : kChunkTokens;
        size_t i = 0;
        for (; i + kTilePanels <= panels; i += kTilePanels) {
            panels_product<Type, kTilePanels>(y + i * kPanelRows, y_stride, data + i * panel_bytes, panel_bytes, x,
                                              token, tokens);
        }
        if (i + 2 <= panels) {
            panels_product<Type, 2>(y + i * kPanelRows, y_stride, data + i * panel_bytes, panel_bytes, x, token,
                                    tokens);
            i += 2;
        }
        if (i < panels) {
            panels_product<Type, 1>(y + i * kPanelRows, y_stride, data + i * panel_bytes, panel_bytes, x, token,
                                    tokens);
        }
    }
}

/// For a table of products.
template <class Type> struct BatchLoops {
    static constexpr PanelProduct kProduct = batch_product<Type>;
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
