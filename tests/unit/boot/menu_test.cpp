// SPDX-License-Identifier: MIT
#include "boot/menu.h"
#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

MenuEntry good(std::string_view name, uint64_t parameters = 15'200'000)
{
    MenuEntry entry;
    entry.name = name;
    format(entry.path, "models/{}", name);
    entry.loadable = true;
    entry.type = "f32";
    entry.parameters = parameters;
    entry.size_bytes = parameters * 4;
    entry.context = 256;
    entry.memory_bytes = parameters * 5;
    entry.architecture = "llama";
    entry.kind = "story";
    return entry;
}

MenuEntry bad(std::string_view name, std::string_view reason)
{
    MenuEntry entry;
    entry.name = name;
    entry.path = name;
    entry.reason = reason;
    entry.size_bytes = 4096;
    return entry;
}

struct Desk {
    explicit Desk(std::vector<MenuEntry> list, size_t columns = 80, size_t rows = 25)
        : platform(columns, rows), keys(platform), entries(std::move(list))
    {
        options.title = "LLM Bare-Metal";
        options.start_only_one = false;
    }
    MenuChoice run(std::string_view typed = "")
    {
        platform.type(typed);
        const auto choice = run_menu(platform, keys, entries, options);
        EXPECT_EQ(platform.screen.last_column_writes, 0u);
        EXPECT_EQ(platform.screen.scrolled, 0u);
        EXPECT_EQ(platform.screen.invalid_bytes, 0u);
        EXPECT_EQ(platform.screen.text(), "") << "the screen is left empty";
        return choice;
    }
    /// The screen as it is when the keys have been handled; then the menu is left.
    std::string screen_after(std::string_view typed)
    {
        platform.type(typed);
        std::string seen;
        platform.on_idle = [&] {
            if (seen.empty()) {
                seen = platform.screen.text();
                platform.type("q");
            }
        };
        EXPECT_EQ(run().action, MenuAction::leave);
        platform.on_idle = nullptr;
        return seen;
    }

    FakePlatform platform;
    KeyQueue keys;
    std::vector<MenuEntry> entries;
    MenuOptions options;
};

std::vector<MenuEntry> many(size_t count)
{
    std::vector<MenuEntry> list;
    for (size_t i = 1; i <= count; ++i) {
        list.push_back(good("model" + std::to_string(i) + ".bin"));
    }
    return list;
}

bool starts(const MenuChoice& choice, size_t index)
{
    return choice.action == MenuAction::start && choice.index == index;
}

std::string rule(size_t width)
{
    std::string result;
    for (size_t i = 0; i < width; ++i) {
        result += "─";
    }
    return result;
}

