// SPDX-License-Identifier: MIT
//
// Inputs of products with panels, quantized (KernelSet::quantize_input), by vectors of any length. Included behind a
// set's `Isa`, with LLMK_KERNEL_SET defined, as kernels/panel_types.h says.
#pragma once

#include "kernels/panel_types.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// Four lanes and more.
template <size_t kBytes> struct IntsOf {
    using Type [[gnu::vector_size(kBytes)]] = int32_t;
};
using FourInts = IntsOf<16>::Type;

struct Larger {
    template <class V> V operator()(V a, V b) const { return a > b ? a : b; }
};

struct Plus {
    template <class V> V operator()(V a, V b) const { return a + b; }
};

/// Of lanes that are a multiple of four apart one.
template <class Combine, class V> [[gnu::always_inline]] inline FourInts fold(V v)
{
    if constexpr (sizeof v == sizeof(FourInts)) {
        return v;
    } else {
        using Half = typename IntsOf<sizeof v / 2>::Type;
        Half halves[2];
        __builtin_memcpy(halves, &v, sizeof v);
        const Half both = Combine()(halves[0], halves[1]);
        return fold<Combine>(both);
    }
}

/// The largest of 32 magnitudes; NaN if there is one. Magnitudes compare as their bit patterns do, and every NaN is
/// above infinity.
template <size_t kVectors> inline float peak_magnitude(const Floats (&v)[kVectors])
{
    Ints largest = {};
#pragma GCC unroll 8
    for (size_t j = 0; j < kVectors; j++) {
        largest = Larger()(largest, reinterpret_cast<Ints>(v[j]) & INT32_MAX);
    }
    FourInts four = fold<Larger>(largest);
    four = Larger()(four, __builtin_shufflevector(four, four, 2, 3, 0, 1));
    four = Larger()(four, __builtin_shufflevector(four, four, 1, 0, 3, 2));
    return __builtin_bit_cast(float, static_cast<int32_t>(four[0]));
}

/// Half away from zero, of |v| < 2^22.
inline Ints rounded(Floats v)
{
    // The number below a half: a half would round that number itself up.
    const Ints half = (reinterpret_cast<Ints>(v) & INT32_MIN) | __builtin_bit_cast(int32_t, 0x1.fffffep-2f);
    return __builtin_convertvector(v + reinterpret_cast<Floats>(half), Ints);
}

/// A KernelSet::quantize_input.
inline void quantize_blocks(int8_t* q, InputScale* scales, const float* x, size_t n)
{
    using Codes [[gnu::vector_size(kVectorRows)]] = int8_t;
    constexpr size_t kVectors = kInputBlock / kVectorRows;
    for (size_t i = 0; i < n; i += kInputBlock, scales++) {
        Floats v[kVectors];
#pragma GCC unroll 8
        for (size_t j = 0; j < kVectors; j++) {
            __builtin_memcpy(&v[j], x + i + j * kVectorRows, sizeof v[j]);
        }
        const float peak = peak_magnitude(v);
        const float factor = input_factor(peak);
        Ints sums[2] = {};
        if (factor != 0.0f) {
#pragma GCC unroll 8
            for (size_t j = 0; j < kVectors; j++) {
                const Ints wide = rounded(v[j] * splat(factor));
                const Codes codes = __builtin_convertvector(wide, Codes);
                __builtin_memcpy(q + i + j * kVectorRows, &codes, sizeof codes);
                sums[j / (kVectors / 2)] += wide;
            }
        } else {
            __builtin_memset(q + i, 0, kInputBlock);
        }
        const FourInts first = fold<Plus>(sums[0]);
        const FourInts last = fold<Plus>(sums[1]);
        const FourInts pairs = __builtin_shufflevector(first, last, 0, 2, 4, 6) + //
                               __builtin_shufflevector(first, last, 1, 3, 5, 7);
        scales->set(peak, pairs[0], pairs[1], pairs[2], pairs[3]);
    }
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
