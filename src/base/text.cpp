// SPDX-License-Identifier: MIT
#include "base/text.h"

#include <bit>

namespace llmk {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// 10^exponent, correctly rounded for exponent <= 22 (each power is exact in double there).
double power_of_ten(int exponent)
{
    double result = 1.0;
    double base = 10.0;
    for (int rest = exponent < 0 ? -exponent : exponent; rest > 0; rest >>= 1) {
        if (rest & 1) {
            result *= base;
        }
        base *= base;
    }
    return exponent < 0 ? 1.0 / result : result;
}

/// What stands between '{' and '}'.
struct FieldSpec {
    size_t width = 0;
    int precision = -1;
    char align = 0; ///< '<', '>' or 0 for the kind's own
    bool zeros = false;
    bool hexadecimal = false;
};

FieldSpec parse_spec(std::string_view text)
{
    FieldSpec spec;
    size_t i = 0;
    if (i < text.size() && text[i] == ':') {
        ++i;
    }
    if (i < text.size() && (text[i] == '<' || text[i] == '>')) {
        spec.align = text[i++];
    }
    if (i < text.size() && text[i] == '0') {
        spec.zeros = true;
        ++i;
    }
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
        spec.width = spec.width * 10 + static_cast<size_t>(text[i++] - '0');
    }
    if (i < text.size() && text[i] == '.') {
        ++i;
        spec.precision = 0;
        while (i < text.size() && text[i] >= '0' && text[i] <= '9') {
            spec.precision = spec.precision * 10 + (text[i++] - '0');
        }
    }
    if (i < text.size() && text[i] == 'x') {
        spec.hexadecimal = true;
    }
    return spec;
}

void put_unsigned(TextWriter& out, uint64_t value, unsigned base)
{
    char digits[24];
    size_t count = 0;
    do {
        const auto digit = static_cast<unsigned>(value % base);
        digits[count++] = static_cast<char>(digit < 10 ? '0' + digit : 'a' + (digit - 10));
        value /= base;
    } while (value != 0);
    while (count > 0) {
        out.put(digits[--count]);
    }
}

void put_real(TextWriter& out, double value, int precision)
{
    const auto bits = std::bit_cast<uint64_t>(value);
    if (((bits >> 52) & 0x7ff) == 0x7ff) {
        out.put((bits << 12) != 0 ? std::string_view("nan")
                                  : ((bits >> 63) != 0 ? std::string_view("-inf") : std::string_view("inf")));
        return;
    }
    if ((bits >> 63) != 0) {
        out.put('-');
        value = -value;
    }
    precision = precision > 15 ? 15 : precision;
    if (value >= 1e18) { // past uint64: mantissa and exponent
        int exponent = 0;
        while (value >= 10.0) {
            value /= 10.0;
            ++exponent;
        }
        put_real(out, value, precision);
        out.put('e');
        put_unsigned(out, static_cast<uint64_t>(exponent), 10);
        return;
    }
    const double scale = power_of_ten(precision);
    auto whole = static_cast<uint64_t>(value);
    auto fraction = static_cast<uint64_t>((value - static_cast<double>(whole)) * scale + 0.5);
    if (static_cast<double>(fraction) >= scale) {
        ++whole;
        fraction = 0;
    }
    put_unsigned(out, whole, 10);
    if (precision > 0) {
        out.put('.');
        Text<24> digits;
        put_unsigned(digits, fraction, 10);
        for (size_t i = digits.size(); i < static_cast<size_t>(precision); ++i) {
            out.put('0');
        }
        out.put(digits.view());
    }
}

bool starts_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t count_characters(std::string_view text)
{
    size_t count = 0;
    for (const char c : text) {
        count += starts_character(c) ? 1 : 0;
    }
    return count;
}

/// At most the first `count` characters of UTF-8.
std::string_view head_characters(std::string_view text, size_t count)
{
    size_t end = 0;
    while (end < text.size() && (count > 0 || !starts_character(text[end]))) {
        count -= starts_character(text[end]) ? 1 : 0;
        ++end;
    }
    return head(text, end);
}

