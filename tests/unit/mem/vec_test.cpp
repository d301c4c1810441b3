// SPDX-License-Identifier: MIT
#include "mem/vec.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

TEST(Vec, Grows)
{
    FakePlatform platform;
    Vec<uint64_t> table(platform);
    EXPECT_TRUE(table.empty());
    EXPECT_EQ(platform.pages_in_use(), 0u) << "nothing is taken before it is needed";
    for (uint64_t i = 0; i < 5000; ++i) {
        ASSERT_TRUE(table.push(i * i).ok());
    }
    ASSERT_EQ(table.size(), 5000u);
    for (uint64_t i = 0; i < 5000; ++i) {
        ASSERT_EQ(table[i], i * i);
    }
    EXPECT_EQ(table.end() - table.begin(), 5000);
    EXPECT_EQ(table.span().size(), 5000u);
    table.clear();
    EXPECT_TRUE(table.empty());
}

TEST(Vec, ResizeGivesZeros)
{
    FakePlatform platform; // fills its pages with 0xA5
    Vec<uint32_t> table(platform);
    ASSERT_TRUE(table.push(7).ok());
    ASSERT_TRUE(table.resize(3000).ok());
    EXPECT_EQ(table[0], 7u);
    for (size_t i = 1; i < table.size(); ++i) {
        ASSERT_EQ(table[i], 0u);
    }
    ASSERT_TRUE(table.resize(2).ok());
    EXPECT_EQ(table.size(), 2u);
    ASSERT_TRUE(table.resize(0).ok());
}

TEST(Vec, FailedGrowthKeepsWhatIsThere)
{
    FakePlatform platform;
    Vec<uint8_t> table(platform);
    platform.fail_alloc_in = 1;
    EXPECT_FALSE(table.push(1).ok());
    EXPECT_TRUE(table.empty());
    size_t pushed = 0;
    while (pushed < 4096) {
        ASSERT_TRUE(table.push(static_cast<uint8_t>(pushed++)).ok());
    }
    platform.fail_alloc_in = 1;
    const auto result = table.push(9);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::out_of_memory);
    ASSERT_EQ(table.size(), 4096u);
    for (size_t i = 0; i < table.size(); ++i) {
        ASSERT_EQ(table[i], static_cast<uint8_t>(i));
    }
    EXPECT_TRUE(table.push(9).ok());
}

TEST(Vec, RefusesWhatDoesNotFitIn64Bits)
{
    FakePlatform platform;
    Vec<uint64_t> table(platform);
    for (const uint64_t count : {UINT64_MAX, uint64_t{1} << 61, (uint64_t{1} << 61) - 1}) {
        const auto result = table.reserve(count);
        ASSERT_FALSE(result.ok()) << count;
        EXPECT_EQ(result.error().status, Status::out_of_memory);
    }
}

TEST(Vec, Moves)
{
    FakePlatform platform;
    Vec<int> first(platform);
    ASSERT_TRUE(first.push(1).ok());
    Vec<int> second(std::move(first));
    EXPECT_EQ(second.size(), 1u);
    // What was moved from is empty and can be used. NOLINTNEXTLINE(bugprone-use-after-move)
    EXPECT_TRUE(first.empty());
    ASSERT_TRUE(first.push(5).ok());
    Vec<int> third(platform);
    ASSERT_TRUE(third.push(2).ok());
    third = std::move(second);
    EXPECT_EQ(third[0], 1);
    third.reset();
    EXPECT_EQ(third.size(), 0u);
} // the platform's destructor fails the test if pages are left

} // namespace
} // namespace llmk
