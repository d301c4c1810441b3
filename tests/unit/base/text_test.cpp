// SPDX-License-Identifier: MIT
//
// How numbers and texts look to a person, and how they are read back.
#include "base/text.h"

#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>

namespace llmk {
namespace {

template <class... Args> std::string formatted(std::string_view pattern, const Args&... args)
{
    Text<512> text;
    format(text, pattern, args...);
    EXPECT_FALSE(text.truncated());
    return std::string(text.view());
}

bool is_utf8(std::string_view text)
{
    while (!text.empty()) {
        const auto character = utf8_decode(text);
        if (!character.valid) {
            return false;
        }
        text.remove_prefix(character.length);
    }
    return true;
}

TEST(Format, PlainFields)
{
    EXPECT_EQ(formatted("no field"), "no field");
    EXPECT_EQ(formatted("{} {} {}", 1, "two", std::string_view("three")), "1 two three");
    EXPECT_EQ(formatted("{}{}", true, false), "truefalse");
    EXPECT_EQ(formatted("[{}]", 'x'), "[x]");
    EXPECT_EQ(formatted("{}", static_cast<const char*>(nullptr)), "(null)");
    EXPECT_EQ(formatted("{}", Text<8>("inner")), "inner");
    EXPECT_EQ(formatted("{}", reinterpret_cast<const void*>(0x1234abcd)), "0x1234abcd");
    EXPECT_EQ(formatted("{{{}}}", 7), "{7}");
    EXPECT_EQ(formatted("größe {}", "weiß"), "größe weiß");
}

TEST(Format, Integers)
{
    EXPECT_EQ(formatted("{} {}", 0, -1), "0 -1");
    EXPECT_EQ(formatted("{} {}", INT64_MIN, INT64_MAX), "-9223372036854775808 9223372036854775807");
    EXPECT_EQ(formatted("{}", UINT64_MAX), "18446744073709551615");
    EXPECT_EQ(formatted("{} {}", uint8_t{255}, int8_t{-128}), "255 -128");
    EXPECT_EQ(formatted("{:x} {:x}", 255, UINT64_MAX), "ff ffffffffffffffff");
    EXPECT_EQ(formatted("{:x}", -255), "-ff");
}

TEST(Format, Widths)
{
    EXPECT_EQ(formatted("[{:5}][{:5}]", 42, "ab"), "[   42][ab   ]");
    EXPECT_EQ(formatted("[{:<5}][{:>5}]", 42, "ab"), "[42   ][   ab]");
    EXPECT_EQ(formatted("[{:2}][{:2}]", 12345, "abcde"), "[12345][abcde]");
    EXPECT_EQ(formatted("{:08} {:08x}", 1234, 0xBEEF), "00001234 0000beef");
    EXPECT_EQ(formatted("{:04}-{:02}-{:02}", 2024, 2, 9), "2024-02-09");
    EXPECT_EQ(formatted("[{:10.2}][{:<10.2}]", 3.14159, 3.14159), "[      3.14][3.14      ]");
    EXPECT_EQ(formatted("[{:6}]", -42), "[   -42]");
}

TEST(Format, ZerosStandBehindTheSign)
{
    EXPECT_EQ(formatted("{:06}", -42), "-00042");
    EXPECT_EQ(formatted("{:08.2}", -3.5), "-0003.50");
}

TEST(Format, Reals)
{
    EXPECT_EQ(formatted("{}", 0.5), "0.500000");
    EXPECT_EQ(formatted("{:.0} {:.0} {:.0}", 0.4, 0.6, 1234.5), "0 1 1235");
    EXPECT_EQ(formatted("{:.3}", -1.0005), "-1.000") << "the double lies below the middle";
    EXPECT_EQ(formatted("{:.1} {:.2} {:.3}", 0.99, 0.999, 9.9999), "1.0 1.00 10.000");
    EXPECT_EQ(formatted("{:.1}", 999.96), "1000.0");
    EXPECT_EQ(formatted("{:.4}", 0.0001), "0.0001");
    EXPECT_EQ(formatted("{:.4}", 2.00003f), "2.0000");
    const double inf = INFINITY;
    EXPECT_EQ(formatted("{} {} {}", inf, -inf, std::nan("")), "inf -inf nan");
    EXPECT_EQ(formatted("[{:6}]", inf), "[   inf]");
    EXPECT_EQ(formatted("{:.2}", 1e18), "1.00e18");
    EXPECT_EQ(formatted("{:.0}", 999999999999999872.0), "999999999999999872");
    EXPECT_EQ(formatted("{:.3}", 3.4028234663852886e38), "3.403e38");
}

TEST(Format, RealsAsPrintf)
{
    std::mt19937_64 random(7);
    for (int i = 0; i < 20'000; ++i) {
        const int digits = static_cast<int>(random() % 7);
        const double scale = std::pow(10.0, static_cast<double>(random() % 9));
        const double value = (static_cast<double>(random() >> 11) * 0x1p-53 - 0.5) * scale;
        char wanted[64];
        (void)std::snprintf(wanted, sizeof wanted, "%.*f", digits, value);
        char pattern[16];
        (void)std::snprintf(pattern, sizeof pattern, "{:.%d}", digits);
        ASSERT_EQ(formatted(pattern, value), wanted) << value;
    }
}

TEST(Format, PrecisionOfATextIsInCharacters)
{
    EXPECT_EQ(formatted("{:.3}|{:.9}", "abcdef", "abcdef"), "abc|abcdef");
    EXPECT_EQ(formatted("{:.3}", "größe"), "grö");
    EXPECT_EQ(formatted("{:.0}|{:.9}", "größe", "größe"), "|größe");
    EXPECT_EQ(formatted("[{:6}][{:>6}]", "größe", "größe"), "[größe ][ größe]") << "so is the width";
}

TEST(Format, MistakesShowThemselves)
{
    EXPECT_EQ(formatted("a {} b {} c", 1), "a 1 b {} c");
    EXPECT_EQ(formatted("a {", 1), "a {");
    EXPECT_EQ(formatted("a } b", 1), "a } b");
}

TEST(Text, CutsAtACharacter)
{
    const std::string_view text = "aé€😀z"; // 1, 2, 3, 4, 1 bytes
    const size_t starts[] = {0, 1, 3, 6, 10, 11};
    for (size_t capacity = 0; capacity <= 12; ++capacity) {
        char storage[16];
        TextWriter writer(storage, capacity);
        writer.put(text);
        size_t wanted = 0;
        for (const size_t start : starts) {
            wanted = start <= capacity ? start : wanted;
        }
        EXPECT_EQ(writer.view(), head(text, wanted)) << capacity;
        EXPECT_EQ(writer.truncated(), capacity < text.size()) << capacity;
    }
}

TEST(Text, APatternIsCutAtACharacterToo)
{
    for (size_t capacity = 0; capacity < 12; ++capacity) {
        char storage[16];
        TextWriter writer(storage, capacity);
        format(writer, "aé€😀z{}", 1);
        EXPECT_TRUE(is_utf8(writer.view())) << capacity;
        EXPECT_TRUE(writer.truncated());
    }
}

TEST(Text, CopiesAreTheirOwn)
{
    Text<8> first("abc");
    Text<8> second = first;
    first.put("def");
    EXPECT_EQ(first.view(), "abcdef");
    EXPECT_EQ(second.view(), "abc");
    first = std::string_view("0123456789");
    EXPECT_EQ(first.view(), "01234567");
    EXPECT_TRUE(first.truncated());
    second = first;
    EXPECT_TRUE(second.truncated()) << "a copy of what was cut was cut";
    second.clear();
    EXPECT_FALSE(second.truncated());
    EXPECT_EQ(second.size(), 0u);
}

TEST(Human, Bytes)
{
    EXPECT_EQ(human_bytes(0).view(), "0 B");
    EXPECT_EQ(human_bytes(1023).view(), "1023 B");
    EXPECT_EQ(human_bytes(1024).view(), "1.0 KiB");
    EXPECT_EQ(human_bytes(266'752).view(), "260.5 KiB");
    EXPECT_EQ(human_bytes(uint64_t{1} << 20).view(), "1.0 MiB");
    EXPECT_EQ(human_bytes((uint64_t{1} << 20) - 1).view(), "1.0 MiB") << "not 1024.0 KiB";
    EXPECT_EQ(human_bytes(uint64_t{4} << 30).view(), "4.0 GiB");
    EXPECT_EQ(human_bytes(UINT64_MAX).view(), "16.0 EiB");
}

TEST(Human, Counts)
{
    EXPECT_EQ(human_count(12).view(), "12");
    EXPECT_EQ(human_count(999).view(), "999");
    EXPECT_EQ(human_count(260'032).view(), "260.0K");
    EXPECT_EQ(human_count(15'191'712).view(), "15.2M");
    EXPECT_EQ(human_count(1'100'048'384).view(), "1.1B");
    EXPECT_EQ(human_count(999'999).view(), "1.0M") << "not 1000.0K";
}

TEST(Words, AreParted)
{
    std::string_view rest = "  one\ttwo \r\n three  ";
    EXPECT_EQ(next_word(rest), "one");
    EXPECT_EQ(next_word(rest), "two");
    EXPECT_EQ(next_word(rest), "three");
    EXPECT_EQ(next_word(rest), "");
    EXPECT_EQ(next_word(rest), "");
    EXPECT_EQ(trim(" \t a b \r\n"), "a b");
    EXPECT_EQ(trim("  "), "");
}

TEST(Words, PartsOfATextNeverThrow)
{
    EXPECT_EQ(head("abc", 9), "abc");
    EXPECT_EQ(head("abc", 2), "ab");
    EXPECT_EQ(head("abc", std::string_view::npos), "abc");
    EXPECT_EQ(tail("abc", 1), "bc");
    EXPECT_EQ(tail("abc", 3), "");
    EXPECT_EQ(tail("abc", 99), "");
    EXPECT_TRUE(equal_ignore_case("StOrY.bin", "sToRy.BIN"));
    EXPECT_FALSE(equal_ignore_case("a", "ab"));
    EXPECT_FALSE(equal_ignore_case("[", "{")) << "only letters have two cases";
    EXPECT_TRUE(ends_with_ignore_case("A.GGUF", ".gguf"));
    EXPECT_FALSE(ends_with_ignore_case("f", ".gguf"));
}

/// The textbook table, for comparison.
size_t slow_distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1));
    for (size_t i = 0; i <= a.size(); ++i) {
        for (size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            const size_t changed = table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            table[i][j] = std::min({changed, table[i - 1][j] + 1, table[i][j - 1] + 1});
        }
    }
    return table[a.size()][b.size()];
}

TEST(Words, EditDistance)
{
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("same", "same"), 0u);
    std::mt19937 random(3);
    for (int i = 0; i < 500; ++i) {
        std::string texts[2];
        for (auto& text : texts) {
            for (size_t n = random() % 12; n > 0; --n) {
                text += static_cast<char>('a' + random() % 3);
            }
        }
        ASSERT_EQ(edit_distance(texts[0], texts[1]), slow_distance(texts[0], texts[1])) << texts[0] << " " << texts[1];
    }
    EXPECT_EQ(edit_distance(std::string(100, 'a'), std::string(100, 'b')), 31u) << "cut, not overrun";
}

} // namespace
} // namespace llmk
