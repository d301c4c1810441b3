// SPDX-License-Identifier: MIT
//
// What Unicode says of characters, as far as tokenizers ask: classes, and normalization form C (Unicode standard annex
// 15). UTF-8 itself is src/tokenizer/utf8.h.
#pragma once

#include "base/status.h"
#include "mem/zones.h"

namespace llmk {

/// General categories, joined where nobody asks for more. Blanks are those of the property White_Space, as \s is.
enum class CharClass : uint8_t {
    other,  ///< controls, formats, private use, unassigned
    upper,  ///< Lu, Lt
    lower,  ///< Ll
    letter, ///< Lm, Lo
    mark,
    number,
    punctuation,
    symbol,
    whitespace,
};

CharClass char_class(char32_t value);
constexpr bool is_letter(CharClass c)
{
    return c == CharClass::upper || c == CharClass::lower || c == CharClass::letter;
}

/// Canonical combining class; 0 of what starts a sequence.
uint8_t combining_class(char32_t value);

/// Bytes that normalization form C of `bytes` bytes takes at most.
constexpr uint64_t nfc_max_bytes(uint64_t bytes) { return 3 * bytes; }
/// Bytes of scratch that nfc() takes for a text of this many bytes.
uint64_t nfc_scratch_bytes(uint64_t bytes);
/// False when a text is in form C for certain, which most are.
bool nfc_may_change(std::string_view text);
/// Writes form C of `text` to `out`, which has room for nfc_max_bytes(text.size()), and returns its bytes. What is no
/// UTF-8 is copied as it is. Working memory comes from `scratch` and goes back; fails only when that is full.
Result<std::string_view> nfc(std::string_view text, char* out, Arena& scratch);

} // namespace llmk
