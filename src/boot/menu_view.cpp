// SPDX-License-Identifier: MIT
#include "boot/menu_view.h"

#include "boot/demos.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr std::string_view kKeysFew = "Up/Down choose   Enter or 1-9 start   R look again   Esc leave";
constexpr std::string_view kKeysMany = "Up/Down choose   Enter start   number + Enter   R look again   Esc leave";

/// Bar, mark and number in front of each name: "> [+]  12 ".
constexpr size_t kFrontWidth = 10;
constexpr size_t kLeastNameWidth = 16;
constexpr size_t kRoomyRows = 20;

enum class Field : uint8_t { parameters, type, size, context, memory };

struct Column {
    Field field;
    std::string_view head;
    size_t width;      ///< without the blank before it
    size_t importance; ///< 1 is the last to go when the console is narrow
};

/// In the order they are drawn.
constexpr Column kColumns[] = {
    {Field::parameters, "Params", 7, 1}, {Field::type, "Type", 8, 4},        {Field::size, "Size", 9, 2},
    {Field::context, "Context", 7, 5},   {Field::memory, "Needs RAM", 9, 3},
};

/// One column a character.
size_t columns_of(std::string_view text)
{
    size_t count = 0;
    for (; !text.empty(); ++count) {
        text.remove_prefix(utf8_decode(text).length);
    }
    return count;
}

/// The bytes of the first `columns` characters.
std::string_view first_columns(std::string_view text, size_t columns)
{
    size_t bytes = 0;
    for (; columns > 0 && bytes < text.size(); --columns) {
        bytes += utf8_decode(tail(text, bytes)).length;
    }
    return head(text, bytes);
}

void put_blanks(TextWriter& out, size_t count)
{
    for (; count > 0; --count) {
        out.put(' ');
    }
}

void put_left(TextWriter& out, std::string_view text, size_t width)
{
    const auto shown = first_columns(text, width);
    out.put(shown);
    put_blanks(out, width - columns_of(shown));
}

void put_right(TextWriter& out, std::string_view text, size_t width)
{
    const auto shown = first_columns(text, width);
    put_blanks(out, width - columns_of(shown));
    out.put(shown);
}

/// A name that is too long loses its middle: the end says how the weights are stored ("...Q4_K_M.gguf").
void put_name(TextWriter& out, std::string_view name, size_t width)
{
    constexpr std::string_view kGap = "..";
    const size_t columns = columns_of(name);
    if (columns <= width) {
        put_left(out, name, width);
        return;
    }
    const size_t end = (width - kGap.size()) / 2;
    out.put(first_columns(name, width - kGap.size() - end));
    out.put(kGap);
    out.put(tail(name, first_columns(name, columns - end).size()));
}

/// Takes the words that fit in `width` off the front of `rest`.
std::string_view take_line(std::string_view& rest, size_t width)
{
    rest = trim(rest);
    auto line = first_columns(rest, width);
    if (line.size() < rest.size() && rest[line.size()] != ' ') {
        const auto blank = line.rfind(' ');
        line = blank == std::string_view::npos || blank == 0 ? line : head(line, blank);
    }
    rest = tail(rest, line.size());
    return trim(line);
}

void put_field(TextWriter& out, const MenuEntry& entry, const Column& column)
{
    Text<24> value("-");
    switch (column.field) {
    case Field::parameters:
        value = entry.parameters == 0 ? value : human_count(entry.parameters);
        break;
    case Field::type:
        value = entry.type.view().empty() ? value.view() : entry.type.view();
        break;
    case Field::size:
        value = entry.size_bytes == 0 ? value : human_bytes(entry.size_bytes);
        break;
    case Field::context:
        value = entry.context == 0 ? value : Text<24>("{}", entry.context);
        break;
    case Field::memory:
        value = entry.memory_bytes == 0 ? value : human_bytes(entry.memory_bytes);
        break;
    }
    out.put(' ');
    put_right(out, value.view(), column.width);
}

} // namespace

