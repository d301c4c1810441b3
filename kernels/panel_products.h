// SPDX-License-Identifier: MIT
//
// Products with panels (kernels/panels.h), written once for all sets: a set's panels.cpp includes this file behind its
// `Isa` (kernels/panel_types.h).
//
// Nothing here depends on the batch but the number of rows that share a load: each sum is made in the same order.
#pragma once

#include "kernels/panel_tiles.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// How a product with one row of input, which waits for memory, goes through the panels.
struct Reading {
    size_t panels; ///< side by side
    size_t far;    ///< so many bytes ahead lines are asked for, for the second-level cache; 0: not
    size_t near;   ///< likewise, for the first-level cache
};

/// Steps of kTogether blocks that follow each other without a jump, so that shifts and places of scales are constants.
template <class Type> constexpr size_t kSteps = Type::kGroups;
template <class Type>
requires(Type::kIntegerScales) constexpr size_t kSteps<Type> = 2;

/// Memory answers soon, and likes one stream best.
constexpr Reading kOneStream = {1, 0, 12288};
/// Memory answers late: more is under way where it is asked in several places at a time, and a stream that the
/// processor's own prefetch follows ends with each 4 KiB. Types with two scales to 32 columns lie in three or four
/// places themselves; those panels are asked for further ahead, twice.
template <class Type> constexpr Reading kSideBySide =
    Type::kGroups == 1 ? Reading{8, 0, 1024} : Reading{1, 12288, 2048};

constexpr size_t kLineBytes = 64;

/// Lines of kCount blocks.
template <class Type, size_t kCount>
constexpr size_t kLines = (kCount * (Type::kUnitBytes / Type::kBlocks) + kLineBytes - 1) / kLineBytes;

/// Asks for what a later unit holds of a stream.
template <class Type, Reading kReading> struct StreamAhead {
    uintptr_t unit; ///< at hand

    void begin() {}
    /// Of kCount blocks from block b on, the i-th of `parts` parts. The address may lie past the end of the weights; a
    /// prefetch does not mind.
    template <size_t kCount> void fetch(size_t b, size_t i, size_t parts)
    {
        const uintptr_t address = unit + b * (Type::kUnitBytes / Type::kBlocks);
        for (size_t n = i * kLines<Type, kCount> / parts; n < (i + 1) * kLines<Type, kCount> / parts; n++) {
            if constexpr (kReading.far != 0) {
                __builtin_prefetch(reinterpret_cast<const void*>(address + kReading.far + kLineBytes * n), 0, 2);
            }
            __builtin_prefetch(reinterpret_cast<const void*>(address + kReading.near + kLineBytes * n));
        }
    }
};

/// Asks for units to come of each of the places, a line of each in turn, while their units at hand are used. As much
/// is asked for as is used.
template <class Type> struct PlacesAhead {
    static constexpr size_t kUnitLines = kLines<Type, Type::kBlocks>;
    /// What a step asks for; what is left is asked for in the beginning, while scales are unpacked.
    static constexpr size_t kStepLines =
        Type::kBlocks == 1 ? kUnitLines : (kUnitLines - kPlaces) / (Type::kBlocks / Type::kTogether);
    /// Units are used one after the other, so what is asked for of a place lags a part of a unit behind that of the
    /// place before: asked for at the same time, it would stay in the first-level cache for nothing. Units of one block
    /// are small enough for that.
    static constexpr size_t kLag = Type::kBlocks == 1 ? 0 : Type::kUnitBytes / kPlaces;

    uintptr_t next[kPlaces]; ///< to be asked for, beginning with the place whose turn it is

    /// While the units that begin at `unit`, and so many bytes further each, are used.
    static PlacesAhead of(const uint8_t* unit, size_t apart_bytes)
    {
        const uintptr_t first = reinterpret_cast<uintptr_t>(unit) + Type::kUnitBytes;
        const size_t apart = apart_bytes - kLag;
        return {{first, first + apart, first + 2 * apart, first + 3 * apart}};
    }
    /// When the next of the units at hand begins.
    void begin() { ask<kUnitLines - Type::kBlocks / Type::kTogether * kStepLines>(0, 1); }
    /// The i-th of `parts` parts of a step.
    template <size_t kCount> void fetch(size_t, size_t i, size_t parts)
    {
        static_assert(kCount == Type::kTogether);
        ask<kStepLines>(i, parts);
    }

private:
    /// The i-th of `parts` parts of kAll lines. The last part moves on.
    template <size_t kAll> [[gnu::always_inline]] void ask(size_t i, size_t parts)
    {
#pragma GCC unroll 32
        for (size_t n = 0; n < kAll; n++) {
            if (n >= i * kAll / parts && n < (i + 1) * kAll / parts) {
                const uintptr_t at = next[n % kPlaces] + n / kPlaces * kLineBytes;
                // Not __builtin_prefetch: a loop of nothing else may be taken for one without effect.
                asm volatile("prefetcht0 %0" : : "m"(*reinterpret_cast<const char*>(at)));
            }
        }
        if (i + 1 == parts) {
            uintptr_t moved[kPlaces];
            for (size_t place = 0; place < kPlaces; place++) {
                const size_t asked = kAll / kPlaces + (place < kAll % kPlaces);
                moved[(place + kPlaces - kAll % kPlaces) % kPlaces] = next[place] + asked * kLineBytes;
            }
            __builtin_memcpy(next, moved, sizeof next);
        }
    }
};