void put_value(TextWriter& out, const FormatArg& arg, const FieldSpec& spec)
{
    switch (arg.kind) {
    case FormatArg::Kind::text:
        out.put(spec.precision >= 0 ? head_characters(arg.text, static_cast<size_t>(spec.precision)) : arg.text);
        break;
    case FormatArg::Kind::boolean:
        out.put(arg.u != 0 ? std::string_view("true") : std::string_view("false"));
        break;
    case FormatArg::Kind::character:
        out.put(static_cast<char>(arg.u));
        break;
    case FormatArg::Kind::unsigned_integer:
        put_unsigned(out, arg.u, spec.hexadecimal ? 16 : 10);
        break;
    case FormatArg::Kind::signed_integer:
        if (arg.i < 0) {
            out.put('-');
        }
        put_unsigned(out, arg.i < 0 ? 0 - arg.u : arg.u, spec.hexadecimal ? 16 : 10);
        break;
    case FormatArg::Kind::real:
        put_real(out, arg.real, spec.precision >= 0 ? spec.precision : 6);
        break;
    case FormatArg::Kind::pointer:
        out.put("0x");
        put_unsigned(out, arg.u, 16);
        break;
    }
}

void put_field(TextWriter& out, const FormatArg& arg, const FieldSpec& spec)
{
    if (spec.width == 0) {
        put_value(out, arg, spec);
        return;
    }
    Text<256> value;
    put_value(value, arg, spec);
    const size_t width = count_characters(value);
    const size_t pad = width < spec.width ? spec.width - width : 0;
    const bool left = spec.align == '<' || (spec.align == 0 && arg.kind == FormatArg::Kind::text);
    std::string_view shown = value;
    if (left) {
        out.put(shown);
    } else if (spec.zeros && shown.starts_with('-')) {
        out.put('-'); // zeros stand behind the sign
        shown.remove_prefix(1);
    }
    for (size_t i = 0; i < pad; ++i) {
        out.put(spec.zeros ? '0' : ' ');
    }
    if (!left) {
        out.put(shown);
    }
}

} // namespace

void TextWriter::put(std::string_view text)
{
    size_t room = m_capacity - m_size;
    size_t count = text.size();
    if (count > room) {
        m_truncated = true;
        count = room;
        // Back off to the start of a character, so that what is kept is still UTF-8.
        while (count > 0 && (static_cast<unsigned char>(text[count]) & 0xC0) == 0x80) {
            --count;
        }
    }
    if (count > 0) {
        __builtin_memcpy(m_data + m_size, text.data(), count);
    }
    m_size += count;
}

void vformat(TextWriter& out, std::string_view pattern, std::span<const FormatArg> args)
{
    size_t next = 0;
    for (size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        const bool doubled = (c == '{' || c == '}') && i + 1 < pattern.size() && pattern[i + 1] == c;
        if (doubled) {
            out.put(c);
            ++i;
        } else if (c == '{') {
            const size_t close = pattern.find('}', i);
            if (close == std::string_view::npos || next >= args.size()) {
                out.put(tail(pattern, i)); // a pattern with a mistake shows itself
                return;
            }
            put_field(out, args[next++], parse_spec(head(tail(pattern, i + 1), close - i - 1)));
            i = close;
        } else {
            // Whole stretches, so that a cut falls between characters.
            const size_t end = pattern.find_first_of("{}", i + 1);
            const auto plain = head(tail(pattern, i), end == std::string_view::npos ? end : end - i);
            out.put(plain);
            i += plain.size() - 1;
        }
    }
}

namespace {
Text<24> scaled(uint64_t value, double step, std::span<const std::string_view> units, std::string_view between)
{
    Text<24> text;
    double number = static_cast<double>(value);
    size_t unit = 0;
    // What would be rounded up to "1024.0 KiB" is shown as "1.0 MiB".
    while (number >= step - 0.05 && unit + 1 < units.size()) {
        number /= step;
        ++unit;
    }
    if (unit == 0) {
        format(text, "{}{}{}", value, units[0].empty() ? std::string_view() : between, units[0]);
    } else {
        format(text, "{:.1}{}{}", number, between, units[unit]);
    }
    return text;
}
} // namespace

Text<24> human_bytes(uint64_t bytes)
{
    static constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return scaled(bytes, 1024.0, kUnits, " ");
}

Text<24> human_count(uint64_t count)
{
    static constexpr std::string_view kUnits[] = {"", "K", "M", "B", "T"};
    return scaled(count, 1000.0, kUnits, "");
}

