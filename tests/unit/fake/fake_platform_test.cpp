// SPDX-License-Identifier: MIT
//
// What the other tests lean on.
#include "fake/fake_platform.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

namespace llmk {
namespace {

TEST(FakeScreen, WrapsScrollsAndMoves)
{
    FakeScreen screen(4, 2);
    screen.write("abcd");
    EXPECT_EQ(screen.cursor_row(), 1u) << "firmware consoles wrap at once";
    screen.write("e\nf");
    EXPECT_EQ(screen.text(), "e\nf\n");
    EXPECT_EQ(screen.scrolled, 1u);
    screen.move(-9, -9);
    screen.write("X");
    screen.move(9, 9);
    EXPECT_EQ(screen.cursor_column(), 3u);
    EXPECT_EQ(screen.cursor_row(), 1u);
    EXPECT_EQ(screen.text(), "X\nf\n");
    EXPECT_EQ(screen.last_column_writes, 1u);
}

TEST(FakeScreen, PendingWrap)
{
    FakeScreen screen(4, 2);
    screen.wrap = WrapMode::pending;
    screen.write("abcd");
    EXPECT_EQ(screen.cursor_row(), 0u);
    screen.write("é");
    EXPECT_EQ(screen.text(), "abcd\né\n");
}

TEST(FakePlatform, FilesByAnySpelling)
{
    FakePlatform platform;
    platform.add_file("Models/A.bin", "0123456789");
    auto file = platform.file_open("\\models\\a.BIN", OpenMode::read);
    ASSERT_TRUE(file.ok());
    char buffer[8];
    EXPECT_EQ(platform.file_size(file.value()).take(), 10u);
    EXPECT_EQ(platform.file_read_at(file.value(), 8, buffer, 8).take(), 2u);
    EXPECT_EQ(platform.file_read_at(file.value(), 99, buffer, 8).take(), 0u);
    platform.short_read_in = 2;
    EXPECT_EQ(platform.file_read_at(file.value(), 0, buffer, 8).take(), 8u);
    EXPECT_EQ(platform.file_read_at(file.value(), 0, buffer, 8).take(), 4u);
    platform.file_close(file.value());
    EXPECT_EQ(platform.file_open("models", OpenMode::read).error().status, Status::invalid_argument);
    EXPECT_EQ(platform.file_open("b.bin", OpenMode::read).error().status, Status::not_found);
}

TEST(FakePlatform, WritingIsRefusedWhereItMustBe)
{
    FakePlatform platform;
    const size_t second = platform.add_volume();
    ASSERT_TRUE(platform.volume_use(second).ok());
    EXPECT_EQ(platform.file_open("x", OpenMode::append).error().status, Status::read_only);
    platform.add_file("llmk.cfg", "", second);
    auto file = platform.file_open("x", OpenMode::append);
    ASSERT_TRUE(file.ok());
    platform.volume(second).free_bytes = 3;
    EXPECT_TRUE(platform.file_write(file.value(), "abc", 3).ok());
    EXPECT_FALSE(platform.file_write(file.value(), "d", 1).ok());
    EXPECT_EQ(*platform.content("X", second), "abc");
    platform.file_close(file.value());
}

TEST(FakePlatform, PagesComeFromExtentsAndGoBack)
{
    FakePlatform platform;
    platform.extents = {8192, 1 << 20};
    auto small = platform.pages_alloc(5000);
    ASSERT_TRUE(small.ok());
    uint64_t sizes[4];
    ASSERT_EQ(platform.memory_extents(sizes), 1u) << "the small extent is used up";
    EXPECT_EQ(sizes[0], uint64_t{1} << 20);
    EXPECT_EQ(platform.pages_alloc((1 << 20) + 1).error().status, Status::out_of_memory);
    platform.pages_free(small.value(), 5000);
    EXPECT_EQ(platform.memory_extents(sizes), 2u);
    platform.fail_alloc_in = 2;
    auto first = platform.pages_alloc(1);
    EXPECT_TRUE(first.ok());
    EXPECT_FALSE(platform.pages_alloc(1).ok());
    platform.pages_free(first.value(), 1);
}

TEST(FakePlatform, TellsOfLeaks)
{
    EXPECT_NONFATAL_FAILURE(
        {
            FakePlatform platform;
            EXPECT_TRUE(platform.pages_alloc(4096).ok());
        },
        "not freed");
    EXPECT_NONFATAL_FAILURE(
        {
            FakePlatform platform;
            auto pages = platform.pages_alloc(4096);
            platform.pages_free(pages.value(), 8192);
        },
        "another size");
}

TEST(FakePlatform, KeysComeWhenTheirTimeHasCome)
{
    FakePlatform platform;
    platform.type_at(5, "a");
    Key key;
    EXPECT_FALSE(platform.key_poll(key));
    platform.idle(5);
    EXPECT_TRUE(platform.key_poll(key));
    platform.type("\x03\x7f\t\r\x1b"
                  "é");
    const KeyCode codes[] = {KeyCode::character, KeyCode::backspace, KeyCode::tab,
                             KeyCode::enter,     KeyCode::escape,    KeyCode::character};
    for (const KeyCode code : codes) {
        ASSERT_TRUE(platform.key_poll(key));
        EXPECT_EQ(key.code, code);
    }
    EXPECT_EQ(key.character, U'é');
}

TEST(FakePlatform, ParallelInEitherOrder)
{
    FakePlatform platform;
    for (const bool reversed : {false, true}) {
        platform.parallel_reversed = reversed;
        std::string order;
        platform.parallel(
            [](void* context, size_t part) { *static_cast<std::string*>(context) += std::to_string(part); }, &order, 4);
        EXPECT_EQ(order, reversed ? "3210" : "0123");
    }
}

} // namespace
} // namespace llmk