TEST(Menu, LooksRightIn80Columns)
{
    Desk desk({bad("broken.bin", "the file ends inside the header"), good("stories15M.bin"),
               good("a-model-with-a-very-long-name-indeed.Q4_K_M.gguf", 1'100'000'000)});
    EXPECT_EQ(desk.screen_after(""),
              "LLM Bare-Metal\n\n"
              "          Name                      Params     Type      Size Context Needs RAM\n"
              "  [!]   1 broken.bin                     -        -   4.0 KiB       -         -\n"
              "> [+]   2 stories15M.bin             15.2M      f32  58.0 MiB     256  72.5 MiB\n"
              "  [+]   3 a-model-wit..Q4_K_M.gguf    1.1B      f32   4.1 GiB     256   5.1 GiB\n" +
                  rule(79) +
                  "\n"
                  "models/stories15M.bin\n"
                  "llama, 15.2M parameters, context 256, needs 72.5 MiB of memory\n"
                  "try: Once upon a time, there was a little robot who\n"
                  "\n"
                  "Up/Down choose   Enter or 1-9 start   R look again   Esc leave\n");
}

TEST(Menu, NarrowConsoleKeepsWhatMatters)
{
    Desk desk({good("stories15M.bin"), good("b.bin")}, 40, 15);
    const auto screen = desk.screen_after("");
    EXPECT_NE(screen.find("          Name                   Params\n"), std::string::npos) << screen;
    EXPECT_NE(screen.find("> [+]   1 stories15M.bin          15.2M\n"), std::string::npos) << screen;
}

TEST(Menu, TinyConsoleBreaksNothing)
{
    for (size_t rows = 1; rows < 12; ++rows) {
        Desk desk(many(30), 10, rows);
        desk.platform.screen.wrap = WrapMode::pending;
        desk.platform.type("\x1b");
        EXPECT_EQ(run_menu(desk.platform, desk.keys, desk.entries, desk.options).action, MenuAction::leave);
    }
}

TEST(Menu, ArrowsAndEnter)
{
    Desk desk(many(3));
    desk.platform.press(KeyCode::down, 5);
    desk.platform.press(KeyCode::up);
    EXPECT_TRUE(starts(desk.run("\r"), 1));
    desk.platform.press(KeyCode::end);
    EXPECT_TRUE(starts(desk.run("\r"), 2));
    desk.platform.press(KeyCode::end);
    desk.platform.press(KeyCode::home);
    EXPECT_TRUE(starts(desk.run("\r"), 0));
}

TEST(Menu, OneDigitStartsAtOnce)
{
    Desk desk(many(9));
    EXPECT_TRUE(starts(desk.run("7"), 6));
    EXPECT_TRUE(starts(desk.run("07"), 6)) << "0 is nothing";
    EXPECT_EQ(desk.platform.keys_left(), 0u);
}

TEST(Menu, NumbersWhenThereAreMoreThanNine)
{
    Desk desk(many(12));
    EXPECT_TRUE(starts(desk.run("12\r"), 11));
    EXPECT_TRUE(starts(desk.run("1\r"), 0));
    EXPECT_TRUE(starts(desk.run("12\b\r"), 0));
    EXPECT_TRUE(starts(desk.run("19\r"), 0)) << "19 is too many: the 9 is not taken";
    desk.platform.type("1");
    desk.platform.press(KeyCode::down);
    EXPECT_TRUE(starts(desk.run("2\r"), 1)) << "another key ends the number";
    EXPECT_NE(desk.screen_after("12").find("Number 12, then Enter."), std::string::npos);
}

TEST(Menu, RescanAndLeave)
{
    Desk desk(many(2));
    for (const char* key : {"r", "R"}) {
        EXPECT_EQ(desk.run(key).action, MenuAction::rescan);
    }
    for (const char* key : {"\x1b", "q", "Q", "\x03"}) {
        EXPECT_EQ(desk.run(key).action, MenuAction::leave);
    }
}

TEST(Menu, WhatCannotBeLoadedSaysWhyAndStays)
{
    const std::string reason = "models/x.gguf: general.architecture is \"mamba\", which this program does not know; "
                               "llama, gpt2 and qwen2 models work, so look for one of those";
    Desk desk({good("a.bin"), bad("x.gguf", reason)});
    for (const char* keys : {"2", "2\r\r"}) {
        const auto screen = desk.screen_after(keys);
        EXPECT_NE(screen.find("> [!]   2 x.gguf"), std::string::npos) << screen;
        EXPECT_NE(screen.find("Cannot be loaded: models/x.gguf: general.architecture is \"mamba\", which this\n"
                              "program does not know; llama, gpt2 and qwen2 models work, so look for one of\n"
                              "those\n"),
                  std::string::npos)
            << screen;
        EXPECT_NE(screen.find("This one cannot be started"), std::string::npos);
    }
    EXPECT_TRUE(starts(desk.run("21"), 0));
    const auto back = desk.screen_after("2"
                                        "\x10"); // and the reason goes when another is selected
    EXPECT_NE(back.find("mamba"), std::string::npos) << "Ctrl-P is no key here";
    desk.platform.type("2");
    desk.platform.press(KeyCode::up);
    EXPECT_EQ(desk.screen_after("").find("mamba"), std::string::npos);
}

TEST(Menu, OnlyOneStartsByItself)
{
    Desk desk({bad("x.gguf", "no"), good("a.bin"), bad("y.gguf", "no")});
    desk.options.start_only_one = true;
    EXPECT_TRUE(starts(desk.run(), 1));
    EXPECT_EQ(desk.platform.screen.bytes_written, 0u);
    desk.entries.push_back(good("b.bin"));
    EXPECT_TRUE(starts(desk.run("\r"), 1)) << "two: a person chooses, the first loadable is offered";
}

TEST(Menu, NoneLoadable)
{
    Desk desk({bad("x.gguf", "no"), bad("y.gguf", "no")});
    desk.options.start_only_one = true;
    desk.options.timeout_seconds = 1;
    EXPECT_EQ(desk.run("\r1"
                       "2\x1b")
                  .action,
              MenuAction::leave);
}

TEST(Menu, EmptyListSaysWhereToPutModels)
{
    Desk desk({});
    const auto screen = desk.screen_after("\r5\b");
    EXPECT_NE(screen.find("No model was found."), std::string::npos);
    EXPECT_NE(screen.find("*.gguf and *.bin in \\ and \\models\\"), std::string::npos);
    desk.platform.press(KeyCode::down);
    desk.platform.press(KeyCode::end);
    EXPECT_EQ(desk.run("r").action, MenuAction::rescan);
}

TEST(Menu, DefaultIsOffered)
{
    Desk desk(many(5));
    for (const char* name : {"model4.bin", "MODEL4.BIN", "model4", "models/model4.bin", "\\models\\Model4.bin"}) {
        desk.options.default_name = name;
        EXPECT_TRUE(starts(desk.run("\r"), 3)) << name;
    }
    desk.options.default_name = "away.bin";
    EXPECT_NE(desk.screen_after("").find("The default model \"away.bin\" is not here."), std::string::npos);
    EXPECT_TRUE(starts(desk.run("\r"), 0));
}

TEST(Menu, CountdownStarts)
{
    Desk desk(many(3));
    desk.options.timeout_seconds = 5;
    desk.options.default_name = "model2";
    EXPECT_TRUE(starts(desk.run(), 1));
    EXPECT_GE(desk.platform.now, 5'000'000'000u);
    EXPECT_LT(desk.platform.now, 5'200'000'000u);
    for (const char* line : {"Starts model2.bin in 5 s", "in 3 s", "in 1 s"}) {
        EXPECT_NE(desk.platform.screen.transcript.find(line), std::string::npos) << line;
    }
    EXPECT_EQ(desk.platform.screen.transcript.find("in 0 s"), std::string::npos);
    desk.options.default_name = "";
    EXPECT_TRUE(starts(desk.run(), 0)) << "without a default, the first";
}

TEST(Menu, NoTimeIsAtOnce)
{
    Desk desk(many(3));
    desk.options.timeout_seconds = 0;
    desk.options.default_name = "model3";
    EXPECT_TRUE(starts(desk.run(), 2));
    EXPECT_EQ(desk.platform.screen.bytes_written, 0u);
}

TEST(Menu, AnyKeyStopsTheCountdown)
{
    Desk desk(many(3));
    desk.options.timeout_seconds = 5;
    desk.platform.type_at(2000, " ");
    desk.platform.type_at(60'000, "3");
    EXPECT_TRUE(starts(desk.run(), 2));
    const uint64_t start = desk.platform.now / 1'000'000;
    desk.platform.type_at(start + 2000, "\x1b");
    desk.platform.type_at(start + 60'000, "3");
    EXPECT_TRUE(starts(desk.run(), 2)) << "Esc only stops it";
    desk.platform.type_at(start + 120'000, "2");
    EXPECT_TRUE(starts(desk.run(), 0));
    EXPECT_EQ(desk.keys.wait().character, U'2');
}

TEST(Menu, NoCountdownToWhatIsNotThereOrCannotBeLoaded)
{
    Desk desk({good("a.bin"), bad("x.gguf", "no")});
    desk.options.timeout_seconds = 1;
    for (const char* name : {"away", "x"}) {
        desk.options.default_name = name;
        desk.platform.type_at(desk.platform.now / 1'000'000 + 10'000, "q");
        EXPECT_EQ(desk.run().action, MenuAction::leave) << name;
    }
}

TEST(Menu, LongListsScroll)
{
    Desk desk(many(40));
    desk.platform.press(KeyCode::page_down);
    desk.platform.press(KeyCode::down, 3);
    const auto screen = desk.screen_after("");
    EXPECT_NE(screen.find("\n> [+]  19 model19.bin"), std::string::npos) << screen;
    EXPECT_NE(screen.find(" of 40)"), std::string::npos) << screen;
    EXPECT_NE(screen.find("number + Enter"), std::string::npos) << "nothing is pushed off: " << screen;
    desk.platform.press(KeyCode::end);
    desk.platform.press(KeyCode::page_up);
    EXPECT_TRUE(starts(desk.run("\r"), 24));
}

TEST(Menu, MovingRedrawsOnlyWhatChanged)
{
    Desk desk(many(10));
    size_t cost = 0;
    size_t clears = 0;
    int step = 0;
    desk.platform.on_idle = [&] {
        auto& screen = desk.platform.screen;
        if (++step == 1) {
            screen.bytes_written = 0;
            screen.clears = 0;
            desk.platform.press(KeyCode::down);
        } else if (step == 2) {
            cost = screen.bytes_written;
            clears = screen.clears;
            desk.platform.type("q");
        }
    };
    EXPECT_EQ(desk.run().action, MenuAction::leave);
    EXPECT_EQ(clears, 0u);
    EXPECT_LE(cost, 6u * 80u) << "two entries and four lines of facts";
}

TEST(Menu, NoteIsShownOverSeveralRows)
{
    Desk desk(many(2));
    desk.options.note = "big.gguf needs 3.9 GiB and there are 1.2 GiB; a model of up to 1.1 GiB would fit, or a "
                        "smaller context";
    const auto screen = desk.screen_after("");
    EXPECT_NE(
        screen.find("LLM Bare-Metal\nbig.gguf needs 3.9 GiB and there are 1.2 GiB; a model of up to 1.1 GiB would\n"
                    "fit, or a smaller context\n\n          Name"),
        std::string::npos)
        << screen;
}

TEST(Menu, NamesBeyondAscii)
{
    Desk desk({good("größe-größe-größe-größe-größe-größe.gguf"), good("b.bin")});
    const auto screen = desk.screen_after("");
    EXPECT_NE(screen.find("größe-größe..-größe.gguf"), std::string::npos) << screen;
}

} // namespace
} // namespace llmk
