// SPDX-License-Identifier: MIT
#include "fake/fake_platform.h"
#include "repl/line_editor.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

/// An editor on a fake screen. Enter is typed by `read` unless the keys already end the input.
struct Desk {
    explicit Desk(size_t columns = 80, size_t rows = 25, size_t capacity = 8192)
        : platform(columns, rows), keys(platform), history_storage(4096), history(history_storage),
          storage(2 * capacity), editor(platform, keys, history, storage)
    {
    }
    LineEvent event() { return editor.read_line("> "); }
    std::string read(std::string_view typed = "")
    {
        platform.type(typed);
        EXPECT_EQ(event(), LineEvent::line);
        EXPECT_EQ(platform.screen.last_column_writes, 0u);
        EXPECT_EQ(platform.screen.invalid_bytes, 0u);
        return std::string(editor.line());
    }

    FakePlatform platform;
    KeyQueue keys;
    std::vector<char> history_storage;
    History history;
    std::vector<char> storage;
    LineEditor editor;
};

std::string digits(size_t count)
{
    std::string text;
    for (size_t i = 0; i < count; ++i) {
        text += static_cast<char>('0' + i % 10);
    }
    return text;
}

TEST(LineEditor, PlainLine)
{
    Desk desk;
    EXPECT_EQ(desk.read("hello\r"), "hello");
    EXPECT_EQ(desk.platform.screen.text(), "> hello\n");
    EXPECT_EQ(desk.platform.screen.cursor_row(), 1u);
    EXPECT_EQ(desk.platform.screen.cursor_column(), 0u);
    EXPECT_EQ(desk.platform.screen.style_at(0, 0), Style::accent);
    EXPECT_EQ(desk.platform.screen.style_at(2, 0), Style::normal);
}

TEST(LineEditor, MovesAndEdits)
{
    Desk desk;
    desk.platform.type("world");
    desk.platform.press(KeyCode::home);
    desk.platform.type("hello  ");
    desk.platform.press(KeyCode::left);
    desk.platform.press(KeyCode::del);
    desk.platform.press(KeyCode::end);
    desk.platform.type("!?");
    desk.platform.press(KeyCode::backspace);
    EXPECT_EQ(desk.read("\r"), "hello world!");
    EXPECT_EQ(desk.platform.screen.row(0), "> hello world!");
}

TEST(LineEditor, ControlLetters)
{
    Desk desk;
    EXPECT_EQ(desk.read("one two\x01"
                        "X\x05"
                        "Y\r"),
              "Xone twoY");
    EXPECT_EQ(desk.read("one two three\x17\x17"
                        "2\r"),
              "one 2");
    EXPECT_EQ(desk.read("one\x02\x02\x0b"
                        "2\r"),
              "o2")
        << "Ctrl-B, Ctrl-K";
    EXPECT_EQ(desk.read("one\x02\x15"
                        "2\r"),
              "2e")
        << "Ctrl-U";
    EXPECT_EQ(desk.read("abc\x01\x04\x06"
                        "x\x08\r"),
              "bc")
        << "Ctrl-D, Ctrl-F, Ctrl-H";
    EXPECT_EQ(desk.platform.screen.row(4), "> bc");
}

TEST(LineEditor, WordsByCtrlAndAlt)
{
    Desk desk;
    desk.platform.type("one two  three");
    desk.platform.ctrl(KeyCode::left);
    desk.platform.ctrl(KeyCode::left);
    desk.platform.type("X");
    desk.platform.press({.code = KeyCode::right, .alt = true});
    desk.platform.type("Y");
    desk.platform.ctrl(KeyCode::del);
    desk.platform.press({.code = KeyCode::backspace, .alt = true});
    EXPECT_EQ(desk.read("\r"), "one ");
}

TEST(LineEditor, InsertInTheMiddleOfThreeRows)
{
    for (const size_t columns : {size_t{40}, size_t{80}}) {
        for (const WrapMode wrap : {WrapMode::immediate, WrapMode::pending}) {
            Desk desk(columns);
            desk.platform.screen.wrap = wrap;
            const std::string text = digits(2 * columns + 10);
            desk.platform.type(text);
            desk.platform.press(KeyCode::left, columns + 20);
            desk.platform.type("<--->");
            std::string expected = text;
            expected.insert(text.size() - columns - 20, "<--->");
            EXPECT_EQ(desk.read("\r"), expected);
            const std::string shown = "> " + expected;
            for (size_t row = 0; row < 3; ++row) {
                EXPECT_EQ(desk.platform.screen.row(row), shown.substr(row * (columns - 1), columns - 1));
            }
            EXPECT_EQ(desk.platform.screen.cursor_row(), 3u);
        }
    }
}

