// SPDX-License-Identifier: MIT
#include "platform/uefi/unicode.h"

#include "tokenizer/utf8.h"

namespace llmk::uefi {
namespace {

// Stand-ins of U+00A0 .. U+00FF.
constexpr std::u16string_view kLatin1[] = {
    u" ",   u"!",  u"c", u"GBP", u"?", u"JPY", u"|",  u"S", u"\"", u"(C)", u"a", u"<<", u"~",   u"",    u"(R)", u"-",
    u"deg", u"+-", u"2", u"3",   u"'", u"u",   u"P",  u"*", u",",  u"1",   u"o", u">>", u"1/4", u"1/2", u"3/4", u"?",
    u"A",   u"A",  u"A", u"A",   u"A", u"A",   u"AE", u"C", u"E",  u"E",   u"E", u"E",  u"I",   u"I",   u"I",   u"I",
    u"D",   u"N",  u"O", u"O",   u"O", u"O",   u"O",  u"x", u"O",  u"U",   u"U", u"U",  u"U",   u"Y",   u"Th",  u"ss",
    u"a",   u"a",  u"a", u"a",   u"a", u"a",   u"ae", u"c", u"e",  u"e",   u"e", u"e",  u"i",   u"i",   u"i",   u"i",
    u"d",   u"n",  u"o", u"o",   u"o", u"o",   u"o",  u"/", u"o",  u"u",   u"u", u"u",  u"u",   u"y",   u"th",  u"y",
};
static_assert(std::size(kLatin1) == 0x60);

// Base letters of U+0100 .. U+017F.
constexpr std::u16string_view kLatinExtendedA = u"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlLlLl"
                                                u"NnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";
static_assert(kLatinExtendedA.size() == 0x80);

/// Characters first..last: what the screen shows, and what a terminal does.
struct StandIn {
    char32_t first, last;
    std::u16string_view screen; ///< empty: the character itself
    std::u16string_view ascii;
};

// Ascending, so that a row can be found by its end.
constexpr StandIn kStandIns[] = {
    {0x2000, 0x200a, u" ", u" "}, // spaces of all widths
    {0x2010, 0x2012, u"-", u"-"}, // hyphens, figure dash
    {0x2013, 0x2013, u"-", u"-"}, // en dash
    {0x2014, 0x2015, u"--", u"--"},
    {0x2018, 0x201b, u"'", u"'"},
    {0x201c, 0x201f, u"\"", u"\""},
    {0x2020, 0x2021, u"+", u"+"},
    {0x2022, 0x2023, u"*", u"*"}, // bullets
    {0x2024, 0x2024, u".", u"."},
    {0x2025, 0x2025, u"..", u".."},
    {0x2026, 0x2026, u"...", u"..."},
    {0x202f, 0x202f, u" ", u" "},
    {0x2032, 0x2032, u"'", u"'"},
    {0x2033, 0x2033, u"\"", u"\""},
    {0x2039, 0x2039, u"<", u"<"},
    {0x203a, 0x203a, u">", u">"},
    {0x2044, 0x2044, u"/", u"/"},
    {0x20ac, 0x20ac, u"EUR", u"EUR"},
    {0x2122, 0x2122, u"(TM)", u"(TM)"},
    {0x2190, 0x2190, {}, u"<-"},
    {0x2191, 0x2191, {}, u"^"},
    {0x2192, 0x2192, {}, u"->"},
    {0x2193, 0x2193, {}, u"v"},
    {0x2212, 0x2212, u"-", u"-"}, // minus
    {0x2215, 0x2215, u"/", u"/"},
    {0x2219, 0x2219, u"\u00b7", u"*"},
    {0x2248, 0x2248, u"~", u"~"},
    {0x2260, 0x2260, u"!=", u"!="},
    {0x2264, 0x2264, u"<=", u"<="},
    {0x2265, 0x2265, u">=", u">="},
    // Box drawing: the firmware's font has the light lines and the double ones.
    {0x2500, 0x2500, {}, u"-"},
    {0x2501, 0x2501, u"\u2500", u"-"},
    {0x2502, 0x2502, {}, u"|"},
    {0x2503, 0x2503, u"\u2502", u"|"},
    {0x2504, 0x2505, u"\u2500", u"-"},
    {0x2506, 0x2507, u"\u2502", u"|"},
    {0x2508, 0x2509, u"\u2500", u"-"},
    {0x250a, 0x250b, u"\u2502", u"|"},
    {0x250c, 0x250f, u"\u250c", u"+"},
    {0x2510, 0x2513, u"\u2510", u"+"},
    {0x2514, 0x2517, u"\u2514", u"+"},
    {0x2518, 0x251b, u"\u2518", u"+"},
    {0x251c, 0x2523, u"\u251c", u"+"},
    {0x2524, 0x252b, u"\u2524", u"+"},
    {0x252c, 0x2533, u"\u252c", u"+"},
    {0x2534, 0x253b, u"\u2534", u"+"},
    {0x253c, 0x254b, u"\u253c", u"+"},
    {0x254c, 0x254d, u"\u2500", u"-"},
    {0x254e, 0x254f, u"\u2502", u"|"},
    {0x2550, 0x2550, {}, u"="},
    {0x2551, 0x2551, {}, u"|"},
    {0x2552, 0x256c, {}, u"+"},
    {0x256d, 0x256d, u"\u250c", u"+"}, // round corners
    {0x256e, 0x256e, u"\u2510", u"+"},
    {0x256f, 0x256f, u"\u2518", u"+"},
    {0x2570, 0x2570, u"\u2514", u"+"},
    {0x2571, 0x2571, u"/", u"/"},
    {0x2572, 0x2572, u"\\", u"\\"},
    {0x2573, 0x2573, u"X", u"X"},
    {0x2580, 0x2590, u"\u2588", u"#"}, // blocks, whole and in part
    {0x2591, 0x2591, {}, u"."},
    {0x2592, 0x2592, u"\u2591", u":"},
    {0x2593, 0x2593, u"\u2588", u"#"},
    {0x25a0, 0x25a0, u"\u2588", u"#"},
    {0x25b2, 0x25b2, {}, u"^"},
    {0x25b6, 0x25b6, u"\u25ba", u">"},
    {0x25b8, 0x25b8, u"\u25ba", u">"},
    {0x25ba, 0x25ba, {}, u">"},
    {0x25bc, 0x25bc, {}, u"v"},
    {0x25c0, 0x25c0, u"\u25c4", u"<"},
    {0x25c4, 0x25c4, {}, u"<"},
    {0x25cb, 0x25cb, u"o", u"o"},
    {0x25cf, 0x25cf, u"*", u"*"},
    {0x2605, 0x2606, u"*", u"*"},
    {0x2713, 0x2714, u"+", u"+"}, // check marks
    {0x2717, 0x2718, u"x", u"x"},
    {0x3000, 0x3000, u"  ", u"  "},
};

/// Combining accents, joiners, direction and variation marks: they would take a column and show nothing of use.
constexpr bool has_no_width(char32_t c)
{
    return (c >= 0x0300 && c <= 0x036f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x2064) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff ||
           (c >= 0x1f3fb && c <= 0x1f3ff);
}

} // namespace

bool utf8_to_utf16(std::string_view utf8, std::span<char16_t> out)
{
    size_t used = 0;
    while (!utf8.empty()) {
        const Utf8Char next = utf8_decode(utf8);
        // A pair and the final NUL must fit.
        if (!next.valid || used + 3 > out.size()) {
            return false;
        }
        if (next.value >= 0x10000) {
            out[used++] = static_cast<char16_t>(0xd800 + ((next.value - 0x10000) >> 10));
            out[used++] = static_cast<char16_t>(0xdc00 + ((next.value - 0x10000) & 0x3ff));
        } else {
            out[used++] = static_cast<char16_t>(next.value);
        }
        utf8.remove_prefix(next.length);
    }
    out[used] = 0;
    return true;
}

void utf16_to_utf8(const char16_t* text, TextWriter& out)
{
    while (*text != 0) {
        char32_t c = *text++;
        if (c >= 0xd800 && c <= 0xdbff && *text >= 0xdc00 && *text <= 0xdfff) {
            c = 0x10000 + ((c - 0xd800) << 10) + (static_cast<char32_t>(*text++) - 0xdc00);
        } else if (c >= 0xd800 && c <= 0xdfff) {
            c = 0xfffd;
        }
        utf8_encode(out, c);
    }
}

std::u16string_view shown_as(char32_t character, Glyphs glyphs, char16_t& itself)
{
    if (has_no_width(character)) {
        return {};
    }
    itself = static_cast<char16_t>(character);
    const std::u16string_view unchanged(&itself, 1);
    if (character >= 0xa0 && character <= 0xff) {
        // A soft hyphen shows as a dash in the firmware's font.
        return glyphs == Glyphs::screen && character != 0xad ? unchanged : kLatin1[character - 0xa0];
    }
    if (character >= 0x100 && character <= 0x17f) {
        return std::u16string_view(kLatinExtendedA.data() + (character - 0x100), 1);
    }
    for (const StandIn& row : kStandIns) {
        if (character <= row.last) {
            if (character < row.first) {
                break;
            }
            return glyphs == Glyphs::ascii ? row.ascii : row.screen.empty() ? unchanged : row.screen;
        }
    }
    return u"?";
}

} // namespace llmk::uefi
