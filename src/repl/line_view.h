// SPDX-License-Identifier: MIT
//
// Shows a text while it is edited, on any console that can write and move its cursor by steps: a firmware screen or a
// serial terminal of unknown wits. Owns where each character stands; does not own the text (src/repl/line_editor.h).
//
// Every character is one column wide. The last column is never written: consoles disagree on what happens then. Lines
// are broken here, with '\n'. Where the input stands on the screen is not known, only where the cursor is within the
// input; an input taller than the screen shows a part of itself.
#pragma once

#include "llmk/platform.h"

namespace llmk {

class LineView {
public:
    explicit LineView(Platform& platform) : m_platform(platform) {}

    /// Draws the prompt (one line) where the cursor is, which must be the start of an empty line. Asks the console for
    /// its size. `prompt` must outlive the editing.
    void begin(std::string_view prompt);
    /// To be called before `text` changes from byte `from` on.
    void before_change(std::string_view text, size_t from);
    /// Draws `text` from byte `from` on and puts the cursor at byte `cursor`.
    void changed(std::string_view text, size_t from, size_t cursor);
    /// Only the cursor moved.
    void moved(std::string_view text, size_t cursor);
    /// Clears the screen and draws what fits of prompt and text.
    void repaint(std::string_view text, size_t cursor);
    /// Leaves the input: the cursor is at the start of the line beneath.
    void finish(std::string_view text);

    /// Columns that may be written.
    size_t width() const { return static_cast<size_t>(m_width); }

private:
    /// Counted from the prompt's start. A column equal to m_width is the place behind a full row.
    struct Position {
        int row = 0;
        int column = 0;
    };

    Position position(std::string_view text, size_t index) const;
    void move_to(Position to);
    void draw_prompt();
    /// From m_at on; false if the rest lies below `last_row` and was left out.
    bool draw(std::string_view text, int last_row);
    void put(std::string_view bytes);
    void flush();
    void new_row();
    void blank_until(int column);
    void blank_old_row_end();

    Platform& m_platform;
    std::string_view m_prompt;
    int m_width = 79;
    int m_height = 25;
    Position m_at;      ///< the console's cursor
    Position m_old_end; ///< what was drawn before a change ends here
    int m_top = 0;      ///< the first row that is still on the screen
    int m_lowest = 0;   ///< the lowest row that was ever reached

    // Characters are gathered so that the console is called once for a run of them.
    char m_out[256];
    size_t m_out_size = 0;
};

} // namespace llmk
