// SPDX-License-Identifier: MIT
#include "fake/fake_screen.h"

#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

FakeScreen::FakeScreen(size_t columns, size_t rows) : m_columns(columns), m_rows(rows), m_cells(columns * rows) {}

void FakeScreen::new_line()
{
    m_column = 0;
    m_wrap_pending = false;
    if (m_row + 1 < m_rows) {
        ++m_row;
        return;
    }
    ++scrolled;
    std::copy(m_cells.begin() + static_cast<ptrdiff_t>(m_columns), m_cells.end(), m_cells.begin());
    std::fill(m_cells.end() - static_cast<ptrdiff_t>(m_columns), m_cells.end(), Cell());
}

void FakeScreen::put(char32_t character)
{
    if (m_wrap_pending) {
        new_line();
    }
    m_cells[m_row * m_columns + m_column] = {character, style};
    if (m_column + 1 < m_columns) {
        ++m_column;
        return;
    }
    ++last_column_writes;
    if (wrap == WrapMode::immediate) {
        new_line();
    } else {
        m_wrap_pending = true;
    }
}

void FakeScreen::write(std::string_view utf8)
{
    transcript += utf8;
    bytes_written += utf8.size();
    while (!utf8.empty()) {
        const auto [c, length, valid] = utf8_decode(utf8);
        utf8.remove_prefix(length);
        invalid_bytes += valid ? 0 : 1;
        if (c == '\n') {
            new_line();
        } else if (c == '\r') {
            m_column = 0;
        } else {
            put(c);
        }
    }
}

void FakeScreen::move(int columns, int rows)
{
    ++moves;
    const auto clamp = [](size_t at, int by, size_t limit) {
        const auto target = static_cast<long>(at) + by;
        return static_cast<size_t>(std::clamp(target, 0L, static_cast<long>(limit) - 1));
    };
    m_column = clamp(m_column, columns, m_columns);
    m_row = clamp(m_row, rows, m_rows);
    m_wrap_pending = false;
}

void FakeScreen::clear()
{
    ++clears;
    std::fill(m_cells.begin(), m_cells.end(), Cell());
    m_column = 0;
    m_row = 0;
    m_wrap_pending = false;
}

std::string FakeScreen::row(size_t index) const
{
    std::string result;
    for (size_t column = 0; column < m_columns; ++column) {
        Text<4> character;
        utf8_encode(character, m_cells[index * m_columns + column].character);
        result += character.view();
    }
    result.erase(result.find_last_not_of(' ') + 1);
    return result;
}

std::string FakeScreen::text() const
{
    std::string result;
    for (size_t i = 0; i < m_rows; ++i) {
        result += row(i) + '\n';
    }
    result.erase(result.find_last_not_of('\n') + 1);
    return result.empty() ? result : result + '\n';
}

} // namespace llmk
