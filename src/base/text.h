// SPDX-License-Identifier: MIT
//
// Text without a heap: writers over fixed buffers, formatting with `{}` fields, and parsing of numbers.
// Owns how numbers look to a person. Does not own encodings (src/tokenizer/utf8.h) or the console
// (include/llmk/platform.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace llmk {

/// Appends to a buffer it does not own. What does not fit is cut at a UTF-8 boundary and `truncated()` says so.
class TextWriter {
public:
    TextWriter(char* data, size_t capacity) : m_data(data), m_capacity(capacity) {}

    void put(std::string_view text);
    void put(char c) { put(std::string_view(&c, 1)); }
    void clear()
    {
        m_size = 0;
        m_truncated = false;
    }
    std::string_view view() const { return {m_data, m_size}; }
    operator std::string_view() const { return view(); }
    size_t size() const { return m_size; }
    size_t capacity() const { return m_capacity; }
    bool truncated() const { return m_truncated; }

protected:
    char* m_data;
    size_t m_capacity;
    size_t m_size = 0;
    bool m_truncated = false;
};

/// One value of a `{}` field, its type erased so that the formatter is compiled once.
struct FormatArg {
    enum class Kind : uint8_t { text, boolean, character, unsigned_integer, signed_integer, real, pointer };
    Kind kind;
    union {
        std::string_view text;
        uint64_t u;
        int64_t i;
        double real;
    };
    FormatArg(std::string_view v) : kind(Kind::text), text(v) {}
    FormatArg(const char* v) : kind(Kind::text), text(v ? std::string_view(v) : std::string_view("(null)")) {}
    FormatArg(bool v) : kind(Kind::boolean), u(v) {}
    FormatArg(char v) : kind(Kind::character), u(static_cast<unsigned char>(v)) {}
    FormatArg(float v) : kind(Kind::real), real(static_cast<double>(v)) {}
    FormatArg(double v) : kind(Kind::real), real(v) {}
    FormatArg(const void* v) : kind(Kind::pointer), u(reinterpret_cast<uintptr_t>(v)) {}
    FormatArg(const TextWriter& v) : kind(Kind::text), text(v.view()) {}
    template <class T>
    requires(std::is_integral_v<T>) FormatArg(T v)
        : kind(std::is_signed_v<T> ? Kind::signed_integer : Kind::unsigned_integer), u(static_cast<uint64_t>(v))
    {
    }
};

/// Writes `pattern` with each `{}` replaced by the next argument; `{{` and `}}` stand for braces.
/// A field may say `{:8}` (at least 8 wide; numbers to the right, text to the left), `{:>8}`, `{:<8}`, `{:08}` (zeros),
/// `{:x}` (hexadecimal), `{:.3}` (digits after the point of a real, default 6; of a text the most characters).
void vformat(TextWriter& out, std::string_view pattern, std::span<const FormatArg> args);

template <class... Args> void format(TextWriter& out, std::string_view pattern, const Args&... args)
{
    if constexpr (sizeof...(Args) == 0) {
        vformat(out, pattern, {});
    } else {
        const FormatArg list[] = {FormatArg(args)...};
        vformat(out, pattern, list);
    }
}

/// A text with room for N bytes inside itself. Copies by value.
template <size_t N> class Text : public TextWriter {
public:
    Text() : TextWriter(m_storage, N) {}
    Text(std::string_view text) : Text() { put(text); }
    template <class... Args>
    requires(sizeof...(Args) > 0) Text(std::string_view pattern, const Args&... args) : Text()
    {
        format(*this, pattern, args...);
    }
    Text(const Text& other) : Text() { *this = other; }
    Text& operator=(const Text& other)
    {
        if (this != &other) {
            clear();
            put(other.view());
            m_truncated = other.m_truncated;
        }
        return *this;
    }
    Text& operator=(std::string_view text)
    {
        clear();
        put(text);
        return *this;
    }

private:
    char m_storage[N];
};

/// Bytes as a person reads them: "1.0 MiB", "260.5 KiB", "12 B".
Text<24> human_bytes(uint64_t bytes);
/// Counts as a person reads them: "260.0K", "1.1B", "15.2M", "12".
Text<24> human_count(uint64_t count);

/// The whole text as a number, or nothing: no blanks, no rest, no overflow. `parse_i64`/`parse_f32` take a sign.
std::optional<uint64_t> parse_u64(std::string_view text);
std::optional<int64_t> parse_i64(std::string_view text);
/// Decimal with optional fraction and exponent; correctly rounded for up to 15 significant digits.
std::optional<float> parse_f32(std::string_view text);

std::string_view trim(std::string_view text);
/// The part of `text` from `from` on; empty when past the end (std::string_view::substr would throw).
std::string_view tail(std::string_view text, size_t from);
/// At most the first `count` bytes of `text`.
std::string_view head(std::string_view text, size_t count);
bool equal_ignore_case(std::string_view a, std::string_view b);
bool ends_with_ignore_case(std::string_view text, std::string_view suffix);
char to_lower(char c);

/// Takes the next word (parted by blanks) off the front of `rest`; empty when there is none.
std::string_view next_word(std::string_view& rest);
/// Levenshtein distance, for "did you mean". Texts longer than 31 bytes are cut.
size_t edit_distance(std::string_view a, std::string_view b);

} // namespace llmk
