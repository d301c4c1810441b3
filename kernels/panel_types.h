// SPDX-License-Identifier: MIT
//
// What a panel of each packed type holds (kernels/panels.h), unpacked by the few vector operations that an instruction
// set brings. A set's panels.cpp defines LLMK_KERNEL_SET, the name of its namespace, and `Isa` in an anonymous
// namespace there, and then includes kernels/panel_products.h, which is in that anonymous namespace too, as is this
// file: the linker never sees two copies of one name.
//
// `Isa` has: Words, Ints, Floats: vectors of kVectorRows 32-bit lanes; kTokens: rows of input that a tile takes at
// once, and kUnpackTokens, where unpacking the codes takes longer than keeping the rows' sums in memory; kSignedBias:
// what signed_codes adds to a signed code (0, or 128 where codes must be unsigned); and
//   Floats fma(a, b, c): a * b + c, fused or not
//   Floats halves(p): kVectorRows binary16 numbers at p
//   Words signed_codes(w): signed codes as dot() wants them
//   Words lookup(w): bytes 0 to 15 replaced by kIq4Values
//   Input input(q, scale): 32 quantized values, and what goes with them, made ready for several products; kTileParts:
//     vectors of rows of a panel that a tile takes at once, so that this is done once for them; kWordParts: so many of
//     them take a word of the input before the next is loaded (0: they take block by block)
// and kScaledPairs and kFloatSums. Where both are false, products come as sums of four:
//   Ints dot<kMax, kFirst, kQuads>(codes, input): in each lane the sum over kQuads words from codes[kFirst] of its four
//     bytes times the four values of the input at the same place. Codes are 0 to kMax; kMax of kSigned says that they
//     come from signed_codes.
// With kFloatSums Input has both as pointers (q, scale), and sums come added to what they begin with (kSumStart):
//   Ints dot<kQuads>(codes, q, first)
// With kScaledPairs Input is the same, and products come as 16-bit sums of two; to multiply those by a small integer is
// no more work than to widen them:
//   Words four(q): four quantized values, in each lane
//   Shorts pairs<kMax>(codes, four): in each half of a lane the sum of two products, of unsigned type: it may wrap
//   Shorts in_all_lanes(pair): two 16-bit numbers, in each lane
//   Ints widen(pairs, scale): in each lane pair * scale + pair * scale
//   Words twice(w, i): byte i of each lane, 0 to 127, as a scale for widen; signed_twice(w, i): a signed byte
//   Words byte(w, i): byte i of each lane
#pragma once

#include "kernels/djiblas.h"

#include <type_traits>

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

constexpr int kSigned = -1;

using Words = Isa::Words;
using Ints = Isa::Ints;
using Floats = Isa::Floats;
constexpr size_t kVectorRows = sizeof(Words) / sizeof(uint32_t);
constexpr size_t kParts = kPanelRows / kVectorRows; // vectors to a line
/// Words of 32 columns.
constexpr size_t kQuads = kInputBlock / 4;

inline Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
inline Floats to_floats(Words v) { return to_floats(reinterpret_cast<Ints>(v)); }
/// Less zeros, not plus them: that is nothing to do, and -0 + 0 would be something.
inline Floats splat(float v) { return v - Floats{}; }

/// Each byte and `value`.
inline Words add_bytes(Words w, int value)
{
    using Bytes [[gnu::vector_size(sizeof(Words))]] = uint8_t;
    return reinterpret_cast<Words>(reinterpret_cast<Bytes>(w) + static_cast<uint8_t>(value));
}

/// Field b of kBits bits, of each byte, to bit kTo. What an even field and the next have in common is a step of its
/// own.
template <int kBits, int kTo> inline Words field(Words w, size_t b)
{
    const int odd = static_cast<int>(b % 2);
    w = w >> (kBits * (static_cast<int>(b) - odd));
    return kTo == 0 ? w >> (kBits * odd) : w << (kTo - kBits * odd);
}

