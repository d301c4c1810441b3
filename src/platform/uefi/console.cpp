// SPDX-License-Identifier: MIT
#include "platform/uefi/console.h"

#include "platform/uefi/devices.h"

#include <algorithm>

namespace llmk::uefi {
namespace {

constexpr size_t kTabStop = 8;
constexpr ConsoleSize kDefaultSize = {80, 25}; // mode 0 of every console, UEFI specification 12.4

/// EDK2's terminal driver sends box drawing as code page 437 and of Latin-1 the bare low byte. One such terminal
/// among several consoles decides: all get the same text.
Glyphs glyphs_of_console(const Firmware& firmware)
{
    EFI_HANDLE serial = find_serial_terminal(firmware, kConsoleOutDevice, firmware.system->ConsoleOutHandle);
    return serial != nullptr ? Glyphs::ascii : Glyphs::screen;
}

} // namespace

Console::Console(const Firmware& firmware) : m_out(firmware.system->ConOut), m_glyphs(glyphs_of_console(firmware))
{
    if (m_out != nullptr) {
        style(Style::normal);
        m_out->EnableCursor(m_out, TRUE);
    }
}

void Console::write(std::string_view utf8)
{
    if (m_out == nullptr) {
        return;
    }
    while (!utf8.empty()) {
        // Each byte, and the up to three kept from before, may turn into a replacement character of three.
        constexpr size_t kPiece = 64;
        Text<3 * (kPiece + 3)> whole;
        m_stream.feed(head(utf8, kPiece), whole);
        utf8 = tail(utf8, kPiece);
        for (std::string_view rest = whole.view(); !rest.empty();) {
            const Utf8Char next = utf8_decode(rest);
            put(next.value);
            rest.remove_prefix(next.length);
        }
    }
    flush();
}

ConsoleSize Console::size()
{
    UINTN columns = 0;
    UINTN rows = 0;
    if (m_out == nullptr ||
        EFI_ERROR(m_out->QueryMode(m_out, static_cast<UINTN>(m_out->Mode->Mode), &columns, &rows)) || columns == 0 ||
        rows == 0) {
        return kDefaultSize;
    }
    return {columns, rows};
}

void Console::style(Style style)
{
    if (m_out == nullptr) {
        return;
    }
    UINTN attribute = EFI_LIGHTGRAY;
    switch (style) {
    case Style::normal:
    case Style::dim: // dark grey is next to invisible in EDK2's palette, and black on black on many terminals
        break;
    case Style::bold:
        attribute = EFI_WHITE;
        break;
    case Style::accent:
        attribute = EFI_LIGHTCYAN;
        break;
    case Style::good:
        attribute = EFI_LIGHTGREEN;
        break;
    case Style::warning:
        attribute = EFI_YELLOW;
        break;
    case Style::error:
        attribute = EFI_LIGHTRED;
        break;
    case Style::selected:
        attribute = EFI_TEXT_ATTR(EFI_BLACK, EFI_LIGHTGRAY);
        break;
    }
    m_out->SetAttribute(m_out, attribute);
}

void Console::move(int columns, int rows)
{
    if (m_out == nullptr) {
        return;
    }
    const ConsoleSize limits = size();
    const auto clamped = [](int64_t position, int delta, size_t limit) {
        return static_cast<UINTN>(std::clamp<int64_t>(position + delta, 0, static_cast<int64_t>(limit) - 1));
    };
    m_out->SetCursorPosition(m_out, clamped(m_out->Mode->CursorColumn, columns, limits.columns),
                             clamped(m_out->Mode->CursorRow, rows, limits.rows));
}

void Console::clear()
{
    if (m_out != nullptr) {
        m_out->ClearScreen(m_out);
    }
}

void Console::close()
{
    style(Style::normal);
    write("\n");
}

void Console::put(char32_t character)
{
    const auto ascii = static_cast<char16_t>(character);
    if (character == '\n') {
        put(u"\r\n");
    } else if (character == '\t') {
        // Not a character of UEFI consoles. The firmware knows the column, once it has all that came before.
        flush();
        const auto column = static_cast<size_t>(std::max<INT32>(m_out->Mode->CursorColumn, 0));
        put(std::u16string_view(u"        ", kTabStop - column % kTabStop));
    } else if (character == '\r' || character == '\b' || (character >= 0x20 && character < 0x7f)) {
        put(std::u16string_view(&ascii, 1));
    } else if (character >= 0xa0) {
        char16_t itself;
        put(shown_as(character, m_glyphs, itself));
    }
    // Other control characters are dropped: what a model says must not steer the terminal.
}

void Console::put(std::u16string_view text)
{
    if (m_used + text.size() >= std::size(m_buffer)) {
        flush();
    }
    for (char16_t c : text) {
        m_buffer[m_used++] = c;
    }
}

void Console::flush()
{
    if (m_used != 0) {
        m_buffer[m_used] = 0;
        m_out->OutputString(m_out, firmware_text(m_buffer));
        m_used = 0;
    }
}

} // namespace llmk::uefi
