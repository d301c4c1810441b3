// SPDX-License-Identifier: MIT
//
// The line editor held against a simple model: random keys, and after each the whole screen must look as if it had been
// drawn afresh. Wide and narrow, tall and tiny screens, both ways of wrapping.
#include "fake/fake_platform.h"
#include "repl/line_editor.h"
#include "repl/multiline.h"

#include <gtest/gtest.h>

#include <random>

namespace llmk {
namespace {

/// What the text should look like, computed the plain way.
struct Picture {
    std::vector<std::string> rows;
    size_t cursor_row = 0;
    size_t cursor_column = 0;
};

Picture picture(const std::string& text, size_t cursor, size_t width)
{
    Picture result;
    result.rows.push_back("> ");
    for (size_t i = 0; i <= text.size(); ++i) {
        const bool ordinary = i < text.size() && text[i] != '\n';
        if (ordinary && result.rows.back().size() == width) {
            result.rows.emplace_back();
        }
        if (i == cursor) {
            result.cursor_row = result.rows.size() - 1;
            result.cursor_column = result.rows.back().size();
        }
        if (ordinary) {
            result.rows.back() += text[i];
        } else if (i < text.size()) {
            result.rows.emplace_back("... ");
        }
    }
    for (auto& row : result.rows) {
        row.erase(row.find_last_not_of(' ') + 1);
    }
    return result;
}

/// Presses random keys and holds screen and text against the model after each.
void wander(size_t columns, size_t rows, unsigned seed)
{
    FakePlatform platform(columns, rows);
    KeyQueue keys(platform);
    std::vector<char> history_storage(1);
    History history(history_storage);
    std::vector<char> storage(2 * 16384);
    LineEditor editor(platform, keys, history, storage);
    auto& screen = platform.screen;
    screen.wrap = seed % 2 == 0 ? WrapMode::immediate : WrapMode::pending;
    std::mt19937 random(seed);
    std::string text = "\"\"\""; // a block, so that Enter makes lines
    size_t cursor = text.size();
    for (size_t i = 0; i < seed % rows; ++i) {
        platform.console_write("before\n");
    }
    platform.type(text);
    const auto line_start = [&] { return cursor == 0 ? 0 : text.rfind('\n', cursor - 1) + 1; };
    const auto line_end = [&] { return std::min(text.find('\n', cursor), text.size()); };
    size_t steps = 0;
    platform.on_idle = [&] {
        if (testing::Test::HasFatalFailure()) {
            platform.type("\x03\r");
            return;
        }
        const auto expected = picture(text, cursor, columns - 1);
        ASSERT_EQ(screen.cursor_column(), expected.cursor_column) << "step " << steps << " seed " << seed;
        for (size_t i = 0; i < screen.rows(); ++i) {
            const auto row = static_cast<long>(i + expected.cursor_row) - static_cast<long>(screen.cursor_row());
            if (row >= 0) {
                const auto wanted =
                    static_cast<size_t>(row) < expected.rows.size() ? expected.rows[static_cast<size_t>(row)] : "";
                ASSERT_EQ(screen.row(i), wanted) << "step " << steps << " seed " << seed << "\n" << screen.text();
            }
        }
        if (++steps == 400) {
            platform.press(KeyCode::down, 400);
            platform.press(KeyCode::end);
            platform.type("\"\"\"\r");
            return;
        }
        switch (random() % 12) {
        case 0:
            platform.press(KeyCode::left);
            cursor -= cursor > 0 ? 1 : 0;
            break;
        case 1:
            platform.press(KeyCode::right);
            cursor += cursor < text.size() ? 1 : 0;
            break;
        case 2:
            if (cursor > 3) { // the opening quotes stay
                platform.press(KeyCode::backspace);
                text.erase(--cursor, 1);
            }
            break;
        case 3:
            if (cursor >= 3) {
                platform.press(KeyCode::del);
                text.erase(cursor, cursor < text.size() ? 1 : 0);
            }
            break;
        case 4:
            platform.press(KeyCode::home);
            cursor = line_start();
            break;
        case 5:
            platform.press(KeyCode::end);
            cursor = line_end();
            break;
        case 6:
            if (cursor >= 3) {
                platform.press(KeyCode::enter);
                text.insert(cursor++, 1, '\n');
            }
            break;
        case 7:
            if (random() % 4 == 0 && line_start() >= 3) {
                platform.ctrl('k');
                text.erase(cursor, line_end() - cursor);
            }
            break;
        case 8:
            for (size_t i = random() % 30; i > 0 && cursor > 0; --i, --cursor) {
                platform.press(KeyCode::left);
            }
            break;
        default:
            if (cursor >= 3) {
                const std::string typed(1 + random() % 25, static_cast<char>('a' + random() % 26));
                platform.type(typed);
                text.insert(cursor, typed);
                cursor += typed.size();
            }
            break;
        }
    };
    ASSERT_EQ(editor.read_line("> "), LineEvent::line);
    text += "\"\"\"";
    text.resize(join_lines(text));
    EXPECT_EQ(editor.line(), text);
    EXPECT_EQ(screen.last_column_writes, 0u);
}

TEST(LineEditor, RandomEditingLooksLikeTheModel)
{
    for (unsigned seed = 0; seed < 40; ++seed) {
        wander(80, 25, seed);
        wander(40, 25, seed);
        wander(23, 7, seed);
        wander(12, 3, seed);
        if (testing::Test::HasFatalFailure()) {
            return;
        }
    }
}

} // namespace
} // namespace llmk