/// One part (kVectorRows rows) of sixteen blocks that lie together.
template <class Type, PanelType kType> struct Lines {
    static constexpr PanelType kPanelType = kType;
    static constexpr bool kIntegerScales = false;
    static constexpr size_t kTogether = 1;
    static constexpr size_t block(size_t i) { return i; }
    static constexpr const PanelFields& kFields = panel_fields(kType);
    static constexpr size_t kBlocks = kFields.values / kInputBlock;
    static constexpr size_t kUnitBytes = kPanelRows * kFields.bytes;

    const uint8_t* halves;
    const uint8_t* words;

    void find(const uint8_t* unit, size_t part)
    {
        halves = unit + part * kVectorRows * sizeof(uint16_t);
        words = unit + kFields.halves * kPanelRows * sizeof(uint16_t) + part * sizeof(Words);
    }
    Floats half(size_t index) const { return Isa::halves(halves + index * kPanelRows * sizeof(uint16_t)); }
    Words word(size_t index) const
    {
        Words value;
        __builtin_memcpy(&value, words + index * kPanelRows * sizeof(uint32_t), sizeof value);
        return value;
    }
    /// All codes of block b.
    void codes(size_t b, Words* out) const
    {
#pragma GCC unroll 8
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = static_cast<const Type*>(this)->code(b, j);
        }
    }
    /// Word j of eight of four-bit codes: the low halves of four lines, then the high ones.
    Words nibbles(size_t first, size_t j) const
    {
        const Words both = word(first + j % 4);
        return (j < 4 ? both : both >> 4) & 0x0f0f0f0fu;
    }
};

// Each type: kMax, the largest code; kGroups, the scales to 32 columns (1 or 2); what a value is: scale * (code -
// kOffset), or scale * code + bias where kBias; load(unit, part); scale(b, g) and bias(b, g) of group g of block b;
// code(b, j), four columns of the 32.

template <class Type, PanelType kType, int kMaxCode, int kCodeOffset> struct Simple : Lines<Type, kType> {
    static constexpr int kMax = kMaxCode;
    static constexpr int kOffset = kCodeOffset;
    static constexpr size_t kGroups = 1;
    static constexpr bool kBias = false;
    Floats d;

    void load(const uint8_t* unit, size_t part)
    {
        this->find(unit, part);
        d = this->half(0);
    }
    Floats scale(size_t, size_t) const { return d; }
};

struct Q80 : Simple<Q80, PanelType::q8_0, kSigned, Isa::kSignedBias> {
    Words code(size_t, size_t j) const { return Isa::signed_codes(word(j)); }
};

struct Q40 : Simple<Q40, PanelType::q4_0, 15, 8> {
    Words code(size_t, size_t j) const { return nibbles(0, j); }
};

struct Iq4Nl : Simple<Iq4Nl, PanelType::iq4_nl, kSigned, Isa::kSignedBias> {
    Words code(size_t, size_t j) const { return Isa::signed_codes(Isa::lookup(nibbles(0, j))); }
};

/// The fifth bits of word j, of 32 columns: bit i of a row's word belongs to column i.
inline Words fifth_of_columns(Words fifth, size_t j)
{
    // Four neighbouring bits to bit 4 of four bytes.
    const Words four = (fifth >> static_cast<int>(4 * j)) & 0xfu;
    return (four * 0x02040810u) & 0x10101010u;
}

struct Q50 : Simple<Q50, PanelType::q5_0, 31, 16> {
    Words code(size_t, size_t j) const { return nibbles(1, j) | fifth_of_columns(word(0), j); }
};

template <class Type, PanelType kType, int kMaxCode> struct WithMinimum : Lines<Type, kType> {
    static constexpr int kMax = kMaxCode;
    static constexpr size_t kGroups = 1;
    static constexpr int kOffset = 0;
    static constexpr bool kBias = true;
    Floats d;
    Floats m;

    void load(const uint8_t* unit, size_t part)
    {
        this->find(unit, part);
        d = this->half(0);
        m = this->half(1);
    }
    Floats scale(size_t, size_t) const { return d; }
    Floats bias(size_t, size_t) const { return m; }
};

struct Q41 : WithMinimum<Q41, PanelType::q4_1, 15> {
    Words code(size_t, size_t j) const { return nibbles(0, j); }
};

struct Q51 : WithMinimum<Q51, PanelType::q5_1, 31> {
    Words code(size_t, size_t j) const { return nibbles(1, j) | fifth_of_columns(word(0), j); }
};

