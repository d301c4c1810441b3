// SPDX-License-Identifier: MIT
#include "base/checksum.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace llmk {
namespace {

std::vector<uint8_t> some_bytes(size_t count)
{
    std::vector<uint8_t> bytes(count);
    uint32_t state = 1;
    for (uint8_t& byte : bytes) {
        state = state * 1664525u + 1013904223u;
        byte = static_cast<uint8_t>(state >> 24);
    }
    return bytes;
}

TEST(Checksum, EveryBitCounts)
{
    for (const size_t size : {1u, 7u, 8u, 63u, 64u, 65u, 200u}) {
        auto bytes = some_bytes(size);
        std::set<uint64_t> sums = {checksum(bytes.data(), size, 0)};
        for (size_t bit = 0; bit < size * 8; ++bit) {
            bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
            sums.insert(checksum(bytes.data(), size, 0));
            bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        }
        EXPECT_EQ(sums.size(), size * 8 + 1) << size;
    }
}

/// A data line that is stuck changes the same bit of many words: it must not cancel, the highest bit included.
TEST(Checksum, TheSameBitOfTwoWords)
{
    constexpr size_t kWords = 64;
    auto bytes = some_bytes(kWords * 8);
    const uint64_t right = checksum(bytes.data(), bytes.size(), 0);
    for (size_t bit = 0; bit < 64; ++bit) {
        for (size_t first = 0; first < kWords; ++first) {
            for (size_t second = first + 1; second < kWords; ++second) {
                for (const size_t word : {first, second}) {
                    bytes[word * 8 + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
                }
                ASSERT_NE(checksum(bytes.data(), bytes.size(), 0), right) << bit << " " << first << " " << second;
                for (const size_t word : {first, second}) {
                    bytes[word * 8 + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
                }
            }
        }
    }
}

TEST(Checksum, LengthPlaceAndOrderCount)
{
    const std::vector<uint8_t> zeros(256);
    std::set<uint64_t> sums;
    for (size_t size = 0; size <= zeros.size(); ++size) {
        sums.insert(checksum(zeros.data(), size, 0));
        sums.insert(checksum(zeros.data(), size, 1));
    }
    EXPECT_EQ(sums.size(), 2 * (zeros.size() + 1));
    auto bytes = some_bytes(256);
    const uint64_t right = checksum(bytes.data(), 256, 0);
    std::swap_ranges(bytes.begin(), bytes.begin() + 64, bytes.begin() + 64);
    EXPECT_NE(checksum(bytes.data(), 256, 0), right);
}

TEST(Checksum, AlignmentDoesNot)
{
    const auto bytes = some_bytes(300);
    for (size_t shift = 1; shift < 64; ++shift) {
        std::vector<uint8_t> moved(shift);
        moved.insert(moved.end(), bytes.begin(), bytes.end());
        EXPECT_EQ(checksum(moved.data() + shift, 300, 5), checksum(bytes.data(), 300, 5));
    }
}

} // namespace
} // namespace llmk
