// SPDX-License-Identifier: MIT
//
// A 64-bit checksum that runs at the speed of memory on a processor with nothing but baseline x86-64. It finds damage
// (a bit that flipped, a stick that lied), not forgery.
//
// Eight lanes take the 64-bit words of the data in turn: lane = (lane xor word) * an odd constant, then lane = lane xor
// (lane >> 32). Each step is one-to-one in the word, so a change within one word always changes the sum; the shift
// keeps changes of the highest bits of several words from cancelling, as a plain product would let them. The lanes,
// what is left of the data (filled up with zeros) and its length are folded the same way. (Multiply and shift, as in
// splitmix64 and MurmurHash; the constants are odd fractions of the golden ratio and of the square root of three.)
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmk {

/// `seed` makes the same data at another place another sum. Any alignment.
uint64_t checksum(const void* data, size_t size_bytes, uint64_t seed);

} // namespace llmk
