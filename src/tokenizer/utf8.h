// SPDX-License-Identifier: MIT
//
// UTF-8: lengths, validation, and a stream that turns pieces of bytes into whole characters.
#pragma once

#include "base/text.h"

namespace llmk {

/// Bytes of the character that starts with this byte by its leading bits: 1..4; 1 for a byte that cannot start one.
size_t utf8_length(uint8_t lead);

struct Utf8Char {
    char32_t value; ///< U+FFFD when the bytes are not UTF-8
    size_t length;  ///< bytes taken, at least 1 unless the text was empty
    bool valid;
};
/// The character at the front of `text`, by the Unicode standard's table 3-7 (no overlong forms, no surrogates).
Utf8Char utf8_decode(std::string_view text);
/// Appends a scalar value.
void utf8_encode(TextWriter& out, char32_t value);

/// Joins bytes that arrive in any cut (tokens may end inside a character) into whole characters. What can never
/// become a character comes out as U+FFFD, one for each maximal part.
class Utf8Stream {
public:
    /// Appends the whole characters that are there now to `out` and keeps an unfinished one back.
    void feed(std::string_view bytes, TextWriter& out);
    /// At the end: an unfinished character comes out as U+FFFD.
    void finish(TextWriter& out);
    void reset() { m_count = 0; }
    bool pending() const { return m_count != 0; }

private:
    void drain(TextWriter& out, bool at_end);
    char m_bytes[4]; ///< the unfinished character
    size_t m_count = 0;
};

} // namespace llmk
