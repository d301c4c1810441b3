// SPDX-License-Identifier: MIT
//
// A console whose cells can be read: wraps, scrolls and moves its cursor as real ones do, and counts what it was sent.
#pragma once

#include "llmk/platform.h"

#include <string>
#include <vector>

namespace llmk {

/// When a character in the last column takes the cursor to the next line. Code under test should look the same on both.
enum class WrapMode : uint8_t {
    immediate, ///< firmware consoles: at once
    pending,   ///< VT100: only when the next character comes
};

/// A console's cells, cursor and everything that was ever written to it.
class FakeScreen {
public:
    FakeScreen(size_t columns, size_t rows);

    void write(std::string_view utf8);
    void move(int columns, int rows);
    void clear();

    /// One row as UTF-8, blanks at its end removed.
    std::string row(size_t index) const;
    /// All rows, each ended by '\n', empty rows at the end left out.
    std::string text() const;
    Style style_at(size_t column, size_t row) const { return m_cells[row * m_columns + column].style; }

    size_t columns() const { return m_columns; }
    size_t rows() const { return m_rows; }
    size_t cursor_column() const { return m_column; }
    size_t cursor_row() const { return m_row; }

    WrapMode wrap = WrapMode::immediate;
    Style style = Style::normal;
    std::string transcript;        ///< every byte written, moves and styles left out
    size_t bytes_written = 0;      ///< may be set to 0 by a test to measure one step
    size_t moves = 0;              ///< likewise
    size_t clears = 0;             ///< likewise
    size_t last_column_writes = 0; ///< characters put in the last column
    size_t scrolled = 0;           ///< rows that left at the top
    size_t invalid_bytes = 0;      ///< bytes that were not UTF-8

private:
    struct Cell {
        char32_t character = ' ';
        Style style = Style::normal;
    };
    void put(char32_t character);
    void new_line();

    size_t m_columns;
    size_t m_rows;
    size_t m_column = 0;
    size_t m_row = 0;
    bool m_wrap_pending = false;
    std::vector<Cell> m_cells;
};

} // namespace llmk
