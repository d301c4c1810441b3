// SPDX-License-Identifier: MIT
//
// A POSIX terminal as the console: raw keys with their escape sequences decoded, ANSI styles. When input or output is
// no terminal, input is read as typed lines and output carries no escape sequences.
#pragma once

#include "llmk/platform.h"
#include "tokenizer/utf8.h"

#include <termios.h>

namespace llmk {

class HostConsole {
public:
    HostConsole();
    ~HostConsole() { restore(); }
    HostConsole(const HostConsole&) = delete;
    HostConsole& operator=(const HostConsole&) = delete;

    void write(std::string_view utf8);
    ConsoleSize size();
    void style(Style style);
    void move(int columns, int rows);
    void clear();
    bool poll(Key& key);
    void idle(uint32_t milliseconds);
    /// Puts the terminal back as it was found.
    void restore();

private:
    void enter_raw_mode();
    /// Waits at most so long for input and reads what is there.
    void fill(int milliseconds);
    bool decode(Key& key);
    bool decode_escape(Key& key);
    void consume(size_t count);

    bool m_input_is_terminal;
    bool m_output_is_terminal;
    bool m_raw = false;
    bool m_end = false;
    /// From a pipe, one line is handed out and the next only after idle(): an answer that looks for an interrupt must
    /// not swallow the lines that are meant for later prompts.
    bool m_line_given = false;
    termios m_before = {};
    char m_input[256];
    size_t m_input_size = 0;
};

} // namespace llmk
