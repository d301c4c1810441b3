// SPDX-License-Identifier: MIT
//
// Products with panels (kernels/panels.h), written once for all sets: a set's panels.cpp includes this file behind its
// `Isa` (kernels/panel_types.h).
//
// Nothing here depends on the batch but the number of rows that share a load: each sum is made in the same order.
#pragma once

#include "kernels/panel_types.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// sum + scale * (exact + offset * the input's sum), all of it times the input's scale.
inline Floats add_with_offset(Floats sum, Ints exact, Floats scale, Floats offset, float input_scale, float input_sum)
{
    const Floats centred = splat(input_sum) * offset;
    return Isa::fma(Isa::fma(to_floats(exact), splat(input_scale), centred), scale, sum);
}

/// sum + scale * exact * the input's scale + bias * the input's sum.
inline Floats add_with_bias(Floats sum, Ints exact, Floats scale, Floats bias, float input_scale, float input_sum)
{
    sum = Isa::fma(to_floats(exact) * scale, splat(input_scale), sum);
    return Isa::fma(bias, splat(input_sum), sum);
}

/// sum + value . input, of one group of columns.
template <class Type, size_t kGroup> inline Floats add_group(Floats sum, const Type& type, size_t b, const Words* codes,
                                                             const Isa::Input& input, const InputScale& scales)
{
    constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    const Ints exact = Isa::template dot<Type::kMax, kGroup * kGroupQuads, kGroupQuads>(codes, input);
    const Floats scale = type.scale(b, kGroup);
    const float input_sum = scales.sums[Type::kGroups == 1 ? 2 : kGroup];
    if constexpr (Type::kOffset != 0) {
        return add_with_offset(sum, exact, scale, splat(static_cast<float>(-Type::kOffset)), scales.scale, input_sum);
    } else if constexpr (Type::kBias) {
        return add_with_bias(sum, exact, scale, type.bias(b, kGroup), scales.scale, input_sum);
    } else {
        return Isa::fma(to_floats(exact) * scale, splat(scales.scale), sum);
    }
}

/// The sum of one row, over one unit after the other.
template <class Type, class Set = Isa> struct Sum {
    Floats total;

    void add_block(const Type& type, size_t b, const Words* codes, const Isa::Input& input, const InputScale& scales)
    {
        total = add_group<Type, 0>(total, type, b, codes, input, scales);
        if constexpr (Type::kGroups == 2) {
            total = add_group<Type, 1>(total, type, b, codes, input, scales);
        }
    }
    void end_unit(const Type&) {}
};

/// The same by scaled_dot(): d and dmin come at the end of a unit.
template <class Type, class Set>
requires(Type::kScaledPairs) struct Sum<Type, Set> {
    Floats total;
    Floats unit;
    Floats minima;

    void add_block(const Type& type, size_t b, const Words* codes, const Isa::Input& input, const InputScale& scales)
    {
        constexpr size_t kGroupQuads = kQuads / Type::kGroups;
        Ints exact =
            Set::template scaled_dot<Type::kMax, Type::kOffset, 0, kGroupQuads>(codes, input, type.scale(b, 0));
        if constexpr (Type::kGroups == 2) {
            exact += Set::template scaled_dot<Type::kMax, Type::kOffset, kGroupQuads, kGroupQuads>(codes, input,
                                                                                                   type.scale(b, 1));
        }
        unit = Isa::fma(to_floats(exact), splat(scales.scale), unit);
        if constexpr (Type::kBias) {
            for (size_t g = 0; g < Type::kGroups; g++) {
                minima = Isa::fma(type.bias(b, g), splat(scales.sums[Type::kGroups == 1 ? 2 : g]), minima);
            }
        }
    }
    void end_unit(const Type& type)
    {
        total = Isa::fma(unit, type.d, total);
        unit = Floats{};
        if constexpr (Type::kBias) {
            total = Isa::fma(minima, type.minus_dmin, total);
            minima = Floats{};
        }
    }
};

/// A product with one row of input waits for memory: asks for what block b of a later unit holds. The address may lie
/// past the end of the weights; a prefetch does not mind.
template <class Type> inline void fetch_ahead(const uint8_t* unit, size_t b)
{
    constexpr size_t kAhead = 8192;
    constexpr size_t kBytes = Type::kUnitBytes / Type::kBlocks;
    const uintptr_t address = reinterpret_cast<uintptr_t>(unit) + kAhead + b * kBytes;
    for (size_t i = 0; i < kBytes; i += 64) {
        __builtin_prefetch(reinterpret_cast<const void*>(address + i));
    }
}

