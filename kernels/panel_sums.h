// SPDX-License-Identifier: MIT
//
// What products with panels add up, and in which order: the integers of 32 columns, then the floats of a row. For
// kernels/panel_products.h; what the names stand for is in kernels/panel_types.h.
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

/// Where the sums of a set with kFloatSums begin: kSumStart, less what the codes' offset adds to a group's sum. Codes
/// with a bias have no offset.
template <size_t kGroups, bool kBias, class Set = Isa> struct SumStart {
    Words factors[kGroups]; ///< of the sums of both halves of the input

    static_assert(kInputBlock * (255 + 128) * 127 < 1 << 22, "what kSumStart takes");

    explicit SumStart(int offset)
    {
        const auto factor = static_cast<uint16_t>(-offset);
        for (size_t g = 0; g < kGroups; g++) {
            factors[g] = Words{} + factor * (kGroups == 1 ? 0x00010001u : g == 0 ? 1u : 0x00010000u);
        }
    }
    Ints operator()(const InputScale& input, size_t g) const
    {
        const Ints start = Ints{} + __builtin_bit_cast(int32_t, kSumStart);
        if constexpr (kBias) {
            return start;
        } else {
            uint32_t both;
            __builtin_memcpy(&both, input.halves, sizeof both);
            return Set::add_products(start, factors[g], Words{} + both);
        }
    }
};

/// total + scale * (sum * the input's scale) + bias * the input's sum. `sum` began with SumStart, and its product with
/// the input's scale is rounded once: what is taken off again is exact.
template <bool kBias>
inline Floats add_float_sum(Floats total, Ints sum, Floats scale, Floats bias, const InputScale& input, float input_sum)
{
    const Floats product = Isa::fma(reinterpret_cast<Floats>(sum), splat(input.scale), splat(input.minus_start));
    total = Isa::fma(product, scale, total);
    return kBias ? Isa::fma(bias, splat(input_sum), total) : total;
}

/// sum + value . input, of one group of columns whose codes times inputs sum up to `exact`.
template <class Type, size_t kGroup>
inline Floats add_exact(Floats sum, const Type& type, size_t b, Ints exact, const InputScale& scales)
{
    const Floats scale = type.scale(b, kGroup);
    const float input_sum = scales.sums[Type::kGroups == 1 ? 2 : kGroup];
    if constexpr (Isa::kFloatSums && Type::kBias) {
        return add_float_sum<true>(sum, exact, scale, type.bias(b, kGroup), scales, input_sum);
    } else if constexpr (Isa::kFloatSums) {
        return add_float_sum<false>(sum, exact, scale, Floats{}, scales, input_sum);
    } else if constexpr (Type::kOffset != 0) {
        return add_with_offset(sum, exact, scale, splat(static_cast<float>(-Type::kOffset)), scales.scale, input_sum);
    } else if constexpr (Type::kBias) {
        return add_with_bias(sum, exact, scale, type.bias(b, kGroup), scales.scale, input_sum);
    } else {
        return Isa::fma(to_floats(exact) * scale, splat(scales.scale), sum);
    }
}

/// In which order a dot product takes its words: those that share a line of nibbles one after the other.
constexpr size_t kQuadOrder[kQuads] = {0, 4, 1, 5, 2, 6, 3, 7};

/// Sums of 32 columns by group, of integers: of code * input, or of (code - kOffset) * scale * input where scales are
/// integers (the first sum is of both groups then).
template <class Type, class Set> struct Dot {
    static constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    Ints sums[Type::kGroups];

    void take(const Type&, size_t, const Words* codes, const typename Set::Input& input)
    {
        sums[0] = Set::template dot<Type::kMax, 0, kGroupQuads>(codes, input);
        if constexpr (Type::kGroups == 2) {
            sums[1] = Set::template dot<Type::kMax, kGroupQuads, kGroupQuads>(codes, input);
        }
    }
};

/// The same from SumStart on.
template <class Type, class Set>
requires(Set::kFloatSums) struct Dot<Type, Set> {
    static constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    Ints sums[Type::kGroups];

    void take(const Type&, size_t, const Words* codes, const typename Set::Input& input)
    {
        const SumStart<Type::kGroups, Type::kBias> start(Type::kOffset);
#pragma GCC unroll 2
        for (size_t g = 0; g < Type::kGroups; g++) {
            sums[g] = Set::template dot<kGroupQuads>(codes + g * kGroupQuads, input.q + 4 * g * kGroupQuads,
                                                     start(*input.scale, g));
        }
    }
};

