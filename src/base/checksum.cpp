// SPDX-License-Identifier: MIT
#include "base/checksum.h"

namespace llmk {

namespace {

constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15u; // 2^64 / golden ratio
constexpr uint64_t kLaneStep = 0xbb67ae8584caa73bu;   // 2^64 times the fraction of sqrt(3)
constexpr size_t kLanes = 8;

uint64_t word_at(const uint8_t* bytes)
{
    uint64_t word = 0;
    __builtin_memcpy(&word, bytes, sizeof word);
    return word;
}

uint64_t step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * kMultiplier;
    return lane ^ lane >> 32;
}

} // namespace

uint64_t checksum(const void* data, size_t size_bytes, uint64_t seed)
{
    const auto* bytes = static_cast<const uint8_t*>(data);
    uint64_t lanes[kLanes];
    for (size_t i = 0; i < kLanes; ++i) {
        lanes[i] = seed + kLaneStep * (i + 1);
    }
    size_t left = size_bytes;
    for (; left >= kLanes * sizeof(uint64_t); left -= kLanes * sizeof(uint64_t)) {
#pragma GCC unroll 8
        for (size_t i = 0; i < kLanes; ++i) {
            lanes[i] = step(lanes[i], word_at(bytes + i * sizeof(uint64_t)));
        }
        bytes += kLanes * sizeof(uint64_t);
    }
    uint64_t sum = size_bytes;
    for (const uint64_t lane : lanes) {
        sum = step(sum, lane);
    }
    for (; left > 0; bytes += sizeof(uint64_t)) {
        const size_t count = left < sizeof(uint64_t) ? left : sizeof(uint64_t);
        uint64_t word = 0;
        for (size_t i = 0; i < count; ++i) {
            word |= uint64_t{bytes[i]} << (8 * i);
        }
        sum = step(sum, word);
        left -= count;
    }
    return sum;
}

} // namespace llmk