TEST(LineEditor, BackspaceAcrossTheWrap)
{
    Desk desk(40);
    desk.platform.type(digits(40));
    desk.platform.press(KeyCode::backspace, 6);
    EXPECT_EQ(desk.read("\r"), digits(34));
    EXPECT_EQ(desk.platform.screen.text(), "> " + digits(34) + "\n");
    EXPECT_EQ(desk.platform.screen.cursor_row(), 1u) << "the emptied row is not left behind";
}

TEST(LineEditor, ScrollsAtTheBottomRow)
{
    Desk desk(40, 5);
    desk.platform.console_write("a\nb\nc\nd\n");
    desk.platform.type(digits(90));
    desk.platform.press(KeyCode::home);
    desk.platform.type("X");
    desk.platform.press(KeyCode::end);
    EXPECT_EQ(desk.read("\r"), "X" + digits(90));
    const std::string shown = "> X" + digits(90);
    EXPECT_EQ(desk.platform.screen.text(),
              "d\n" + shown.substr(0, 39) + "\n" + shown.substr(39, 39) + "\n" + shown.substr(78) + "\n");
}

TEST(LineEditor, TallerThanTheScreen)
{
    Desk desk(20, 4);
    const std::string text = digits(19 * 8);
    desk.platform.type(text);
    desk.platform.press(KeyCode::home);
    bool looked = false;
    desk.platform.on_idle = [&] {
        if (!looked) {
            looked = true;
            EXPECT_EQ(desk.platform.screen.row(0), "> " + text.substr(0, 17)) << "the start came back into view";
            EXPECT_EQ(desk.platform.screen.cursor_row(), 0u);
            EXPECT_EQ(desk.platform.screen.cursor_column(), 2u);
            desk.platform.type("X\r");
        }
    };
    EXPECT_EQ(desk.read(), "X" + text);
    EXPECT_EQ(desk.platform.screen.row(2), ("> X" + text).substr(19 * 8)) << "and Enter shows its end";
}

TEST(LineEditor, LongPasteFillsTheStorageAndSaysSo)
{
    Desk desk(80, 25, 1000);
    EXPECT_EQ(desk.read(digits(1000) + "\r"), digits(1000));
    EXPECT_FALSE(desk.editor.truncated());
    EXPECT_EQ(desk.read(digits(999) + "\xc3\xa9"
                                      "\r"),
              digits(999))
        << "no half characters";
    EXPECT_TRUE(desk.editor.truncated());
    EXPECT_EQ(desk.read("x\r"), "x");
    EXPECT_FALSE(desk.editor.truncated());
    EXPECT_EQ(desk.read(digits(999) + "\\\r"), digits(999) + "\\") << "no room for another line: sent as it is";
}

TEST(LineEditor, Utf8IsEditedByCharacters)
{
    Desk desk;
    desk.platform.type("größe \xf0\x9f\x98\x80");
    desk.platform.press(KeyCode::left, 3);
    desk.platform.press(KeyCode::backspace);
    desk.platform.type("ss");
    desk.platform.press(KeyCode::left, 3);
    desk.platform.press(KeyCode::del);
    desk.platform.type("oe");
    EXPECT_EQ(desk.read("\r"), "groesse \xf0\x9f\x98\x80");
    EXPECT_EQ(desk.platform.screen.row(0), "> groesse \xf0\x9f\x98\x80");
}

TEST(LineEditor, IgnoresWhatIsNoText)
{
    Desk desk;
    desk.platform.type("a\x1b"
                       "b");
    desk.platform.press({.character = 0xD800});
    desk.platform.press({.character = 0x110000});
    desk.platform.press({.character = 0x85});
    desk.platform.press(KeyCode::page_up);
    desk.platform.press({.character = '@', .alt = true}); // AltGr
    desk.platform.ctrl('z');
    EXPECT_EQ(desk.read("\r"), "ab@");
}

TEST(LineEditor, AppendingCostsTheCharacterOnly)
{
    Desk desk;
    auto& screen = desk.platform.screen;
    desk.platform.on_idle = [&, step = 0]() mutable {
        if (step > 0) {
            EXPECT_EQ(screen.bytes_written, 1u);
            EXPECT_EQ(screen.moves, 0u);
        }
        screen.bytes_written = 0;
        screen.moves = 0;
        desk.platform.type(++step < 70 ? "x" : "\r"); // one row
    };
    EXPECT_EQ(desk.read().size(), 69u);
}