/// kCount blocks (up to four) of a unit by one row of input, from the i-th on. The unit's part of that row begins at q.
template <class Type, size_t kCount, class Set, class Ahead> inline void
add_blocks(Sum<Type>* sums, const Type* parts, size_t i, const int8_t* q, const InputScale* scales, Ahead& ahead)
{
#pragma GCC unroll 2
    for (size_t n = 0; n < kCount; n++) {
        ahead.template fetch<kCount>(i, n, kCount);
        const size_t b = Type::block(i + n);
        const typename Set::Input input = Set::input(q + b * kInputBlock, scales[b]);
#pragma GCC unroll 4
        for (size_t p = 0; p < kParts; p++) {
            Words codes[kQuads];
            parts[p].codes(b, codes);
            Dot<Type, Set> dot;
            dot.take(parts[p], b, codes, input);
            sums[p].add(parts[p], b, dot.sums, scales[b]);
        }
    }
}

/// The same word by word, so that what the blocks and the parts share is loaded once.
template <class Type, size_t kCount, class Set, class Ahead>
requires(Set::kWordParts != 0) inline void add_blocks(Sum<Type>* sums, const Type* parts, size_t first, const int8_t* q,
                                                      const InputScale* scales, Ahead& ahead)
{
    Dot<Type, Set> dots[kCount][kParts];
    typename Set::Input inputs[kCount];
#pragma GCC unroll 4
    for (size_t n = 0; n < kCount; n++) {
        const size_t b = Type::block(first | n);
        inputs[n] = Set::input(q + b * kInputBlock, scales[b]);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < kQuads; i++) {
        const size_t place = Dot<Type, Set>::place(i);
        ahead.template fetch<kCount>(first, i, kQuads);
#pragma GCC unroll 4
        for (size_t p = 0; p < kParts; p++) {
#pragma GCC unroll 4
            for (size_t n = 0; n < kCount; n++) {
                const size_t b = Type::block(first | n);
                dots[n][p].add(parts[p], b, i, parts[p].code(b, place), inputs[n]);
            }
        }
    }
#pragma GCC unroll 4
    for (size_t n = 0; n < kCount; n++) {
        const size_t b = Type::block(first | n);
#pragma GCC unroll 4
        for (size_t p = 0; p < kParts; p++) {
            sums[p].add(parts[p], b, dots[n][p].sums, scales[b]);
        }
    }
}

template <class Type> void store(float* y, const Sum<Type>* sums)
{
    for (size_t p = 0; p < kParts; p++) {
        __builtin_memcpy(y + p * kVectorRows, &sums[p].total, sizeof(Floats));
    }
}

