// SPDX-License-Identifier: MIT
#include "terminal.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace llmk::efisim {
namespace {

constexpr TerminalSize kDefaultSize = {100, 31}; // of OVMF's serial console, which the tests know
constexpr uint64_t kEscapeNs = 50'000'000;       // the bytes of an arrow key come together
constexpr unsigned char kPrefix = 0x01;          // Ctrl-A, as in QEMU

termios g_before = {};
bool g_changed = false;

struct Sequence {
    std::string_view bytes; // behind the Esc
    uint16_t scan_code;
};

constexpr Sequence kSequences[] = {
    {"[A", SCAN_UP},      {"[B", SCAN_DOWN},     {"[C", SCAN_RIGHT},      {"[D", SCAN_LEFT},  {"[H", SCAN_HOME},
    {"[F", SCAN_END},     {"OA", SCAN_UP},       {"OB", SCAN_DOWN},       {"OC", SCAN_RIGHT}, {"OD", SCAN_LEFT},
    {"OH", SCAN_HOME},    {"OF", SCAN_END},      {"[1~", SCAN_HOME},      {"[4~", SCAN_END},  {"[2~", SCAN_INSERT},
    {"[3~", SCAN_DELETE}, {"[5~", SCAN_PAGE_UP}, {"[6~", SCAN_PAGE_DOWN},
};

size_t utf8_length(unsigned char first) { return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

} // namespace

void Terminal::open()
{
    m_is_terminal = isatty(STDIN_FILENO) != 0;
    if (m_is_terminal && tcgetattr(STDIN_FILENO, &g_before) == 0) {
        termios raw = g_before;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        g_changed = true;
    }
}

void Terminal::restore()
{
    if (g_changed) {
        g_changed = false;
        constexpr std::string_view kPlain = "\x1b[0m\x1b[?25h\r\n";
        write(kPlain);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &g_before);
    }
}

TerminalSize Terminal::size()
{
    winsize window = {};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) {
        return kDefaultSize;
    }
    return {window.ws_col, window.ws_row};
}

void Terminal::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            return; // whoever read it has gone
        }
        bytes.remove_prefix(written > 0 ? static_cast<size_t>(written) : 0);
    }
}

void Terminal::fill()
{
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    while (!m_ended && poll(&input, 1, 0) > 0) {
        char buffer[4096];
        const ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));
        m_ended = got <= 0;
        for (ssize_t i = 0; i < got; ++i) {
            take(static_cast<unsigned char>(buffer[i]));
        }
    }
    while (parse()) {
    }
}

void Terminal::take(unsigned char byte)
{
    if (m_prefixed) {
        m_prefixed = false;
        if (byte == 'x' || byte == 'X') {
            leave(kExitLeft);
        }
        if (byte != kPrefix) {
            return;
        }
    } else if (m_is_terminal && byte == kPrefix) {
        m_prefixed = true;
        return;
    }
    m_bytes.push_back(static_cast<char>(byte));
}

/// The next key out of the bytes; false when they are not, or not yet, one.
bool Terminal::parse()
{
    if (m_bytes.empty()) {
        return false;
    }
    const auto first = static_cast<unsigned char>(m_bytes[0]);
    if (first == 0x1b) {
        return parse_escape();
    }
    const size_t length = utf8_length(first);
    if (m_bytes.size() < length) {
        return false;
    }
    uint32_t value = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; ++i) {
        value = value << 6 | (static_cast<unsigned char>(m_bytes[i]) & 0x3fu);
    }
    m_bytes.erase(0, length);
    if (value < 0x10000) { // keyboards of firmware know no others
        m_keys.push_back({0, value == 0x7f ? u'\b' : static_cast<char16_t>(value)});
    }
    return true;
}

bool Terminal::parse_escape()
{
    const std::string_view rest = std::string_view(m_bytes).substr(1);
    bool begins = rest.empty();
    for (const Sequence& sequence : kSequences) {
        if (rest.starts_with(sequence.bytes)) {
            m_keys.push_back({sequence.scan_code, 0});
            m_bytes.erase(0, 1 + sequence.bytes.size());
            m_escape_since = 0;
            return true;
        }
        begins = begins || sequence.bytes.starts_with(rest);
    }
    if (m_escape_since == 0) {
        m_escape_since = now_ns();
    }
    if (begins && !m_ended && now_ns() - m_escape_since < kEscapeNs) {
        return false;
    }
    m_keys.push_back({SCAN_ESC, 0});
    m_bytes.erase(0, 1);
    m_escape_since = 0;
    return true;
}

bool Terminal::has_key()
{
    if (m_keys.empty()) {
        fill();
    }
    return !m_keys.empty();
}

bool Terminal::read_key(TerminalKey& key)
{
    if (!has_key()) {
        return false;
    }
    key = m_keys.front();
    m_keys.pop_front();
    return true;
}

void Terminal::wait(uint64_t ns)
{
    if (m_escape_since != 0) {
        ns = std::min(ns, kEscapeNs / 5);
    }
    if (m_ended) {
        sleep_ns(ns);
        return;
    }
    pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    const timespec time = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    ppoll(&input, 1, &time, nullptr);
}

} // namespace llmk::efisim