/// Integer scales, and minima, of 256 columns. A value is d * scale * (code - kOffset) - dmin * minimum. Floats are
/// made of them once; integers stay bytes, four to a lane, which are picked where they are needed.
template <class Type, PanelType kType, int kMaxCode, size_t kGroupsOfBlock, int kCodeOffset, bool kMinima> struct Super
    : Lines<Type, kType> {
    static constexpr int kMax = kMaxCode;
    static constexpr size_t kGroups = kGroupsOfBlock;
    static constexpr int kOffset = kCodeOffset;
    static constexpr bool kBias = kMinima;
    static constexpr bool kIntegerScales = Isa::kScaledPairs;
    static constexpr size_t kTogether = 2;
    // What a type may say otherwise:
    static constexpr bool kSignedScales = false;
    static constexpr size_t kScaleStep = 1; ///< from the group of a byte of set_scales to that of the next
    using Factor = std::conditional_t<kIntegerScales, Words, Floats>;
    static constexpr size_t kFactors = 8 * kGroups / (kIntegerScales ? 4 : 1);

    Floats d;
    Floats minus_dmin;
    Factor factors[kFactors];
    Factor minima[kBias ? kFactors : 1];

    /// The scales of groups first, first + kScaleStep, ...: the bytes of a lane.
    void set_scales(size_t first, Words bytes)
    {
        if constexpr (kIntegerScales) {
            factors[Type::kScaleStep == 1 ? first / 4 : first] = bytes;
        } else {
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++) {
                Floats& factor = factors[first + i * Type::kScaleStep];
                if constexpr (Type::kSignedScales) {
                    const Ints top = reinterpret_cast<Ints>(bytes << static_cast<int>(24 - 8 * i));
                    factor = to_floats(top >> 24) * d;
                } else {
                    factor = to_floats((bytes >> static_cast<int>(8 * i)) & 0xffu) * d;
                }
            }
        }
    }
    void set_minima(size_t first, Words bytes)
    {
        if constexpr (kIntegerScales) {
            minima[first / 4] = bytes;
        } else {
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++) {
                minima[first + i] = to_floats((bytes >> static_cast<int>(8 * i)) & 0xffu) * minus_dmin;
            }
        }
    }
    template <class Set = Isa> Factor scale(size_t b, size_t g) const
    {
        const size_t group = kGroups * b + g;
        if constexpr (!kIntegerScales) {
            return factors[group];
        } else if constexpr (Type::kSignedScales) {
            constexpr bool kInTurn = Type::kScaleStep == 1;
            return Set::signed_twice(factors[kInTurn ? group / 4 : group % 2], kInTurn ? group % 4 : group / 2);
        } else {
            return Set::twice(factors[group / 4], group % 4);
        }
    }
    template <class Set = Isa> Floats bias(size_t b, size_t g) const
    {
        const size_t group = kGroups * b + g;
        if constexpr (kIntegerScales) {
            return to_floats(Set::byte(minima[group / 4], group % 4));
        } else {
            return minima[group];
        }
    }
};

/// A unit whose scales and minima are picked at once, for products that need each of them more than once.
template <class Type> struct Unpacked : Type {
};
template <class Type>
requires(Type::kIntegerScales) struct Unpacked<Type> : Type {
    static constexpr size_t kAll = 8 * Type::kGroups;
    Words scales[kAll];
    Floats biases[Type::kBias ? kAll : 1];

    void load(const uint8_t* unit, size_t part)
    {
        Type::load(unit, part);
#pragma GCC unroll 16
        for (size_t i = 0; i < kAll; i++) {
            scales[i] = Type::scale(i / Type::kGroups, i % Type::kGroups);
            if constexpr (Type::kBias) {
                biases[i] = Type::bias(i / Type::kGroups, i % Type::kGroups);
            }
        }
    }
    Words scale(size_t b, size_t g) const { return scales[Type::kGroups * b + g]; }
    Floats bias(size_t b, size_t g) const { return biases[Type::kGroups * b + g]; }
};

/// The 6-bit scales and minima of Q4_K and Q5_K.
template <class Type, PanelType kType, int kMaxCode> struct SixBit : Super<Type, kType, kMaxCode, 1, 0, true> {
    void load(const uint8_t* unit, size_t part)
    {
        this->find(unit, part);
        this->d = this->half(0);
        this->minus_dmin = -this->half(1);
        const Words low = this->word(0);
        const Words low_min = this->word(1);
        const Words high = this->word(2);
        this->set_scales(0, low & 0x3f3f3f3fu);
        this->set_scales(4, (high & 0x0f0f0f0fu) | ((low >> 2) & 0x30303030u));
        this->set_minima(0, low_min & 0x3f3f3f3fu);
        this->set_minima(4, ((high >> 4) & 0x0f0f0f0fu) | ((low_min >> 2) & 0x30303030u));
    }
};