MenuView::MenuView(Platform& platform, std::span<const MenuEntry> entries, const MenuOptions& options)
    : m_platform(platform), m_entries(entries), m_options(options)
{
}

void MenuView::draw(size_t selected)
{
    const auto console = m_platform.console_size();
    m_width = std::clamp(console.columns, kFrontWidth + kLeastNameWidth + 1, kMaxWidth + 1) - 1;
    m_rows = console.rows;
    size_t used = kFrontWidth + kLeastNameWidth;
    m_columns_shown = 0;
    for (size_t importance = 1; importance <= std::size(kColumns); ++importance) {
        const auto* column = std::find_if(std::begin(kColumns), std::end(kColumns),
                                          [&](const Column& c) { return c.importance == importance; });
        if (used + column->width + 1 > m_width) {
            break;
        }
        used += column->width + 1;
        m_columns_shown = importance;
    }
    m_name_width = kLeastNameWidth + m_width - used;

    m_platform.console_style(Style::normal);
    m_platform.console_clear();
    m_cursor_row = 0;
    m_cursor_column = 0;
    m_fresh = true;
    m_selected = selected;
    m_has_status = false;
    put_row(0, Style::bold, m_options.title);
    m_heads_row = 1;
    for (auto rest = m_options.note; !trim(rest).empty() && m_heads_row <= kDetailRows; ++m_heads_row) {
        put_row(m_heads_row, Style::warning, take_line(rest, m_width));
    }
    m_heads_row += console.rows >= kRoomyRows ? 1 : 0; // an empty row
    // Heads, rule, details, keys, status.
    const size_t around = m_heads_row + 1 + 1 + kDetailRows + 1 + 1;
    m_page = console.rows > around ? console.rows - around : 1;
    m_page = std::clamp<size_t>(m_entries.size(), 1, m_page);
    m_first = scrolled_to(selected);
    if (m_entries.empty()) {
        put_empty_help();
    } else {
        put_heads();
        put_list();
        Row rule;
        for (size_t i = 0; i < m_width; ++i) {
            rule.put("\u2500");
        }
        put_row(m_heads_row + m_page + 1, Style::dim, rule.view());
        put_details();
        put_row(m_heads_row + m_page + 2 + kDetailRows, Style::dim, m_entries.size() > 9 ? kKeysMany : kKeysFew);
    }
    m_fresh = false;
}

void MenuView::select(size_t selected)
{
    const size_t before = m_selected;
    m_selected = selected;
    const size_t first = scrolled_to(selected);
    if (first != m_first) {
        m_first = first;
        put_heads();
        put_list();
    } else if (selected != before) {
        put_entry(before);
        put_entry(selected);
    }
    if (selected != before) {
        put_details();
    }
}

void MenuView::status(Style style, std::string_view text)
{
    if (!text.empty() || m_has_status) {
        const size_t rows = m_entries.empty() ? 8 : m_page + 3 + kDetailRows;
        put_row(m_heads_row + rows, style, text);
    }
    m_has_status = !text.empty();
}

void MenuView::close()
{
    m_platform.console_style(Style::normal);
    m_platform.console_clear();
}

void MenuView::go_to(size_t row)
{
    const int columns = -static_cast<int>(m_cursor_column);
    const int rows = static_cast<int>(row) - static_cast<int>(m_cursor_row);
    if (columns == 0 && rows == 0) {
        return;
    }
    if (rows == 1) {
        m_platform.console_write("\n"); // shorter than a cursor sequence; does not scroll, rows end at m_rows
    } else {
        m_platform.console_move(columns, rows);
    }
    m_cursor_row = row;
    m_cursor_column = 0;
}

void MenuView::put_row(size_t row, Style style, std::string_view text)
{
    if (row >= m_rows) { // a console too small for all of it loses the bottom
        return;
    }
    Row line;
    const auto shown = first_columns(text, m_width);
    line.put(shown);
    const bool bar = style == Style::selected; // coloured to the edge
    if (bar || !m_fresh) {
        put_blanks(line, m_width - columns_of(shown));
    }
    go_to(row);
    m_platform.console_style(style);
    m_platform.console_write(line.view());
    m_platform.console_style(Style::normal);
    m_cursor_column = columns_of(line.view());
}

