// SPDX-License-Identifier: MIT
//
// The terminal that this process runs in, as a screen and a keyboard: raw while the program runs, restored on every way
// out. Where there is no terminal (a pipe, a test), it is one of 100 columns and 31 rows.
#pragma once

#include "efisim.h"

#include <deque>
#include <string_view>

namespace llmk::efisim {

struct TerminalSize {
    unsigned columns, rows;
};

/// What a key is to the firmware: a scan code or a character.
struct TerminalKey {
    uint16_t scan_code = 0;
    char16_t character = 0;
};

class Terminal {
public:
    void open();
    /// Gives it back as it was; safe in a signal handler, and more than once.
    void restore();

    static TerminalSize size();
    void write(std::string_view bytes);

    /// True when read_key() would return one.
    bool has_key();
    bool read_key(TerminalKey& key);
    /// Rests until bytes come or the time is over. A lone Esc is a key only after a moment.
    void wait(uint64_t ns);

private:
    void fill();
    void take(unsigned char byte);
    bool parse();
    bool parse_escape();

    std::string m_bytes; ///< come, and not yet keys
    std::deque<TerminalKey> m_keys;
    uint64_t m_escape_since = 0;
    bool m_ended = false;       ///< nothing can come any more
    bool m_is_terminal = false; ///< Ctrl-A X leaves
    bool m_prefixed = false;    ///< Ctrl-A was typed
};

} // namespace llmk::efisim
