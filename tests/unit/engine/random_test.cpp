// SPDX-License-Identifier: MIT
//
// The sampler's random stream, and what it takes for a loop.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace llmk {
namespace {

TEST(RandomStream, IsXorshift64Star)
{
    // The algorithm as its paper gives it: shifts of 12, 25, 27 and the multiplier 2685821657736338717.
    for (const uint64_t seed : {uint64_t{1}, uint64_t{42}, uint64_t{1337}, UINT64_MAX}) {
        RandomStream random(seed);
        uint64_t x = seed;
        for (int i = 0; i < 1000; ++i) {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            const uint64_t wanted = x * 2685821657736338717u;
            ASSERT_EQ(random.next_u32(), static_cast<uint32_t>(wanted >> 32));
        }
    }
    RandomStream by_hand(1);
    // 1 ^ 1>>12 = 1; ^ 1<<25 = 0x2000001; ^ >>27 = 0x2000001; times the multiplier, upper half.
    EXPECT_EQ(by_hand.next_u32(), static_cast<uint32_t>((uint64_t{0x2000001} * 2685821657736338717u) >> 32));
}

TEST(RandomStream, SeedsAndRange)
{
    RandomStream zero(0);
    RandomStream one(1);
    EXPECT_EQ(zero.next_u32(), one.next_u32()) << "0 would stand still";
    RandomStream random(99);
    double sum = 0;
    for (int i = 0; i < 20'000; ++i) {
        const float value = random.next_f32();
        ASSERT_GE(value, 0.0f);
        ASSERT_LT(value, 1.0f);
        sum += static_cast<double>(value);
    }
    EXPECT_NEAR(sum / 20'000, 0.5, 0.01);
    random.reseed(5);
    RandomStream fresh(5);
    EXPECT_EQ(random.next_u32(), fresh.next_u32());
}

TEST(Loop, ClosesOne)
{
    const auto repeated = [](std::vector<Token> block, size_t times) {
        std::vector<Token> all;
        for (size_t i = 0; i < times; ++i) {
            all.insert(all.end(), block.begin(), block.end());
        }
        const Token last = all.back();
        all.pop_back();
        return std::pair(all, last);
    };
    for (const size_t period : {1u, 2u, 3u, 4u, 5u, 12u, 63u, 64u, 65u}) {
        std::vector<Token> block;
        for (Token i = 0; i < period; ++i) {
            block.push_back(10 + i);
        }
        for (size_t times = 1; times <= 14; ++times) {
            auto [said, next] = repeated(block, times);
            const bool wanted = period <= 64 && times >= 3 && times * period >= 12;
            EXPECT_EQ(closes_a_loop(said, next), wanted) << period << " x " << times;
            said.insert(said.begin(), {1, 2, 3, 4, 5});
            EXPECT_EQ(closes_a_loop(said, next), wanted) << "whatever came before";
            EXPECT_FALSE(closes_a_loop(said, 9999));
        }
    }
    EXPECT_FALSE(closes_a_loop({}, 1));
}

} // namespace
} // namespace llmk