std::optional<uint64_t> parse_u64(std::string_view text)
{
    if (text.empty()) {
        return std::nullopt;
    }
    uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, uint64_t{10}, &value) ||
            __builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) {
            return std::nullopt;
        }
    }
    return value;
}

std::optional<int64_t> parse_i64(std::string_view text)
{
    const bool negative = !text.empty() && text[0] == '-';
    const bool sign = negative || (!text.empty() && text[0] == '+');
    const auto magnitude = parse_u64(tail(text, sign ? 1 : 0));
    const uint64_t limit = uint64_t{1} << 63;
    if (!magnitude || *magnitude > (negative ? limit : limit - 1)) {
        return std::nullopt;
    }
    return static_cast<int64_t>(negative ? 0 - *magnitude : *magnitude);
}

std::optional<float> parse_f32(std::string_view text)
{
    size_t i = 0;
    const bool negative = i < text.size() && text[i] == '-';
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) {
        ++i;
    }
    uint64_t mantissa = 0;
    int exponent = 0;
    size_t digits = 0;
    bool point = false;
    for (; i < text.size(); ++i) {
        if (text[i] == '.' && !point) {
            point = true;
        } else if (text[i] >= '0' && text[i] <= '9') {
            ++digits;
            if (mantissa < 100'000'000'000'000'000u) { // more digits than a double holds change nothing
                mantissa = mantissa * 10 + static_cast<uint64_t>(text[i] - '0');
                exponent -= point ? 1 : 0;
            } else {
                exponent += point ? 0 : 1;
            }
        } else {
            break;
        }
    }
    if (digits == 0) {
        return std::nullopt;
    }
    if (i < text.size()) {
        if (text[i] != 'e' && text[i] != 'E') {
            return std::nullopt;
        }
        const auto power = parse_i64(tail(text, i + 1));
        if (!power || *power < -1000 || *power > 1000) {
            return std::nullopt;
        }
        exponent += static_cast<int>(*power);
    }
    exponent = exponent > 330 ? 330 : (exponent < -360 ? -360 : exponent);
    double value = static_cast<double>(mantissa);
    // Two steps below 10^-308, so that the power itself stays a normal number. Dividing by an exact power of ten is
    // correctly rounded; multiplying by its inverse is not.
    if (exponent < 0) {
        const int first = exponent < -300 ? 300 : -exponent;
        value /= power_of_ten(first);
        value /= power_of_ten(-exponent - first);
    } else if (exponent > 0) {
        value *= power_of_ten(exponent > 300 ? 300 : exponent);
        value *= power_of_ten(exponent > 300 ? exponent - 300 : 0);
    }
    const auto result = static_cast<float>(negative ? -value : value);
    if (((std::bit_cast<uint32_t>(result) >> 23) & 0xff) == 0xff) {
        return std::nullopt;
    }
    return result;
}

std::string_view tail(std::string_view text, size_t from)
{
    return from >= text.size() ? std::string_view() : std::string_view(text.data() + from, text.size() - from);
}

std::string_view head(std::string_view text, size_t count)
{
    return {text.data(), count < text.size() ? count : text.size()};
}

std::string_view trim(std::string_view text)
{
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignore_case(std::string_view a, std::string_view b)
{
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < a.size(); ++i) {
        if (to_lower(a[i]) != to_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool ends_with_ignore_case(std::string_view text, std::string_view suffix)
{
    return text.size() >= suffix.size() && equal_ignore_case(tail(text, text.size() - suffix.size()), suffix);
}

std::string_view next_word(std::string_view& rest)
{
    while (!rest.empty() && is_blank(rest.front())) {
        rest.remove_prefix(1);
    }
    size_t length = 0;
    while (length < rest.size() && !is_blank(rest[length])) {
        ++length;
    }
    const auto word = head(rest, length);
    rest.remove_prefix(length);
    return word;
}

size_t edit_distance(std::string_view a, std::string_view b)
{
    constexpr size_t kLongest = 31;
    a = head(a, kLongest);
    b = head(b, kLongest);
    size_t row[kLongest + 1];
    for (size_t j = 0; j <= b.size(); ++j) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            const size_t inserted = row[j - 1] + 1;
            const size_t removed = row[j] + 1;
            size_t best = substituted < inserted ? substituted : inserted;
            row[j] = best < removed ? best : removed;
        }
    }
    return row[b.size()];
}

} // namespace llmk
