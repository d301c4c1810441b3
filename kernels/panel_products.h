// SPDX-License-Identifier: MIT
//
// Products with panels (kernels/panels.h), written once over the few vector operations that an instruction set brings.
// A set's panels.cpp defines LLMK_KERNEL_SET, the name of its namespace, and `Isa` in an anonymous namespace there, and
// then includes this file, which is in that anonymous namespace too: the linker never sees two copies of one name.
//
// `Isa` has: Words, Ints, Floats: vectors of kVectorRows 32-bit lanes; kTokens: rows of input that a tile takes at
// once; kSignedBias: what signed_codes adds to a signed code (0, or 128 where codes must be unsigned); and
//   Floats fma(a, b, c): a * b + c, fused or not
//   Floats halves(p): kVectorRows binary16 numbers at p
//   Words signed_codes(w): signed codes as dot() wants them
//   Words lookup(w): bytes 0 to 15 replaced by kIq4Values
//   Input input(q): 32 quantized values, made ready for several products
//   Ints dot<kMax, kFirst, kQuads>(codes, input): in each lane the sum over kQuads words from codes[kFirst] of its four
//     bytes times the four values of the input at the same place. Codes are 0 to kMax; kMax of kSigned says that they
//     come from signed_codes.
//
// Nothing here depends on the batch but the number of rows that share a load: each sum is made in the same order.
#pragma once

#include "kernels/djiblas.h"

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
inline Floats splat(float v) { return Floats{} + v; }

/// One part (kVectorRows rows) of sixteen blocks that lie together.
template <PanelType kType> struct Lines {
    static constexpr PanelType kPanelType = kType;
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
    /// Eight words of four-bit codes: the low halves of four lines, then the high ones.
    void nibbles(size_t first, Words* codes) const
    {
        for (size_t j = 0; j < 4; j++) {
            const Words both = word(first + j);
            codes[j] = both & 0x0f0f0f0fu;
            codes[j + 4] = (both >> 4) & 0x0f0f0f0fu;
        }
    }
};

// Each type: kMax, the largest code; kGroups, the scales to 32 columns (1 or 2); what a value is: scale * (code -
// kOffset), or scale * code + bias where kBias; load(unit, part); scale(b, g) and bias(b, g) of group g of block b;
// codes(b, out).

template <PanelType kType, int kMaxCode, int kCodeOffset> struct Simple : Lines<kType> {
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

struct Q80 : Simple<PanelType::q8_0, kSigned, Isa::kSignedBias> {
    void codes(size_t, Words* out) const
    {
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = Isa::signed_codes(word(j));
        }
    }
};

struct Q40 : Simple<PanelType::q4_0, 15, 8> {
    void codes(size_t, Words* out) const { nibbles(0, out); }
};

struct Iq4Nl : Simple<PanelType::iq4_nl, kSigned, Isa::kSignedBias> {
    void codes(size_t, Words* out) const
    {
        nibbles(0, out);
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = Isa::signed_codes(Isa::lookup(out[j]));
        }
    }
};

/// The fifth bits of 32 columns: bit i of a row's word belongs to column i.
template <class Base> void add_fifth_of_columns(const Base& lines, Words* out)
{
    const Words fifth = lines.word(0);
    for (size_t j = 0; j < kQuads; j++) {
        // Four neighbouring bits to bit 4 of four bytes.
        const Words four = (fifth >> static_cast<int>(4 * j)) & 0xfu;
        out[j] |= (((four * 0x00204081u) & 0x01010101u) << 4);
    }
}

struct Q50 : Simple<PanelType::q5_0, 31, 16> {
    void codes(size_t, Words* out) const
    {
        nibbles(1, out);
        add_fifth_of_columns(*this, out);
    }
};

