// SPDX-License-Identifier: MIT
//
// The firmware's text output: our UTF-8 in what it can show, styles in its sixteen colours.
#pragma once

#include "llmk/platform.h"
#include "platform/uefi/firmware.h"
#include "platform/uefi/unicode.h"
#include "tokenizer/utf8.h"

namespace llmk::uefi {

/// Works on a machine without any console too: everything does nothing then.
class Console {
public:
    explicit Console(const Firmware& firmware);

    void write(std::string_view utf8);
    ConsoleSize size();
    void style(Style style);
    void move(int columns, int rows);
    void clear();
    /// Leaves the console as the firmware's own programs expect it.
    void close();

private:
    void put(char32_t character);
    void put(std::u16string_view text);
    void flush();

    SIMPLE_TEXT_OUTPUT_INTERFACE* m_out;
    Glyphs m_glyphs;
    Utf8Stream m_stream;    ///< a character cut in two by its writers
    char16_t m_buffer[256]; ///< what goes out with the next flush; one character is kept for the final NUL
    size_t m_used = 0;
};

} // namespace llmk::uefi
