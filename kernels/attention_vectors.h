// SPDX-License-Identifier: MIT
//
// Vectors of numbers of kernels/attention_blocks.h, which includes this file behind a set's `Isa`, and tells what that
// is.
#pragma once

#include <cstddef>
#include <utility>

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

using Floats = Isa::Floats;
using Ints = Isa::Ints;

/// 2^x for x <= 0, within 2 ulp; 0 from 2^-127 on.
inline Floats power_of_two(Floats x)
{
    x = Isa::max(Isa::splat(-127.0f), x);
    // x = k + r with |r| <= 1/2. So large a number has no room for a fraction, and its last bits are k + 127.
    const Floats large = Isa::splat(0x1.8p23f + 127.0f);
    const Floats biased = x + large;
    const Floats r = x - (biased - large);
    // (2^r - 1) / r, off by 2e-9 at most of 2^r.
    Floats sum = Isa::splat(0x1.41fbbcp-13f);
    sum = Isa::fma(sum, r, Isa::splat(0x1.5f3e54p-10f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.3b2d4cp-7f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.c6aee8p-5f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.ebfbdcp-3f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.62e430p-1f));
    sum = Isa::fma(sum, r, Isa::splat(1.0f));
    return sum * reinterpret_cast<Floats>(reinterpret_cast<Ints>(biased) << 23);
}

template <int kBy, int... kLane> inline Floats turned(Floats v, std::integer_sequence<int, kLane...> /*lanes*/)
{
    return __builtin_shufflevector(v, v, ((kLane + kBy) % static_cast<int>(kLanes))...);
}

/// The lanes, each kBy places further down, round and round.
template <int kBy> inline Floats turned(Floats v) { return turned<kBy>(v, std::make_integer_sequence<int, kLanes>()); }

/// Puts together what kN vectors hold of kN rows, lane i of row i % kN: each lane of the result is a row's. A row's
/// values come together in the same order whatever kN is.
template <size_t kN, class Function> inline Floats fold(Floats (&vectors)[kN], const Function& function)
{
#pragma GCC unroll 2
    for (size_t half = kN / 2; half != 0; half /= 2) {
#pragma GCC unroll 2
        for (size_t i = 0; i < half; i++) {
            vectors[i] = function(vectors[i], vectors[i + half]);
        }
    }
    Floats all = vectors[0];
    if constexpr (kLanes > 8) {
        all = function(all, turned<8>(all));
    }
    if constexpr (kLanes > 4) {
        all = function(all, turned<4>(all));
    }
    if constexpr (kN < 4) {
        all = function(all, turned<2>(all));
    }
    if constexpr (kN < 2) {
        all = function(all, turned<1>(all));
    }
    return all;
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