template <PanelType kType, int kMaxCode> struct WithMinimum : Lines<kType> {
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

struct Q41 : WithMinimum<PanelType::q4_1, 15> {
    void codes(size_t, Words* out) const { nibbles(0, out); }
};

struct Q51 : WithMinimum<PanelType::q5_1, 31> {
    void codes(size_t, Words* out) const
    {
        nibbles(1, out);
        add_fifth_of_columns(*this, out);
    }
};

/// Scales of 256 columns, unpacked once.
template <PanelType kType, int kMaxCode, size_t kGroupsOfBlock, int kCodeOffset> struct Super : Lines<kType> {
    static constexpr int kMax = kMaxCode;
    static constexpr size_t kGroups = kGroupsOfBlock;
    static constexpr int kOffset = kCodeOffset;
    static constexpr bool kBias = false;
    Floats scales[8 * kGroups];

    Floats scale(size_t b, size_t g) const { return scales[kGroups * b + g]; }
};

/// Scales and minima of 256 columns.
template <PanelType kType, int kMaxCode, size_t kGroupsOfBlock> struct SuperWithMinima
    : Super<kType, kMaxCode, kGroupsOfBlock, 0> {
    static constexpr bool kBias = true;
    Floats biases[8 * kGroupsOfBlock];

    Floats bias(size_t b, size_t g) const { return biases[kGroupsOfBlock * b + g]; }
};

/// The 6-bit scales and minima of Q4_K and Q5_K.
template <PanelType kType, int kMaxCode> struct SixBit : SuperWithMinima<kType, kMaxCode, 1> {
    void load(const uint8_t* unit, size_t part)
    {
        this->find(unit, part);
        const Floats d = this->half(0);
        const Floats dmin = -this->half(1);
        const Words low = this->word(0);
        const Words low_min = this->word(1);
        const Words high = this->word(2);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            const int at = 8 * g;
            this->scales[g] = to_floats((low >> at) & 63u) * d;
            this->biases[g] = to_floats((low_min >> at) & 63u) * dmin;
            this->scales[g + 4] = to_floats(((high >> at) & 15u) | ((low >> (at + 2)) & 48u)) * d;
            this->biases[g + 4] = to_floats(((high >> (at + 4)) & 15u) | ((low_min >> (at + 2)) & 48u)) * dmin;
        }
    }
};

struct Q4K : SixBit<PanelType::q4_k, 15> {
    void codes(size_t b, Words* out) const
    {
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = (word(3 + 8 * (b / 2) + j) >> static_cast<int>(4 * (b % 2))) & 0x0f0f0f0fu;
        }
    }
};

struct Q5K : SixBit<PanelType::q5_k, 31> {
    void codes(size_t b, Words* out) const
    {
        for (size_t j = 0; j < kQuads; j++) {
            const Words fifth = (word(3 + j) >> static_cast<int>(b)) & 0x01010101u;
            out[j] = ((word(11 + 8 * (b / 2) + j) >> static_cast<int>(4 * (b % 2))) & 0x0f0f0f0fu) | (fifth << 4);
        }
    }
};

struct Q6K : Super<PanelType::q6_k, 63, 2, 32> {
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        const Floats d = half(0);
#pragma GCC unroll 16
        for (size_t g = 0; g < 16; g++) {
            const Ints top = reinterpret_cast<Ints>(word(48 + g / 4) << static_cast<int>(24 - 8 * (g % 4)));
            scales[g] = to_floats(top >> 24) * d;
        }
    }
    void codes(size_t b, Words* out) const
    {
        const size_t half_of_unit = b / 4;
        const size_t s = b % 4;
        for (size_t j = 0; j < kQuads; j++) {
            const Words low = word(16 * half_of_unit + 8 * (s % 2) + j) >> static_cast<int>(4 * (s / 2));
            const Words upper = word(32 + 8 * half_of_unit + j) >> static_cast<int>(2 * s);
            out[j] = (low & 0x0f0f0f0fu) | ((upper & 0x03030303u) << 4);
        }
    }
};

struct Q2K : SuperWithMinima<PanelType::q2_k, 3, 2> {
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        const Floats d = half(0);
        const Floats dmin = -half(1);
#pragma GCC unroll 16
        for (size_t g = 0; g < 16; g++) {
            const Words both = word(g / 4) >> static_cast<int>(8 * (g % 4));
            scales[g] = to_floats(both & 15u) * d;
            biases[g] = to_floats((both >> 4) & 15u) * dmin;
        }
    }
    void codes(size_t b, Words* out) const
    {
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = (word(4 + 8 * (b / 4) + j) >> static_cast<int>(2 * (b % 4))) & 0x03030303u;
        }
    }
};