/// kTileParts vectors of rows of one panel by kTokens rows of input.
template <class Type, size_t kTokens, size_t kTileParts>
void tile(float* y, size_t y_stride, const uint8_t* panel, size_t first_part, const PanelInput& x, size_t token)
{
    const size_t blocks = x.cols / kInputBlock;
    const int8_t* q = x.q + token * x.cols;
    const InputScale* scales = x.scales + token * blocks;
    Sum<Type> sums[kTokens][kTileParts] = {};
    for (size_t block = 0; block < blocks; block += Type::kBlocks, panel += Type::kUnitBytes) {
        Type parts[kTileParts];
        for (size_t p = 0; p < kTileParts; p++) {
            parts[p].load(panel, first_part + p);
        }
        for (size_t b = 0; b < Type::kBlocks; b++) {
            if constexpr (kTokens == 1) {
                fetch_ahead<Type>(panel, b);
            }
            const size_t at = block + b;
            const auto first_input = Isa::input(q + at * kInputBlock);
#pragma GCC unroll 4
            for (size_t p = 0; p < kTileParts; p++) {
                Words codes[kQuads];
                parts[p].codes(b, codes);
                sums[0][p].add_block(parts[p], b, codes, first_input, scales[at]);
#pragma GCC unroll 16
                for (size_t t = 1; t < kTokens; t++) {
                    const auto input = Isa::input(q + t * x.cols + at * kInputBlock);
                    sums[t][p].add_block(parts[p], b, codes, input, scales[t * blocks + at]);
                }
            }
        }
        for (size_t t = 0; t < kTokens; t++) {
            for (size_t p = 0; p < kTileParts; p++) {
                sums[t][p].end_unit(parts[p]);
            }
        }
    }
    for (size_t t = 0; t < kTokens; t++) {
        for (size_t p = 0; p < kTileParts; p++) {
            __builtin_memcpy(y + (token + t) * y_stride + (first_part + p) * kVectorRows, &sums[t][p].total,
                             sizeof(Floats));
        }
    }
}

template <class Type, size_t kTokens>
size_t tiles_of_tokens(float* y, size_t y_stride, const uint8_t* panel, const PanelInput& x, size_t token)
{
    for (; token + kTokens <= x.batch; token += kTokens) {
        for (size_t part = 0; part < kParts; part++) {
            tile<Type, kTokens, 1>(y, y_stride, panel, part, x, token);
        }
    }
    return token;
}

/// Rows of input that are few enough for every set.
constexpr size_t kFewTokens = 4;

template <class Type> void product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    for (size_t i = 0; i < panels; i++, data += panel_bytes, y += kPanelRows) {
        size_t token = tiles_of_tokens<Type, Isa::kTokens>(y, y_stride, data, x, 0);
        if constexpr (Isa::kTokens > kFewTokens) {
            token = tiles_of_tokens<Type, kFewTokens>(y, y_stride, data, x, token);
        }
        for (; token < x.batch; token++) {
            tile<Type, 1, kParts>(y, y_stride, data, 0, x, token);
        }
    }
}

inline int32_t sum_codes(const int8_t* q, size_t n)
{
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += q[i];
    }
    return sum;
}

/// KernelSet::quantize_input, by the set's quantize_q8.
template <auto kQuantize> void quantize_blocks(int8_t* q, InputScale* scales, const float* x, size_t n)
{
    for (size_t i = 0; i < n; i += kInputBlock, scales++) {
        float scale = 0.0f;
        kQuantize(q + i, &scale, x + i, kInputBlock, kInputBlock);
        const int32_t first = sum_codes(q + i, kInputBlock / 2);
        const int32_t last = sum_codes(q + i + kInputBlock / 2, kInputBlock / 2);
        *scales = {scale,
                   {scale * static_cast<float>(first), scale * static_cast<float>(last),
                    scale * static_cast<float>(first + last)}};
    }
}

/// These loops, for a table of products.
template <class Type> struct VectorLoops {
    static constexpr PanelProduct kProduct = product<Type>;
};

/// Loops<Type>::kProduct of all types, in the order of PanelType.
template <template <class> class Loops = VectorLoops> constexpr PanelKernels kPanelProducts = {
    {Loops<Q80>::kProduct, Loops<Q40>::kProduct, Loops<Q41>::kProduct, Loops<Q50>::kProduct, Loops<Q51>::kProduct,
     Loops<Q2K>::kProduct, Loops<Q3K>::kProduct, Loops<Q4K>::kProduct, Loops<Q5K>::kProduct, Loops<Q6K>::kProduct,
     Loops<Iq4Nl>::kProduct, Loops<Iq4Xs>::kProduct}};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
