// SPDX-License-Identifier: MIT
//
// The EFI binary's memcpy and its like, under other names beside the C library's, against plain loops.
#include <gtest/gtest.h>
#include <vector>

#define memcpy tested_memcpy
#define memmove tested_memmove
#define memset tested_memset
#define memcmp tested_memcmp
#define memchr tested_memchr
#define strlen tested_strlen
// NOLINTNEXTLINE(bugprone-suspicious-include)
#include "platform/uefi/memory_functions.cpp"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen

namespace {

constexpr size_t kMost = 300;        // past every block size, twice
constexpr size_t kMisalignments = 3; // of a pointer: 0, 1, 2

using Bytes = std::vector<uint8_t>;

/// Exactly this long, so that the address sanitizer sees each byte too far.
Bytes pattern(size_t size, unsigned seed = 1)
{
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<uint8_t>(i * 7 + seed);
    }
    return bytes;
}

TEST(MemoryFunctions, CopyMovesEveryLengthAndNoMore)
{
    for (size_t n = 0; n <= kMost; ++n) {
        for (size_t shift = 0; shift < kMisalignments; ++shift) {
            const Bytes from = pattern(n + shift);
            Bytes to(n + shift + 1, 0xee);
            EXPECT_EQ(tested_memcpy(to.data() + shift, from.data() + shift, n), to.data() + shift);
            Bytes expected(n + shift + 1, 0xee);
            std::copy(from.begin() + static_cast<ptrdiff_t>(shift), from.end(),
                      expected.begin() + static_cast<ptrdiff_t>(shift));
            ASSERT_EQ(to, expected) << n;
        }
    }
}

TEST(MemoryFunctions, MoveIsRightForEveryOverlap)
{
    constexpr size_t kDistances[] = {0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 130, kMost};
    for (size_t n = 0; n <= kMost; ++n) {
        for (size_t distance : kDistances) {
            for (bool up : {false, true}) {
                Bytes bytes = pattern(n + distance);
                Bytes expected = bytes;
                const size_t from = up ? 0 : distance;
                const size_t to = up ? distance : 0;
                const Bytes moved(bytes.begin() + static_cast<ptrdiff_t>(from),
                                  bytes.begin() + static_cast<ptrdiff_t>(from + n));
                std::copy(moved.begin(), moved.end(), expected.begin() + static_cast<ptrdiff_t>(to));
                tested_memmove(bytes.data() + to, bytes.data() + from, n);
                ASSERT_EQ(bytes, expected) << n << " by " << distance << (up ? " up" : " down");
            }
        }
    }
}

TEST(MemoryFunctions, SetFillsEveryLengthAndNoMore)
{
    for (size_t n = 0; n <= kMost; ++n) {
        for (size_t shift = 0; shift < kMisalignments; ++shift) {
            Bytes bytes(n + shift + 1, 0xee);
            tested_memset(bytes.data() + shift, 0x1a5, n); // the low byte counts
            Bytes expected(n + shift + 1, 0xee);
            std::fill_n(expected.begin() + static_cast<ptrdiff_t>(shift), n, uint8_t{0xa5});
            ASSERT_EQ(bytes, expected) << n;
        }
    }
}

TEST(MemoryFunctions, CompareFindsTheFirstDifference)
{
    for (size_t n = 0; n <= 40; ++n) {
        const Bytes a = pattern(n);
        EXPECT_EQ(tested_memcmp(a.data(), a.data(), n), 0);
        for (size_t at = 0; at < n; ++at) {
            Bytes b = a;
            b[at] = static_cast<uint8_t>(b[at] ^ 0x80); // unsigned: the sign bit must not turn the order round
            if (at + 1 < n) {
                b[at + 1] = static_cast<uint8_t>(~b[at + 1]);
            }
            const int sign = a[at] < b[at] ? -1 : 1;
            ASSERT_EQ(tested_memcmp(a.data(), b.data(), n), sign);
            ASSERT_EQ(tested_memcmp(b.data(), a.data(), n), -sign);
        }
    }
}

TEST(MemoryFunctions, FindsTheFirstOfABytesValue)
{
    for (size_t n = 0; n <= 40; ++n) {
        for (int value : {0x00, 0x01, 0x80, 0xff}) {
            // Neighbours that the word-wise test could take for the value.
            Bytes bytes(n, static_cast<uint8_t>(value ^ 1));
            EXPECT_EQ(tested_memchr(bytes.data(), value, n), nullptr);
            for (size_t at = n; at-- > 0;) {
                bytes[at] = static_cast<uint8_t>(value);
                ASSERT_EQ(tested_memchr(bytes.data(), value, n), bytes.data() + at);
            }
        }
    }
}

TEST(MemoryFunctions, LengthOfText)
{
    EXPECT_EQ(tested_strlen(""), 0u);
    EXPECT_EQ(tested_strlen("abc\0def"), 3u);
}

} // namespace
