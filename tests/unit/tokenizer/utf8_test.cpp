// SPDX-License-Identifier: MIT
//
// UTF-8 by table 3-7 of the Unicode standard, at once and in any cut.
#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace llmk {
namespace {

std::string encoded(char32_t value)
{
    Text<8> text;
    utf8_encode(text, value);
    return std::string(text.view());
}

/// The whole text at once, what is wrong replaced.
std::string cleaned(std::string_view text)
{
    std::string result;
    while (!text.empty()) {
        const auto character = utf8_decode(text);
        result += encoded(character.value);
        text.remove_prefix(character.length);
    }
    return result;
}

std::string streamed(const std::vector<std::string_view>& parts)
{
    Utf8Stream stream;
    std::string result;
    for (const auto part : parts) {
        Text<512> out;
        stream.feed(part, out);
        EXPECT_EQ(cleaned(out), out.view()) << "only whole characters come out";
        result += out.view();
    }
    Text<16> rest;
    stream.finish(rest);
    EXPECT_FALSE(stream.pending());
    return result + std::string(rest.view());
}

TEST(Utf8, EveryScalarValueGoesThereAndBack)
{
    for (char32_t value = 0; value <= 0x10FFFF; ++value) {
        const std::string bytes = encoded(value);
        const auto decoded = utf8_decode(bytes);
        if (value >= 0xD800 && value <= 0xDFFF) {
            ASSERT_EQ(bytes, "\xEF\xBF\xBD");
            continue;
        }
        ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(value);
        ASSERT_EQ(decoded.value, value);
        ASSERT_EQ(decoded.length, bytes.size());
        ASSERT_EQ(utf8_length(static_cast<uint8_t>(bytes[0])), bytes.size());
    }
    EXPECT_EQ(encoded(0x110000), "\xEF\xBF\xBD");
}

/// Well-formed by table 3-7, written out.
bool table_3_7(std::string_view s)
{
    const auto in = [&](size_t i, int low, int high) {
        return i < s.size() && static_cast<uint8_t>(s[i]) >= low && static_cast<uint8_t>(s[i]) <= high;
    };
    const auto rest = [&](size_t from, size_t count) {
        bool good = s.size() == count;
        for (size_t i = from; i < count; ++i) {
            good = good && in(i, 0x80, 0xBF);
        }
        return good;
    };
    return (in(0, 0x00, 0x7F) && rest(1, 1)) || (in(0, 0xC2, 0xDF) && rest(1, 2)) ||
           (in(0, 0xE0, 0xE0) && in(1, 0xA0, 0xBF) && rest(2, 3)) || (in(0, 0xE1, 0xEC) && rest(1, 3)) ||
           (in(0, 0xED, 0xED) && in(1, 0x80, 0x9F) && rest(2, 3)) || (in(0, 0xEE, 0xEF) && rest(1, 3)) ||
           (in(0, 0xF0, 0xF0) && in(1, 0x90, 0xBF) && rest(2, 4)) || (in(0, 0xF1, 0xF3) && rest(1, 4)) ||
           (in(0, 0xF4, 0xF4) && in(1, 0x80, 0x8F) && rest(2, 4));
}

TEST(Utf8, EveryPairAndTheEdgesOfLongerOnes)
{
    const uint8_t edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xFF};
    for (int first = 0; first < 256; ++first) {
        for (int second = 0; second < 256; ++second) {
            for (const uint8_t third : edges) {
                for (const uint8_t fourth : edges) {
                    const char bytes[] = {static_cast<char>(first), static_cast<char>(second), static_cast<char>(third),
                                          static_cast<char>(fourth)};
                    const std::string_view text(bytes, 4);
                    size_t wanted = 0;
                    for (size_t length = 1; length <= 4; ++length) {
                        wanted = table_3_7(head(text, length)) ? length : wanted;
                    }
                    const auto decoded = utf8_decode(text);
                    ASSERT_EQ(decoded.valid, wanted != 0) << first << " " << second;
                    ASSERT_EQ(decoded.length, wanted != 0 ? wanted : decoded.length);
                    ASSERT_GE(decoded.length, 1u);
                    ASSERT_LT(decoded.valid ? 0u : decoded.length, 4u);
                }
            }
        }
    }
    EXPECT_EQ(utf8_decode("").length, 0u);
    EXPECT_FALSE(utf8_decode("").valid);
}

TEST(Utf8, OneReplacementForEachMaximalPart)
{
    const std::string r = "\xEF\xBF\xBD";
    EXPECT_EQ(cleaned("\xE2\x82"), r) << "cut short";
    EXPECT_EQ(cleaned("\xE2\x82"
                      "A"),
              r + "A");
    EXPECT_EQ(cleaned("\xF0\x9F\x98"), r);
    EXPECT_EQ(cleaned("\xC0\xAF"), r + r) << "overlong: neither byte can begin";
    EXPECT_EQ(cleaned("\xE0\x80\xAF"), r + r + r);
    EXPECT_EQ(cleaned("\xED\xA0\x80"), r + r + r) << "a surrogate";
    EXPECT_EQ(cleaned("\xF4\x90\x80\x80"), r + r + r + r) << "past U+10FFFF";
    EXPECT_EQ(cleaned("\x80\xFF"), r + r);
    // The example of the standard's section 3.9.
    EXPECT_EQ(cleaned("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
              "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

TEST(Utf8Stream, EveryCutOfEveryText)
{
    for (const std::string_view text :
         {std::string_view("aé€😀z"),
          std::string_view("\xE2\x82"
                           "A\xF0\x9F\x98"),
          std::string_view("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
          std::string_view("\xC0\xAF\xED\xA0"), std::string_view("\xF0\xF0\x9F\x98\x80\xE2")}) {
        const std::string wanted = cleaned(text);
        const size_t cuts = text.size() - 1;
        for (uint32_t mask = 0; mask < 1u << cuts; ++mask) {
            std::vector<std::string_view> parts;
            size_t start = 0;
            for (size_t i = 0; i < cuts; ++i) {
                if ((mask >> i & 1) != 0) {
                    parts.push_back(text.substr(start, i + 1 - start));
                    start = i + 1;
                }
            }
            parts.push_back(text.substr(start));
            ASSERT_EQ(streamed(parts), wanted) << mask;
        }
    }
}

TEST(Utf8Stream, RandomBytesInRandomCuts)
{
    std::mt19937 random(5);
    const uint8_t likely[] = {'a', 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xE2, 0xED, 0xF0, 0xF4, 0xFF};
    for (int round = 0; round < 5000; ++round) {
        std::string text;
        for (size_t n = random() % 20; n > 0; --n) {
            text += static_cast<char>(likely[random() % sizeof likely]);
        }
        std::vector<std::string_view> parts;
        for (std::string_view rest = text; !rest.empty();) {
            const size_t size = std::min<size_t>(random() % 5, rest.size());
            parts.push_back(rest.substr(0, size));
            rest.remove_prefix(size);
        }
        ASSERT_EQ(streamed(parts), cleaned(text));
    }
}

TEST(Utf8Stream, HoldsBackOnlyWhatIsUnfinished)
{
    Utf8Stream stream;
    Text<16> out;
    stream.feed("a\xE2\x82", out);
    EXPECT_EQ(out.view(), "a");
    EXPECT_TRUE(stream.pending());
    stream.feed("\xAC", out);
    EXPECT_EQ(out.view(), "a€");
    EXPECT_FALSE(stream.pending());
    stream.feed("\xF0", out);
    stream.reset();
    stream.feed("b", out);
    EXPECT_EQ(out.view(), "a€b");
}

} // namespace
} // namespace llmk