void MenuView::put_heads()
{
    Row line;
    put_left(line, "", kFrontWidth);
    Text<64> name("Name");
    if (m_entries.size() > m_page) {
        format(name, " ({}-{} of {})", m_first + 1, m_first + m_page, m_entries.size());
    }
    put_left(line, name.view(), m_name_width);
    for (const auto& column : kColumns) {
        if (column.importance <= m_columns_shown) {
            line.put(' ');
            put_right(line, column.head, column.width);
        }
    }
    put_row(m_heads_row, Style::dim, line.view());
}

void MenuView::put_entry(size_t index)
{
    const auto& entry = m_entries[index];
    const bool selected = index == m_selected;
    Row line;
    format(line, "{} {} {:3} ", selected ? ">" : " ", entry.loadable ? "[+]" : "[!]", index + 1);
    put_name(line, entry.name.view(), m_name_width);
    for (const auto& column : kColumns) {
        if (column.importance <= m_columns_shown) {
            put_field(line, entry, column);
        }
    }
    const Style style = selected ? Style::selected : (entry.loadable ? Style::normal : Style::dim);
    put_row(m_heads_row + 1 + index - m_first, style, line.view());
}

void MenuView::put_list()
{
    for (size_t i = m_first; i < std::min(m_first + m_page, m_entries.size()); ++i) {
        put_entry(i);
    }
}

/// The path, then two facts lines or the reason, over as many rows as it takes.
void MenuView::put_details()
{
    const auto& entry = m_entries[m_selected];
    size_t row = m_heads_row + m_page + 2;
    const size_t end = row + kDetailRows;
    put_row(row++, Style::normal, entry.path.view());
    if (entry.loadable) {
        Row facts(entry.architecture.view());
        if (entry.file_count > 1) {
            format(facts, ", {} files", entry.file_count);
        }
        if (entry.parameters != 0) {
            format(facts, ", {} parameters", human_count(entry.parameters));
        }
        if (entry.context != 0) {
            format(facts, ", context {}", entry.context);
        }
        if (entry.memory_bytes != 0) {
            format(facts, ", needs {} of memory", human_bytes(entry.memory_bytes));
        }
        put_row(row++, Style::normal, facts.view());
        const auto prompts = demo_prompts(entry.kind.view());
        if (!prompts.empty()) {
            put_row(row++, Style::dim, Row("try: {}", prompts[0]).view());
        }
    } else {
        Text<512> sentence("Cannot be loaded: {}", entry.reason);
        for (auto rest = sentence.view(); !trim(rest).empty() && row < end;) {
            put_row(row++, Style::warning, take_line(rest, m_width));
        }
    }
    while (row < end && !m_fresh) {
        put_row(row++, Style::normal, "");
    }
}

void MenuView::put_empty_help()
{
    constexpr std::string_view kLines[] = {
        "No model was found.",
        "",
        "Looked for *.gguf and *.bin in \\ and \\models\\ of each FAT volume.",
        "Copy a model file there (for llama2.c's .bin, its tokenizer.bin too).",
        "Sticks over 32 GB come as exFAT, which firmware cannot read: use FAT32.",
        "",
        "R look again   Esc leave",
    };
    size_t row = m_heads_row;
    for (const auto line : kLines) {
        put_row(row++, Style::normal, line);
    }
}

/// The first entry to show so that `selected` is in view: as it is, or half a page on, so that walking through a long
/// list redraws it seldom.
size_t MenuView::scrolled_to(size_t selected) const
{
    if (selected >= m_first && selected < m_first + m_page) {
        return m_first;
    }
    const size_t last_first = m_entries.size() > m_page ? m_entries.size() - m_page : 0;
    const size_t half = m_page / 2;
    return std::min(selected > half ? selected - half : 0, last_first);
}

} // namespace llmk
