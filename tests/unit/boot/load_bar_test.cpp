// SPDX-License-Identifier: MIT
#include "boot/load_bar.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

constexpr uint64_t kTotal = 100'000'000;

struct Desk {
    explicit Desk(size_t columns = 80, std::string_view name = "model.bin")
        : platform(columns, 25), keys(platform), bar(platform, keys, name)
    {
    }
    bool progress(uint64_t done)
    {
        const auto observer = bar.observer();
        return observer.progress(observer.context, done, kTotal);
    }

    FakePlatform platform;
    KeyQueue keys;
    LoadBar bar;
};

TEST(LoadBar, ShowsHowMuchHowFastHowLong)
{
    Desk desk;
    desk.platform.now += 1'000'000'000;
    EXPECT_TRUE(desk.progress(kTotal / 2));
    const std::string row = desk.platform.screen.row(0);
    EXPECT_EQ(row.find("model.bin [##########..........] 47.7 MiB of 95.4 MiB, 50.0 MB/s, 1 s left"), 0u) << row;
    desk.platform.now += 1'000'000'000;
    EXPECT_TRUE(desk.progress(kTotal));
    desk.bar.finish(true);
    const std::string last = desk.platform.screen.row(0);
    EXPECT_EQ(last, "model.bin [####################] 95.4 MiB of 95.4 MiB, 50.0 MB/s") << "nothing of the longer line";
    EXPECT_EQ(desk.platform.screen.cursor_row(), 1u);
    EXPECT_EQ(desk.platform.screen.cursor_column(), 0u);
}

TEST(LoadBar, IsDrawnTenTimesASecondAtMost)
{
    Desk desk;
    desk.platform.tick_step = 0;
    desk.platform.now = 1;
    size_t drawn = 0;
    for (uint64_t i = 1; i <= 1000; ++i) {
        desk.platform.now += 1'000'000;
        const size_t before = desk.platform.screen.bytes_written;
        EXPECT_TRUE(desk.progress(kTotal * i / 1000));
        drawn += desk.platform.screen.bytes_written > before ? 1 : 0;
    }
    EXPECT_LE(drawn, 11u);
    EXPECT_GE(drawn, 9u);
}

/// Of a load that is over within a tenth of a second only the end is shown.
TEST(LoadBar, IsNotDrawnForAMoment)
{
    Desk desk;
    desk.platform.tick_step = 0;
    for (uint64_t i = 1; i <= 99; ++i) {
        desk.platform.now += 1'000'000;
        EXPECT_TRUE(desk.progress(kTotal * i / 100));
    }
    EXPECT_EQ(desk.platform.screen.bytes_written, 0u);
    desk.bar.finish(true);
    EXPECT_NE(desk.platform.screen.row(0).find("[####################]"), std::string::npos);
}

/// A console that takes its time gets a fiftieth of it.
TEST(LoadBar, IsDrawnSeldomWhereThatIsSlow)
{
    Desk desk;
    constexpr uint64_t kLook = 2'500'000; // each look at the clock; the bar looks twice for a drawing
    desk.platform.tick_step = kLook;
    size_t drawn = 0;
    const uint64_t begin = desk.platform.now;
    while (desk.platform.now < begin + 10'000'000'000) {
        const size_t before = desk.platform.screen.bytes_written;
        EXPECT_TRUE(desk.progress(1));
        drawn += desk.platform.screen.bytes_written > before ? 1 : 0;
    }
    EXPECT_LE(drawn, 10'000'000'000 / (2 * kLook * 50) + 1);
    EXPECT_GE(drawn, 30u);
}

TEST(LoadBar, EscCancels)
{
    Desk desk;
    EXPECT_TRUE(desk.progress(1));
    desk.platform.type("x");
    EXPECT_TRUE(desk.progress(2)) << "other keys wait for their turn";
    desk.platform.type("\x1b");
    EXPECT_FALSE(desk.progress(3));
    desk.platform.ctrl('c');
    EXPECT_FALSE(desk.progress(4));
    desk.bar.finish(false);
    EXPECT_EQ(desk.keys.wait().character, U'x');
}

TEST(LoadBar, FitsNarrowScreensAndLongNames)
{
    for (const size_t columns : {20u, 40u, 60u, 80u, 200u}) {
        for (const char* name :
             {"m.bin", "a-very-long-name-of-a-model-that-nobody-would-type.bin", "größe-größe-größe-größe-größe.bin"}) {
            Desk desk(columns, name);
            for (const uint64_t done : {uint64_t{1}, kTotal / 3, kTotal}) {
                desk.platform.now += 400'000'000;
                EXPECT_TRUE(desk.progress(done));
            }
            desk.bar.finish(true);
            EXPECT_EQ(desk.platform.screen.last_column_writes, 0u) << columns << name;
            EXPECT_EQ(desk.platform.screen.invalid_bytes, 0u) << columns << name;
            EXPECT_EQ(desk.platform.screen.cursor_row(), 1u) << columns << name;
        }
    }
}

TEST(LoadBar, NothingToReadIsDone)
{
    Desk desk;
    const auto observer = desk.bar.observer();
    EXPECT_TRUE(observer.progress(observer.context, 0, 0));
    desk.bar.finish(true);
    EXPECT_NE(desk.platform.screen.row(0).find("[####################]"), std::string::npos);
}

} // namespace
} // namespace llmk