/// The same word by word: a set's WordSum is what its words of codes add up in.
template <class Type, class Set>
requires(Set::kWordParts != 0 && !Set::kScaledPairs) struct Dot<Type, Set> {
    static constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    static_assert(Type::kMax >= 0 || Type::kGroups == 1);
    typename Set::template WordSum<Type::kMax> sum;
    Ints sums[Type::kGroups];

    static constexpr size_t place(size_t i) { return Type::kGroups == 1 ? kQuadOrder[i] : i; }

    /// The i-th word, which is at place(i).
    void add(const Type&, size_t, size_t i, Words codes, const typename Set::Input& input)
    {
        sum.add(codes, input, place(i), i % kGroupQuads == 0);
        if (i % kGroupQuads == kGroupQuads - 1) {
            sums[i / kGroupQuads] = sum.total();
        }
    }
};

template <class Type, class Set>
requires(Set::kScaledPairs) struct Dot<Type, Set> {
    static constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    static constexpr int kOffset = Type::kIntegerScales ? Type::kOffset : 0;
    static constexpr int kLargest = Type::kMax - kOffset > kOffset ? Type::kMax - kOffset : kOffset;
    /// Words whose pairs' sum fits in 16 bits, once the offset is off; signed codes reach 128 * 127 * 2 at once.
    static constexpr size_t kFit = Type::kMax < 0 ? 1 : 32767 / (kLargest * 127 * 2);
    static constexpr size_t kSafe = kFit < kGroupQuads ? kFit : kGroupQuads;
    static_assert(kGroupQuads % kSafe == 0 && (kOffset == 0 || kSafe == kQuads / 2));
    static_assert(Set::kWordParts != 0, "products go word by word");

    typename Set::Shorts pairs;
    Ints sums[Type::kGroups];

    static constexpr size_t place(size_t i) { return Type::kGroups == 1 ? kQuadOrder[i] : i; }

    /// The i-th word, which is at place(i).
    void add(const Type& type, size_t b, size_t i, Words codes, const typename Set::Input& input)
    {
        const Words four = Set::four(input.q + 4 * place(i));
        const typename Set::Shorts products = Set::template pairs<Type::kMax>(codes, four);
        pairs = i % kSafe == 0 ? products : pairs + products;
        // The sum in this order, or the compiler makes a tree of it and has not enough registers.
        asm("" : "+v"(pairs));
        if (i % kSafe < kSafe - 1) {
            return;
        }
        if constexpr (kOffset != 0) { // what wrapped around comes back
            pairs -= Set::in_all_lanes(input.scale->pairs[i / 4]) * static_cast<uint16_t>(kOffset);
        }
        const size_t group = i / kGroupQuads;
        if constexpr (Type::kIntegerScales) {
            const Ints wide = Set::widen(pairs, type.scale(b, group));
            sums[0] = i < kSafe ? wide : sums[0] + wide;
        } else {
            const Ints wide = Set::widen(pairs, Words{} + 0x00010001u);
            sums[group] = i % kGroupQuads < kSafe ? wide : sums[group] + wide;
        }
        asm("" : "+v"(sums[Type::kIntegerScales ? 0 : group])); // likewise
    }
};

/// The sum of a row, one unit after the other.
template <class Type> struct Sum {
    Floats total;

    void add(const Type& type, size_t b, const Ints* exact, const InputScale& scales)
    {
        total = add_exact<Type, 0>(total, type, b, exact[0], scales);
        if constexpr (Type::kGroups == 2) {
            total = add_exact<Type, 1>(total, type, b, exact[1], scales);
        }
    }
    void end_unit(const Type&) {}
};

/// The same where scales are integers: d and dmin come at the end of a unit.
template <class Type>
requires(Type::kIntegerScales) struct Sum<Type> {
    Floats total;
    Floats unit;
    Floats minima;

    void add(const Type& type, size_t b, const Ints* exact, const InputScale& scales)
    {
        unit = Isa::fma(to_floats(exact[0]), splat(scales.scale), unit);
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

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
