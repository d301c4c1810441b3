// SPDX-License-Identifier: MIT
#include "tokenizer/utf8.h"

namespace llmk {

namespace {

constexpr char32_t kReplacement = 0xFFFD;

/// The second byte's range depends on the first (no overlong forms, no surrogates, nothing past U+10FFFF).
bool second_byte_ok(uint8_t first, uint8_t second)
{
    switch (first) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return second >= 0x80 && second <= 0xBF;
    }
}

/// How many of the bytes in front belong to one well-formed, possibly unfinished character; 0 when the first cannot
/// start one.
size_t well_formed_prefix(std::string_view text)
{
    const auto first = static_cast<uint8_t>(text[0]);
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xC2 || first > 0xF4) {
        return 0;
    }
    const size_t length = utf8_length(first);
    size_t good = 1;
    while (good < length && good < text.size()) {
        const auto byte = static_cast<uint8_t>(text[good]);
        if (good == 1 ? !second_byte_ok(first, byte) : (byte & 0xC0) != 0x80) {
            break;
        }
        ++good;
    }
    return good;
}

} // namespace

size_t utf8_length(uint8_t lead)
{
    if (lead >= 0xF0) {
        return lead <= 0xF7 ? 4 : 1;
    }
    if (lead >= 0xE0) {
        return 3;
    }
    return lead >= 0xC0 ? 2 : 1;
}

Utf8Char utf8_decode(std::string_view text)
{
    if (text.empty()) {
        return {kReplacement, 0, false};
    }
    const size_t good = well_formed_prefix(text);
    const auto first = static_cast<uint8_t>(text[0]);
    const size_t length = utf8_length(first);
    if (good == 0 || good < length) {
        return {kReplacement, good == 0 ? 1 : good, false};
    }
    if (length == 1) {
        return {first, 1, true};
    }
    auto value = static_cast<char32_t>(first & (0xFFu >> (length + 1)));
    for (size_t i = 1; i < length; ++i) {
        value = (value << 6) | (static_cast<uint8_t>(text[i]) & 0x3Fu);
    }
    return {value, length, true};
}

void utf8_encode(TextWriter& out, char32_t value)
{
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        value = kReplacement;
    }
    char bytes[4];
    size_t count = 0;
    if (value < 0x80) {
        bytes[count++] = static_cast<char>(value);
    } else if (value < 0x800) {
        bytes[count++] = static_cast<char>(0xC0 | (value >> 6));
    } else if (value < 0x10000) {
        bytes[count++] = static_cast<char>(0xE0 | (value >> 12));
        bytes[count++] = static_cast<char>(0x80 | ((value >> 6) & 0x3F));
    } else {
        bytes[count++] = static_cast<char>(0xF0 | (value >> 18));
        bytes[count++] = static_cast<char>(0x80 | ((value >> 12) & 0x3F));
        bytes[count++] = static_cast<char>(0x80 | ((value >> 6) & 0x3F));
    }
    if (value >= 0x80) {
        bytes[count++] = static_cast<char>(0x80 | (value & 0x3F));
    }
    out.put({bytes, count});
}

void Utf8Stream::drain(TextWriter& out, bool at_end)
{
    std::string_view rest(m_bytes, m_count);
    while (!rest.empty()) {
        const size_t good = well_formed_prefix(rest);
        const size_t length = utf8_length(static_cast<uint8_t>(rest[0]));
        if (good == length) {
            out.put(head(rest, length));
        } else if (good == rest.size() && !at_end) {
            break; // unfinished: the next bytes may complete it
        } else {
            utf8_encode(out, kReplacement);
        }
        rest.remove_prefix(good == 0 ? 1 : good);
    }
    __builtin_memmove(m_bytes, rest.data(), rest.size());
    m_count = rest.size();
}

void Utf8Stream::feed(std::string_view bytes, TextWriter& out)
{
    // Byte by byte through the small buffer: it never holds more than one unfinished character.
    for (const char byte : bytes) {
        m_bytes[m_count++] = byte;
        drain(out, false);
    }
}

void Utf8Stream::finish(TextWriter& out) { drain(out, true); }

} // namespace llmk
