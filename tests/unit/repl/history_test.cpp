// SPDX-License-Identifier: MIT
#include "repl/history.h"

#include <gtest/gtest.h>

#include <array>

namespace llmk {
namespace {

TEST(History, NewestFirst)
{
    std::array<char, 64> storage;
    History history(storage);
    EXPECT_EQ(history.count(), 0u);
    history.add("one");
    history.add("two");
    history.add("three\nlines\nlong");
    ASSERT_EQ(history.count(), 3u);
    EXPECT_EQ(history.entry(1), "three\nlines\nlong");
    EXPECT_EQ(history.entry(2), "two");
    EXPECT_EQ(history.entry(3), "one");
}

TEST(History, SkipsEmptyBlankAndRepeated)
{
    std::array<char, 64> storage;
    History history(storage);
    history.add("");
    history.add("  \n ");
    EXPECT_EQ(history.count(), 0u);
    history.add("a");
    history.add("a");
    EXPECT_EQ(history.count(), 1u);
    history.add("b");
    history.add("a");
    EXPECT_EQ(history.count(), 3u);
}

TEST(History, OldestGoWhenFull)
{
    std::array<char, 12> storage; // "aaa" and its zero byte: three fit
    History history(storage);
    for (const char* entry : {"aaa", "bbb", "ccc", "ddd"}) {
        history.add(entry);
    }
    ASSERT_EQ(history.count(), 3u);
    EXPECT_EQ(history.entry(1), "ddd");
    EXPECT_EQ(history.entry(3), "bbb");
    history.add("0123456789");
    ASSERT_EQ(history.count(), 1u);
    EXPECT_EQ(history.entry(1), "0123456789");
    history.add("01234567890"); // exactly full with its zero byte
    EXPECT_EQ(history.entry(1), "01234567890");
    history.add("012345678901");
    EXPECT_EQ(history.entry(1), "01234567890") << "larger than the storage: not kept, nothing lost for it";
}

} // namespace
} // namespace llmk
