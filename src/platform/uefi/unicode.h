// SPDX-License-Identifier: MIT
//
// Between our UTF-8 and what firmware stores and shows: its UCS-2 names, and stand-ins for characters a console has no
// glyph for. Knows no firmware.
#pragma once

#include "base/text.h"

namespace llmk::uefi {

/// UTF-8 to NUL-terminated UTF-16. False when it is not UTF-8 or does not fit.
bool utf8_to_utf16(std::string_view utf8, std::span<char16_t> out);

/// NUL-terminated UTF-16 (or UCS-2) to UTF-8; lone surrogates become U+FFFD.
void utf16_to_utf8(const char16_t* text, TextWriter& out);

enum class Glyphs : uint8_t {
    screen, ///< the firmware's font: Latin-1, box drawing, full block, light shade, arrows (UEFI specification 12.4)
    ascii,  ///< a serial terminal: what is not ASCII would arrive cut to one byte
};

/// What to print for a printable character that is not ASCII: itself, or a stand-in; empty for what has no width.
/// `itself` is room for one character.
std::u16string_view shown_as(char32_t character, Glyphs glyphs, char16_t& itself);

} // namespace llmk::uefi
