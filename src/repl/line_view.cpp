// SPDX-License-Identifier: MIT
#include "repl/line_view.h"

#include "base/text.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr std::string_view kContinuation = "... ";
/// Narrower consoles are drawn as if they were this wide: garbled, but nothing breaks.
constexpr int kLeastWidth = 8;

/// The bytes of the character at `index`, which is in range; a stray byte counts as a character.
size_t character_bytes(std::string_view text, size_t index)
{
    size_t end = index + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
        ++end;
    }
    return end - index;
}

} // namespace

void LineView::begin(std::string_view prompt)
{
    const auto size = m_platform.console_size();
    m_width = std::max(static_cast<int>(std::min(size.columns, size_t{10000})) - 1, kLeastWidth);
    m_height = std::max(static_cast<int>(std::min(size.rows, size_t{10000})), 1);
    m_prompt = prompt;
    m_at = {};
    m_old_end = {};
    m_top = 0;
    m_lowest = 0;
    draw_prompt();
}

void LineView::before_change(std::string_view text, size_t from)
{
    m_old_end = position(text, text.size());
    if (m_old_end.row > m_lowest) {
        m_old_end = {m_lowest, m_width};
    }
    const auto start = position(head(text, from), from);
    if (tail(text, from).find('\n') == std::string_view::npos || start.row < m_top || start.row > m_lowest) {
        return;
    }
    // Rows that end early leave no rule for what the new text has to cover: blank them now.
    move_to(start);
    auto at = start;
    for (size_t i = from; i < text.size(); i += character_bytes(text, i)) {
        if (text[i] == '\n' || at.column == m_width) {
            blank_until(at.column);
            if (at.row == m_lowest) {
                break;
            }
            new_row();
            at = {at.row + 1, text[i] == '\n' ? static_cast<int>(kContinuation.size()) : 0};
        }
        at.column += text[i] == '\n' ? 0 : 1;
    }
    blank_until(at.column);
    flush();
    m_old_end = start;
}

void LineView::changed(std::string_view text, size_t from, size_t cursor)
{
    // Behind the character before, not where the next one goes: the row of that may not exist yet.
    const auto start = position(head(text, from), from);
    const auto target = position(text, cursor);
    if (start.row < m_top || start.row > m_lowest || target.row < m_top) {
        repaint(text, cursor);
        return;
    }
    move_to(start);
    // Further down than this, drawing would scroll the cursor's row off the top.
    if (draw(tail(text, from), target.row + m_height - 1)) {
        while (m_at.row < m_old_end.row) {
            blank_until(m_width);
            new_row();
        }
        blank_old_row_end();
        flush();
    }
    m_old_end = {};
    move_to(target);
}

void LineView::moved(std::string_view text, size_t cursor)
{
    const auto target = position(text, cursor);
    if (target.row < m_top || target.row > m_lowest) {
        repaint(text, cursor);
    } else {
        move_to(target);
    }
}

void LineView::repaint(std::string_view text, size_t cursor)
{
    const auto target = position(text, cursor);
    const int last = position(text, text.size()).row;
    // The whole if it fits, else the cursor's row in the middle, but no empty rows at the end.
    m_top = std::clamp(target.row - m_height / 2, 0, std::max(last - m_height + 1, 0));
    m_lowest = m_top;
    m_old_end = {};
    m_platform.console_clear();
    m_at = {};
    draw_prompt();
    draw(text, m_top + m_height - 1);
    move_to(target);
}

void LineView::finish(std::string_view text)
{
    moved(text, text.size());
    m_platform.console_write("\n");
}

LineView::Position LineView::position(std::string_view text, size_t index) const
{
    Position at;
    const auto step = [&](char c) {
        if (c == '\n') {
            at = {at.row + 1, static_cast<int>(kContinuation.size())};
        } else if (at.column == m_width) {
            at = {at.row + 1, 1};
        } else {
            ++at.column;
        }
    };
    for (size_t i = 0; i < m_prompt.size(); i += character_bytes(m_prompt, i)) {
        step(m_prompt[i]);
    }
    for (size_t i = 0; i < index; i += character_bytes(text, i)) {
        step(text[i]);
    }
    // Where the character at `index` stands; at an end, right behind the one before.
    if (at.column == m_width && index < text.size() && text[index] != '\n') {
        at = {at.row + 1, 0};
    }
    return at;
}

void LineView::move_to(Position to)
{
    if (to.row != m_at.row || to.column != m_at.column) {
        m_platform.console_move(to.column - m_at.column, to.row - m_at.row);
        m_at = to;
    }
}

void LineView::draw_prompt()
{
    m_platform.console_style(Style::accent);
    draw(m_prompt, m_top + m_height - 1);
    m_platform.console_style(Style::normal);
}

bool LineView::draw(std::string_view text, int last_row)
{
    for (size_t i = 0; i < text.size(); i += character_bytes(text, i)) {
        const bool line_end = text[i] == '\n';
        if (line_end || m_at.column == m_width) {
            if (m_at.row == last_row) {
                flush();
                return false;
            }
            if (line_end) {
                blank_old_row_end();
            }
            new_row();
        }
        if (line_end) {
            flush();
            m_platform.console_style(Style::dim);
            put(kContinuation);
            flush();
            m_platform.console_style(Style::normal);
            m_at.column = static_cast<int>(kContinuation.size());
        } else {
            put(std::string_view(text.data() + i, character_bytes(text, i)));
            ++m_at.column;
        }
    }
    flush();
    return true;
}

/// Rows above m_top are walked over when a part of a tall input is drawn, but not shown.
void LineView::put(std::string_view bytes)
{
    if (m_at.row < m_top) {
        return;
    }
    if (m_out_size + bytes.size() > sizeof(m_out)) {
        flush();
    }
    if (bytes.size() <= sizeof(m_out)) {
        __builtin_memcpy(m_out + m_out_size, bytes.data(), bytes.size());
        m_out_size += bytes.size();
    }
}

void LineView::flush()
{
    if (m_out_size > 0) {
        m_platform.console_write({m_out, m_out_size});
        m_out_size = 0;
    }
}

void LineView::new_row()
{
    put("\n"); // nothing while above m_top: the row m_top is where the cursor already is
    m_at = {m_at.row + 1, 0};
    m_lowest = std::max(m_lowest, m_at.row);
    m_top = std::max(m_top, m_lowest - m_height + 1);
}

void LineView::blank_until(int column)
{
    for (; m_at.column < column; ++m_at.column) {
        put(" ");
    }
}

/// Blanks what the old text left of this row.
void LineView::blank_old_row_end()
{
    if (m_at.row < m_old_end.row) {
        blank_until(m_width);
    } else if (m_at.row == m_old_end.row) {
        blank_until(m_old_end.column);
    }
}

} // namespace llmk