struct Q4K : SixBit<Q4K, PanelType::q4_k, 15> {
    Words code(size_t b, size_t j) const
    {
        return (word(3 + 8 * (b / 2) + j) >> static_cast<int>(4 * (b % 2))) & 0x0f0f0f0fu;
    }
};

struct Q5K : SixBit<Q5K, PanelType::q5_k, 31> {
    Words code(size_t b, size_t j) const
    {
        const Words low = (word(11 + 8 * (b / 2) + j) >> static_cast<int>(4 * (b % 2))) & 0x0f0f0f0fu;
        return low | (field<1, 4>(word(3 + j), b) & 0x10101010u);
    }
};

struct Q6K : Super<Q6K, PanelType::q6_k, 63, 2, 32, false> {
    static constexpr bool kSignedScales = true;
    /// With integer scales four: those that share words.
    static constexpr size_t kTogether = kIntegerScales ? 4 : 2;
    static constexpr size_t block(size_t i) { return kIntegerScales ? i / 4 * 4 | i % 2 * 2 | i / 2 % 2 : i; }
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        d = half(0);
        for (size_t i = 0; i < 4; i++) {
            set_scales(4 * i, word(48 + i));
        }
    }
    Words code(size_t b, size_t j) const
    {
        const size_t half_of_unit = b / 4;
        const size_t s = b % 4;
        const Words low = word(16 * half_of_unit + 8 * (s % 2) + j) >> static_cast<int>(4 * (s / 2));
        const Words upper = word(32 + 8 * half_of_unit + j) >> static_cast<int>(2 * (s % 2));
        return (low & 0x0f0f0f0fu) | ((upper << static_cast<int>(4 - 4 * (s / 2))) & 0x30303030u);
    }
};

struct Q2K : Super<Q2K, PanelType::q2_k, 3, 2, 0, true> {
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        d = half(0);
        minus_dmin = -half(1);
        for (size_t i = 0; i < 4; i++) {
            set_scales(4 * i, word(i) & 0x0f0f0f0fu);
            set_minima(4 * i, (word(i) >> 4) & 0x0f0f0f0fu);
        }
    }
    Words code(size_t b, size_t j) const { return field<2, 0>(word(4 + 8 * (b / 4) + j), b % 4) & 0x03030303u; }
};

struct Q3K : Super<Q3K, PanelType::q3_k, 7, 2, 4, false> {
    static constexpr bool kSignedScales = true;
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        d = half(0);
        const Words upper = word(26);
        for (size_t i = 0; i < 4; i++) {
            const Words low = (word(24 + i % 2) >> static_cast<int>(4 * (i / 2))) & 0x0f0f0f0fu;
            const Words high = (upper >> static_cast<int>(2 * i)) & 0x03030303u;
            set_scales(4 * i, add_bytes(low | (high << 4), -32));
        }
    }
    Words code(size_t b, size_t j) const
    {
        const Words low = field<2, 0>(word(8 + 8 * (b / 4) + j), b % 4);
        return (low & 0x03030303u) | (field<1, 2>(word(j), b) & 0x04040404u);
    }
};

struct Iq4Xs : Super<Iq4Xs, PanelType::iq4_xs, kSigned, 1, Isa::kSignedBias, false> {
    static constexpr bool kSignedScales = true;
    static constexpr size_t kScaleStep = 2;
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        using HalfWords [[gnu::vector_size(sizeof(Words) / 2)]] = uint16_t;
        d = half(0);
        const Words lower = word(0);
        HalfWords narrow;
        __builtin_memcpy(&narrow, halves + kPanelRows * sizeof(uint16_t), sizeof narrow);
        // Of each byte the lower half, and the upper two bits above it, belong to an even group and to the next.
        Words upper = __builtin_convertvector(narrow, Words);
        upper = (upper | (upper << 8)) & 0x00ff00ffu;
        upper = (upper | (upper << 4)) & 0x0f0f0f0fu;
        set_scales(0, add_bytes((lower & 0x0f0f0f0fu) | ((upper << 4) & 0x30303030u), -32));
        set_scales(1, add_bytes(((lower >> 4) & 0x0f0f0f0fu) | ((upper << 2) & 0x30303030u), -32));
    }
    Words code(size_t b, size_t j) const { return Isa::signed_codes(Isa::lookup(nibbles(1 + 4 * b, j))); }
};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