TEST(LineEditor, History)
{
    Desk desk;
    desk.read("first\r");
    desk.read("second\r");
    desk.read("second\r");
    desk.read("  \r");
    desk.platform.type("draft");
    desk.platform.press(KeyCode::up, 2);
    EXPECT_EQ(desk.read("\r"), "first");
    desk.platform.type("draft");
    desk.platform.press(KeyCode::up, 9);
    desk.platform.press(KeyCode::down, 9);
    EXPECT_EQ(desk.read("\r"), "draft") << "the line being typed is kept";
    EXPECT_EQ(desk.platform.screen.row(5), "> draft");
    EXPECT_EQ(desk.read("\x10\x10\x0e\r"), "draft") << "Ctrl-P, Ctrl-N";
}

TEST(LineEditor, CtrlCAndCtrlD)
{
    Desk desk;
    EXPECT_EQ(desk.read("dropped\x03"
                        "kept\r"),
              "kept");
    EXPECT_EQ(desk.platform.screen.row(0), "> kept");
    desk.platform.ctrl('c');
    EXPECT_EQ(desk.event(), LineEvent::interrupt);
    desk.platform.ctrl('d');
    EXPECT_EQ(desk.event(), LineEvent::end);
    EXPECT_EQ(desk.platform.screen.cursor_row(), 3u);
}

TEST(LineEditor, SeveralLinesByBackslash)
{
    Desk desk;
    EXPECT_EQ(desk.read("one\\\rtwo\r"), "one\ntwo");
    EXPECT_EQ(desk.platform.screen.text(), "> one\\\n... two\n");
    EXPECT_EQ(desk.platform.screen.style_at(0, 1), Style::dim);
}

TEST(LineEditor, SeveralLinesByQuotesAndEditingThem)
{
    Desk desk;
    desk.platform.type("\"\"\"\rfirst\rsecond line\r");
    desk.platform.press(KeyCode::up, 2);
    desk.platform.type("X\x05Y");
    desk.platform.press(KeyCode::down, 2);
    EXPECT_EQ(desk.read("\"\"\"\r"), "XfirstY\nsecond line");
    EXPECT_EQ(desk.platform.screen.text(), "> \"\"\"\n... XfirstY\n... second line\n... \"\"\"\n");
    desk.platform.press(KeyCode::up);
    EXPECT_EQ(desk.read("\r"), "XfirstY\nsecond line") << "recalled as a whole, with its marks";
}

TEST(LineEditor, ClearScreenKeepsTheInput)
{
    Desk desk;
    desk.platform.console_write("old\n");
    EXPECT_EQ(desk.read("abc\x0c"
                        "d\r"),
              "abcd");
    EXPECT_EQ(desk.platform.screen.text(), "> abcd\n");
}

size_t complete_names(void*, std::string_view before, CompletionSink& sink)
{
    for (const std::string_view name : {"/model ", "/models ", "/max_tokens ", "/help "}) {
        if (name.size() > before.size() && equal_ignore_case(name.substr(0, before.size()), before)) {
            sink.add(name);
        }
    }
    return 0;
}

TEST(LineEditor, Completion)
{
    Desk desk;
    EXPECT_EQ(desk.read("/h\tx\r"), "/h"
                                    "x")
        << "no completer: Tab does nothing";
    desk.editor.set_completer(complete_names, nullptr);
    EXPECT_EQ(desk.read("/h\tx\r"), "/help x");
    EXPECT_EQ(desk.read("/HE\tx\r"), "/help x") << "the candidate's own letter case";
    EXPECT_EQ(desk.read("/mo\ts\t2\r"), "/models 2");
    EXPECT_EQ(desk.read("zz\t\t\r"), "zz");
    EXPECT_EQ(desk.read("/M\t\r"), "/m") << "what all of them start with";
    desk.platform.console_clear();
    EXPECT_EQ(desk.read("/m\t\t\r"), "/m");
    EXPECT_EQ(desk.platform.screen.text(), "> /m\n/model       /models      /max_tokens\n> /m\n");
}

TEST(LineEditor, CompletionListWrapsIntoRows)
{
    Desk desk(30);
    desk.editor.set_completer(complete_names, nullptr);
    EXPECT_EQ(desk.read("/\t\t\r"), "/");
    EXPECT_EQ(desk.platform.screen.text(), "> /\n/model       /models\n/max_tokens  /help\n> /\n");
}

} // namespace
} // namespace llmk
