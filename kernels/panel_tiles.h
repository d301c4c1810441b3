// SPDX-License-Identifier: MIT
//
// Products with panels of several rows of input: a tile is some rows of weights by some rows of input. For
// kernels/panel_products.h; what the names stand for is in kernels/panel_types.h.
#pragma once

#include "kernels/panel_sums.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// Up to so many rows of input a tile's sums are in registers.
constexpr size_t kUnrolledTokens = 8;

/// What a tile has of the input's 32 columns at hand: of each of its rows one of these.
template <class Set> struct BlockInputs {
    const typename Set::Input* inputs;
    const InputScale* scales;
    size_t scale_stride;
};

/// A block of one part by kTokens rows of input. Of each row of input there are kTileParts sums.
template <class Unit, size_t kTokens, class Set>
[[gnu::always_inline]] inline void add_block(Sum<Unit>* sums, const Unit* part, size_t b, const BlockInputs<Set>& x)
{
    Words codes[kQuads];
    part->codes(b, codes);
    const auto add = [&](size_t t) {
        Dot<Unit, Set> dot;
        dot.take(*part, b, codes, x.inputs[t]);
        sums[t * Set::kTileParts].add(*part, b, dot.sums, x.scales[t * x.scale_stride]);
    };
    if constexpr (kTokens > kUnrolledTokens) {
#pragma GCC unroll 1
        for (size_t t = 0; t < kTokens; t++) {
            add(t);
        }
    } else {
#pragma GCC unroll 8
        for (size_t t = 0; t < kTokens; t++) {
            add(t);
        }
    }
}

/// The same of kWordParts parts, word by word: all rows of input take one before the next is unpacked, so that it never
/// waits in memory.
template <class Unit, size_t kTokens, class Set>
[[gnu::always_inline]] inline void add_words(Sum<Unit>* sums, const Unit* parts, size_t b, const BlockInputs<Set>& x)
{
    constexpr size_t kWordParts = Set::kWordParts;
    Dot<Unit, Set> dots[kTokens][kWordParts];
#pragma GCC unroll 8
    for (size_t i = 0; i < kQuads; i++) {
        Words codes[kWordParts];
#pragma GCC unroll 2
        for (size_t p = 0; p < kWordParts; p++) {
            codes[p] = parts[p].code(b, Dot<Unit, Set>::place(i));
        }
#pragma GCC unroll 8
        for (size_t t = 0; t < kTokens; t++) {
#pragma GCC unroll 2
            for (size_t p = 0; p < kWordParts; p++) {
                dots[t][p].add(parts[p], b, i, codes[p], x.inputs[t]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; t++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < kWordParts; p++) {
            sums[t * Set::kTileParts + p].add(parts[p], b, dots[t][p].sums, x.scales[t * x.scale_stride]);
        }
    }
}

/// The same half by half: the words of a half, of all parts, stay in registers while many rows of input go by.
template <class Unit, size_t kTokens, class Set>
[[gnu::always_inline]] inline void add_halves(Sum<Unit>* sums, const Unit* parts, size_t b, const BlockInputs<Set>& x)
{
    constexpr size_t kWordParts = Set::kWordParts;
    constexpr size_t kHalf = kQuads / 2;
    static_assert(Dot<Unit, Set>::kSafe <= kHalf, "pairs of one half are not summed up with those of the other");
    static_assert(Unit::kIntegerScales || Unit::kGroups == 1, "both halves have one sum");
    Ints first[kTokens][kWordParts]; // what the first half comes to
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
        Words codes[kHalf][kWordParts];
#pragma GCC unroll 4
        for (size_t i = 0; i < kHalf; i++) {
#pragma GCC unroll 2
            for (size_t p = 0; p < kWordParts; p++) {
                codes[i][p] = parts[p].code(b, Dot<Unit, Set>::place(half * kHalf + i));
            }
        }
#pragma GCC unroll 1
        for (size_t t = 0; t < kTokens; t++) {
            Dot<Unit, Set> dots[kWordParts];
#pragma GCC unroll 2
            for (size_t p = 0; p < kWordParts; p++) {
                dots[p].sums[0] = half == 0 ? Ints{} : first[t][p];
            }
#pragma GCC unroll 4
            for (size_t i = 0; i < kHalf; i++) {
#pragma GCC unroll 2
                for (size_t p = 0; p < kWordParts; p++) {
                    dots[p].add(parts[p], b, half * kHalf + i, codes[i][p], x.inputs[t]);
                }
            }
#pragma GCC unroll 2
            for (size_t p = 0; p < kWordParts; p++) {
                if (half == 0) {
                    first[t][p] = dots[p].sums[0];
                } else {
                    sums[t * Set::kTileParts + p].add(parts[p], b, dots[p].sums, x.scales[t * x.scale_stride]);
                }
            }
        }
    }
}

/// kTileParts vectors of rows of one panel by kTokens rows of input.
template <class Type, size_t kTokens>
void tile(float* y, size_t y_stride, const uint8_t* panel, size_t first_part, const PanelInput& x, size_t token)
{
    using Unit = Unpacked<Type>;
    constexpr size_t kTileParts = Isa::kTileParts;
    constexpr size_t kTogether = Isa::kWordParts == 0 ? 1 : Isa::kWordParts;
    static_assert(kParts % kTileParts == 0 && kTileParts % kTogether == 0);
    const size_t blocks = x.cols / kInputBlock;
    const size_t scale_stride = x.stride / kInputBlock;
    const int8_t* q = x.q + token * x.stride;
    const InputScale* scales = x.scales + token * scale_stride;
    Sum<Unit> sums[kTokens][kTileParts] = {};
    for (size_t block = 0; block < blocks; block += Type::kBlocks, panel += Type::kUnitBytes) {
        Unit parts[kTileParts];
        for (size_t p = 0; p < kTileParts; p++) {
            parts[p].load(panel, first_part + p);
        }
        for (size_t i = 0; i < Type::kBlocks; i++) {
            const size_t b = Type::block(i);
            const size_t at = block + b;
            typename Isa::Input inputs[kTokens];
#pragma GCC unroll 16
            for (size_t t = 0; t < kTokens; t++) {
                inputs[t] = Isa::input(q + t * x.stride + at * kInputBlock, scales[t * scale_stride + at]);
            }
            const BlockInputs<Isa> x_block = {inputs, scales + at, scale_stride};
#pragma GCC unroll 4
            for (size_t p = 0; p < kTileParts; p += kTogether) {
                if constexpr (Isa::kWordParts == 0) {
                    add_block<Unit, kTokens, Isa>(&sums[0][p], parts + p, b, x_block);
                } else if constexpr (kTokens <= kUnrolledTokens) {
                    add_words<Unit, kTokens, Isa>(&sums[0][p], parts + p, b, x_block);
                } else {
                    add_halves<Unit, kTokens, Isa>(&sums[0][p], parts + p, b, x_block);
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

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