struct Q3K : Super<PanelType::q3_k, 7, 2, 4> {
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        const Floats d = half(0);
        const Words upper = word(26);
#pragma GCC unroll 16
        for (size_t g = 0; g < 16; g++) {
            const Words low = word(24 + g % 8 / 4) >> static_cast<int>(8 * (g % 4) + 4 * (g / 8));
            const Words high = upper >> static_cast<int>(8 * (g % 4) + 2 * (g / 4));
            const Ints scale = reinterpret_cast<Ints>((low & 15u) | ((high & 3u) << 4)) - 32;
            scales[g] = to_floats(scale) * d;
        }
    }
    void codes(size_t b, Words* out) const
    {
        for (size_t j = 0; j < kQuads; j++) {
            const Words low = (word(8 + 8 * (b / 4) + j) >> static_cast<int>(2 * (b % 4))) & 0x03030303u;
            const Words third = (word(j) >> static_cast<int>(b)) & 0x01010101u;
            out[j] = low | (third << 2);
        }
    }
};

struct Iq4Xs : Super<PanelType::iq4_xs, kSigned, 1, Isa::kSignedBias> {
    void load(const uint8_t* unit, size_t part)
    {
        find(unit, part);
        using HalfWords [[gnu::vector_size(sizeof(Words) / 2)]] = uint16_t;
        const Floats d = half(0);
        const Words lower = word(0);
        HalfWords narrow;
        __builtin_memcpy(&narrow, halves + kPanelRows * sizeof(uint16_t), sizeof narrow);
        const Words upper = __builtin_convertvector(narrow, Words);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++) {
            const Words six = ((lower >> (4 * g)) & 15u) | (((upper >> (2 * g)) & 3u) << 4);
            scales[g] = to_floats(reinterpret_cast<Ints>(six) - 32) * d;
        }
    }
    void codes(size_t b, Words* out) const
    {
        nibbles(1 + 4 * b, out);
        for (size_t j = 0; j < kQuads; j++) {
            out[j] = Isa::signed_codes(Isa::lookup(out[j]));
        }
    }
};

/// sum + value . input, of one group of columns whose codes times inputs sum up to `exact`.
template <class Type, size_t kGroup>
inline Floats add_exact(Floats sum, const Type& type, size_t b, Ints exact, const InputScale& scales)
{
    const float input_sum = scales.sums[Type::kGroups == 1 ? 2 : kGroup];
    if constexpr (Type::kOffset != 0) {
        const Floats centred = splat(input_sum) * static_cast<float>(-Type::kOffset);
        return Isa::fma(Isa::fma(to_floats(exact), splat(scales.scale), centred), type.scale(b, kGroup), sum);
    }
    sum = Isa::fma(to_floats(exact) * type.scale(b, kGroup), splat(scales.scale), sum);
    if constexpr (Type::kBias) {
        sum = Isa::fma(type.bias(b, kGroup), splat(input_sum), sum);
    }
    return sum;
}

/// sum + value . input, of one group of columns.
template <class Type, size_t kGroup> inline Floats add_group(Floats sum, const Type& type, size_t b, const Words* codes,
                                                             const Isa::Input& input, const InputScale& scales)
{
    constexpr size_t kGroupQuads = kQuads / Type::kGroups;
    const Ints exact = Isa::template dot<Type::kMax, kGroup * kGroupQuads, kGroupQuads>(codes, input);
    return add_exact<Type, kGroup>(sum, type, b, exact, scales);
}

template <class Type> inline Floats add_block(Floats sum, const Type& type, size_t b, const Words* codes,
                                              const Isa::Input& input, const InputScale& scales)
{
    sum = add_group<Type, 0>(sum, type, b, codes, input, scales);
    if constexpr (Type::kGroups == 2) {
        sum = add_group<Type, 1>(sum, type, b, codes, input, scales);
    }
    return sum;
}

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
    Floats sums[kTokens][kTileParts] = {};
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
                sums[0][p] = add_block(sums[0][p], parts[p], b, codes, first_input, scales[at]);
#pragma GCC unroll 16
                for (size_t t = 1; t < kTokens; t++) {
                    const auto input = Isa::input(q + t * x.cols + at * kInputBlock);
                    sums[t][p] = add_block(sums[t][p], parts[p], b, codes, input, scales[t * blocks + at]);
                }
            }
        }
    }
    for (size_t t = 0; t < kTokens; t++) {
        for (size_t p = 0; p < kTileParts; p++) {
            __builtin_memcpy(y + (token + t) * y_stride + (first_part + p) * kVectorRows, &sums[t][p], sizeof(Floats));
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