/// A unit by one row of input, whose part of that begins at q.
template <class Type, class Ahead>
inline void add_unit(Sum<Type>* sums, const uint8_t* unit, const int8_t* q, const InputScale* scales, Ahead& ahead)
{
    constexpr size_t kTogether = Type::kTogether;
    // Or the compiler keeps what it made of the input for the next unit, which takes longer to load than to make.
    asm("" : "+r"(q));
    ahead.begin();
    Type parts[kParts];
    for (size_t p = 0; p < kParts; p++) {
        parts[p].load(unit, p);
    }
    size_t end = Type::kBlocks;
    if constexpr (Type::kBlocks > kSteps<Type> * kTogether) {
        asm("" : "+r"(end)); // or all steps of a unit would follow each other
    }
    for (size_t b = 0; b < end; b += kSteps<Type> * kTogether) {
        const size_t first = b & ~(kSteps<Type> * kTogether - 1); // b, so that the compiler knows its last bits
#pragma GCC unroll 2
        for (size_t step = 0; step < kSteps<Type>; step++) {
            add_blocks<Type, kTogether, Isa>(sums, parts, first | step * kTogether, q, scales, ahead);
        }
    }
    for (size_t p = 0; p < kParts; p++) {
        sums[p].end_unit(parts[p]);
    }
}

/// A panel by one row of input.
template <class Type, Reading kReading>
void row(float* y, const uint8_t* panel, const int8_t* q, const InputScale* scales, size_t cols)
{
    Sum<Type> sums[kParts] = {};
    for (size_t c = 0; c < cols; c += Type::kFields.values, panel += Type::kUnitBytes) {
        StreamAhead<Type, kReading> ahead = {reinterpret_cast<uintptr_t>(panel)};
        add_unit(sums, panel, q, scales, ahead);
        q += Type::kFields.values;
        scales += Type::kBlocks;
    }
    store<Type>(y, sums);
}

/// A panel of each place by one row of input, a unit of each in turn. `apart` panels lie between them.
template <class Type> void rows_in_places(float* y, const uint8_t* panel, size_t apart, size_t panel_bytes,
                                          const int8_t* q, const InputScale* scales, size_t cols)
{
    const size_t apart_bytes = apart * panel_bytes;
    Sum<Type> sums[kPlaces][kParts] = {};
    for (size_t c = 0; c < cols; c += Type::kFields.values, panel += Type::kUnitBytes) {
        auto ahead = PlacesAhead<Type>::of(panel, apart_bytes);
#pragma GCC unroll 1
        for (size_t place = 0; place < kPlaces; place++) {
            add_unit(sums[place], panel + place * apart_bytes, q, scales, ahead);
        }
        q += Type::kFields.values;
        scales += Type::kBlocks;
    }
    for (size_t place = 0; place < kPlaces; place++) {
        store<Type>(y + place * apart * kPanelRows, sums[place]);
    }
}

/// Up to kReading.panels panels by one row of input, a block or two of each in turn.
template <class Type, Reading kReading> void rows_side_by_side(float* y, const uint8_t* panel, size_t panels,
                                                               size_t panel_bytes, const int8_t* q,
                                                               const InputScale* scales, size_t cols)
{
    Sum<Type> sums[kReading.panels][kParts] = {};
    for (size_t c = 0; c < cols; c += Type::kFields.values, panel += Type::kUnitBytes) {
        Type parts[kReading.panels][kParts];
#pragma GCC unroll 1
        for (size_t b = 0; b < Type::kBlocks; b += Type::kTogether) {
#pragma GCC unroll 1
            for (size_t s = 0; s < panels; s++) {
                const uint8_t* const unit = panel + s * panel_bytes;
                for (size_t p = 0; b == 0 && p < kParts; p++) {
                    parts[s][p].load(unit, p);
                }
                StreamAhead<Type, kReading> ahead = {reinterpret_cast<uintptr_t>(unit)};
                add_blocks<Type, Type::kTogether, Isa>(sums[s], parts[s], b, q, scales, ahead);
                for (size_t p = 0; b + Type::kTogether == Type::kBlocks && p < kParts; p++) {
                    sums[s][p].end_unit(parts[s][p]);
                }
            }
        }
        q += Type::kFields.values;
        scales += Type::kBlocks;
    }
    for (size_t s = 0; s < panels; s++) {
        store<Type>(y + s * kPanelRows, sums[s]);
    }
}

