// SPDX-License-Identifier: MIT
//
// How the model menu looks. Owns the places on the screen; what the keys do is src/boot/menu.cpp.
//
//   title
//   note (if there is one)
//         No. Name              Params Type  Size  Context  Needs
//   > [+]   1 stories15M.bin     15.2M f32   ...
//   ------------------------------------------------
//   path and facts of the selected model, or why it cannot be loaded
//   keys
//   status
//
// Narrow consoles lose the columns that matter least; long lists scroll. The last column is never written, and after
// the first drawing only lines that change are sent.
#pragma once

#include "boot/menu.h"

namespace llmk {

class MenuView {
public:
    MenuView(Platform& platform, std::span<const MenuEntry> entries, const MenuOptions& options);

    /// Clears the screen and draws everything.
    void draw(size_t selected);
    /// Moves the bar; redraws the list only if it must scroll.
    void select(size_t selected);
    /// The bottom line; empty takes it away.
    void status(Style style, std::string_view text);
    /// Empties the screen.
    void close();
    /// Entries seen at once.
    size_t page() const { return m_page; }

private:
    static constexpr size_t kMaxWidth = 120;
    static constexpr size_t kDetailRows = 4;
    /// A row at its longest: each character of it may take 4 bytes.
    using Row = Text<kMaxWidth * 4 + 64>;

    void go_to(size_t row);
    void put_row(size_t row, Style style, std::string_view text);
    void put_heads();
    void put_entry(size_t index);
    void put_list();
    void put_details();
    void put_empty_help();
    size_t scrolled_to(size_t selected) const;

    Platform& m_platform;
    std::span<const MenuEntry> m_entries;
    const MenuOptions& m_options;
    size_t m_width = 79; ///< that may be written
    size_t m_rows = 25;  ///< of the console
    size_t m_name_width = 16;
    size_t m_columns_shown = 0;
    size_t m_heads_row = 0;
    size_t m_page = 1;  ///< rows of the list
    size_t m_first = 0; ///< the entry in its first row
    size_t m_selected = 0;
    size_t m_cursor_row = 0;
    size_t m_cursor_column = 0;
    bool m_fresh = false; ///< the screen was just cleared: no need to blank the rest of a row
    bool m_has_status = false;
};

} // namespace llmk
