// SPDX-License-Identifier: MIT
#include "platform/host/host_console.h"

#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace llmk {

namespace {

/// How long an Esc waits for the rest of a sequence before it counts as the key.
constexpr int kEscapeMs = 30;

struct Sequence {
    std::string_view bytes; ///< behind the ESC
    KeyCode code;
    bool ctrl;
};

constexpr Sequence kSequences[] = {
    {"[A", KeyCode::up, false},       {"[B", KeyCode::down, false},       {"[C", KeyCode::right, false},
    {"[D", KeyCode::left, false},     {"OA", KeyCode::up, false},         {"OB", KeyCode::down, false},
    {"OC", KeyCode::right, false},    {"OD", KeyCode::left, false},       {"[H", KeyCode::home, false},
    {"[F", KeyCode::end, false},      {"OH", KeyCode::home, false},       {"OF", KeyCode::end, false},
    {"[1~", KeyCode::home, false},    {"[4~", KeyCode::end, false},       {"[3~", KeyCode::del, false},
    {"[5~", KeyCode::page_up, false}, {"[6~", KeyCode::page_down, false}, {"[1;5C", KeyCode::right, true},
    {"[1;5D", KeyCode::left, true},
};

} // namespace

HostConsole::HostConsole()
    : m_input_is_terminal(isatty(STDIN_FILENO) == 1), m_output_is_terminal(isatty(STDOUT_FILENO) == 1)
{
}

void HostConsole::enter_raw_mode()
{
    if (m_raw || !m_input_is_terminal || tcgetattr(STDIN_FILENO, &m_before) != 0) {
        return;
    }
    termios raw = m_before;
    // Keys as they come, no echo; ISIG off so that Ctrl-C is a key and stops an answer, not the program.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    m_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void HostConsole::restore()
{
    if (m_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &m_before);
        m_raw = false;
    }
}

void HostConsole::write(std::string_view utf8)
{
    if (utf8.empty()) {
        return; // perhaps without an address, which fwrite may not be given
    }
    std::fwrite(utf8.data(), 1, utf8.size(), stdout);
    std::fflush(stdout);
}

ConsoleSize HostConsole::size()
{
    winsize window = {};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) {
        return {window.ws_col, window.ws_row};
    }
    return {80, 25};
}

void HostConsole::style(Style style)
{
    constexpr const char* kCodes[] = {"\x1b[0m",    "\x1b[0;2m",  "\x1b[0;1m",  "\x1b[0;36m",
                                      "\x1b[0;32m", "\x1b[0;33m", "\x1b[0;31m", "\x1b[0;7m"};
    if (m_output_is_terminal) {
        write(kCodes[static_cast<size_t>(style)]);
    }
}

void HostConsole::move(int columns, int rows)
{
    if (!m_output_is_terminal) {
        return;
    }
    Text<64> codes;
    if (columns != 0) {
        format(codes, "\x1b[{}{}", columns < 0 ? -columns : columns, columns < 0 ? 'D' : 'C');
    }
    if (rows != 0) {
        format(codes, "\x1b[{}{}", rows < 0 ? -rows : rows, rows < 0 ? 'A' : 'B');
    }
    write(codes);
}

void HostConsole::clear()
{
    if (m_output_is_terminal) {
        write("\x1b[2J\x1b[H");
    }
}

void HostConsole::fill(int milliseconds)
{
    enter_raw_mode();
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (m_end || m_input_size == sizeof m_input || ::poll(&input, 1, milliseconds) <= 0) {
        return;
    }
    const ssize_t got = read(STDIN_FILENO, m_input + m_input_size, sizeof m_input - m_input_size);
    if (got > 0) {
        m_input_size += static_cast<size_t>(got);
    } else if (got == 0) {
        m_end = true;
    }
}

void HostConsole::consume(size_t count)
{
    m_input_size -= count;
    std::memmove(m_input, m_input + count, m_input_size);
}

bool HostConsole::decode_escape(Key& key)
{
    if (m_input_size == 1) {
        fill(kEscapeMs);
    }
    const std::string_view rest(m_input + 1, m_input_size - 1);
    for (const Sequence& sequence : kSequences) {
        if (rest.starts_with(sequence.bytes)) {
            key = {.code = sequence.code, .ctrl = sequence.ctrl};
            consume(1 + sequence.bytes.size());
            return true;
        }
    }
    key = {.code = KeyCode::escape};
    consume(1);
    return true;
}

bool HostConsole::decode(Key& key)
{
    const auto first = static_cast<uint8_t>(m_input[0]);
    if (first == 0x1b && m_input_is_terminal) {
        return decode_escape(key);
    }
    if (first == '\r' || first == '\n') {
        key = {.code = KeyCode::enter};
        m_line_given = !m_input_is_terminal;
    } else if (first == 0x7f || first == 8) {
        key = {.code = KeyCode::backspace};
    } else if (first == '\t') {
        key = {.code = KeyCode::tab};
    } else if (first == 0x1b) {
        key = {.code = KeyCode::escape};
    } else if (first < 0x20) {
        key = {.character = static_cast<char32_t>(first == 0 ? ' ' : first - 1 + 'a'), .ctrl = true};
    } else {
        const Utf8Char character = utf8_decode({m_input, m_input_size});
        if (!character.valid && utf8_length(first) > m_input_size && !m_end) {
            return false; // the rest of it is on its way
        }
        key = {.character = character.value};
        consume(character.length);
        return true;
    }
    consume(1);
    return true;
}

bool HostConsole::poll(Key& key)
{
    if (m_line_given) {
        return false;
    }
    fill(0);
    if (m_input_size > 0) {
        return decode(key);
    }
    if (m_end) { // as if Ctrl-D were typed, once each time somebody waits
        key = {.character = 'd', .ctrl = true};
        m_line_given = true;
        return true;
    }
    return false;
}

void HostConsole::idle(uint32_t milliseconds)
{
    if (m_line_given) {
        m_line_given = false;
        return;
    }
    fill(static_cast<int>(milliseconds));
}

} // namespace llmk