template <class Type, size_t kTokens>
size_t tiles_of_tokens(float* y, size_t y_stride, const uint8_t* panel, const PanelInput& x, size_t token)
{
    for (; token + kTokens <= x.batch; token += kTokens) {
        for (size_t part = 0; part < kParts; part += Isa::kTileParts) {
            tile<Type, kTokens>(y, y_stride, panel, part, x, token);
        }
    }
    return token;
}

/// Whether to unpack codes takes so long that many rows of input share it, whose sums are in memory. Of types of five
/// bits it does where tiles go by halves of a block.
template <class Type> constexpr bool kUnpackedOnce = Isa::kUnpackTokens > Isa::kTokens &&
                                                     (Type::kGroups == 2 || (Isa::kWordParts != 0 && Type::kMax == 31));

/// Rows of input that are few enough for every set.
constexpr size_t kFewTokens = 4;

template <class Type> void product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    for (size_t i = 0; i < panels; i++, data += panel_bytes, y += kPanelRows) {
        size_t token = 0;
        if constexpr (kUnpackedOnce<Type>) {
            token = tiles_of_tokens<Type, Isa::kUnpackTokens>(y, y_stride, data, x, token);
        }
        token = tiles_of_tokens<Type, Isa::kTokens>(y, y_stride, data, x, token);
        if constexpr (Isa::kTokens > kFewTokens) {
            token = tiles_of_tokens<Type, kFewTokens>(y, y_stride, data, x, token);
        }
        for (; token < x.batch; token++) {
            row<Type, kOneStream>(y + token * y_stride, data, x.q + token * x.stride,
                                  x.scales + token * (x.stride / kInputBlock), x.cols);
        }
    }
}

/// A PanelProduct with one row of input, panels side by side.
template <class Type>
void product_side_by_side(float* y, size_t, const uint8_t* data, size_t panels, const PanelInput& x)
{
    constexpr Reading kReading = kSideBySide<Type>;
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    for (size_t i = 0; i < panels; i += kReading.panels) {
        float* const out = y + i * kPanelRows;
        const uint8_t* const panel = data + i * panel_bytes;
        if constexpr (kReading.panels == 1) {
            row<Type, kReading>(out, panel, x.q, x.scales, x.cols);
        } else {
            const size_t count = panels - i < kReading.panels ? panels - i : kReading.panels;
            rows_side_by_side<Type, kReading>(out, panel, count, panel_bytes, x.q, x.scales, x.cols);
        }
    }
}

/// The same in places far apart.
template <class Type> void product_in_places(float* y, size_t, const uint8_t* data, size_t panels, const PanelInput& x)
{
    const size_t panel_bytes = x.cols / kInputBlock / Type::kBlocks * Type::kUnitBytes;
    const size_t each = panels / kPlaces;
    for (size_t i = 0; i < each; i++) {
        rows_in_places<Type>(y + i * kPanelRows, data + i * panel_bytes, each, panel_bytes, x.q, x.scales, x.cols);
    }
    for (size_t i = kPlaces * each; i < panels; i++) {
        row<Type, kOneStream>(y + i * kPanelRows, data + i * panel_bytes, x.q, x.scales, x.cols);
    }
}

/// These loops, for a table of products.
template <class Type> struct VectorLoops {
    static constexpr PanelProduct kProduct = product<Type>;
};

template <class Type> struct SideBySideLoops {
    static constexpr PanelProduct kProduct = product_side_by_side<Type>;
};

template <class Type> struct InPlacesLoops {
    static constexpr PanelProduct kProduct = product_in_places<Type>;
};

/// Loops<Type>::kProduct of all types, in the order of PanelType.
template <template <class> class Loops = VectorLoops> constexpr PanelKernels kPanelProducts = {
    {Loops<Q80>::kProduct, Loops<Q40>::kProduct, Loops<Q41>::kProduct, Loops<Q50>::kProduct, Loops<Q51>::kProduct,
     Loops<Q2K>::kProduct, Loops<Q3K>::kProduct, Loops<Q4K>::kProduct, Loops<Q5K>::kProduct, Loops<Q6K>::kProduct,
     Loops<Iq4Nl>::kProduct, Loops<Iq4Xs>::kProduct}};

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
