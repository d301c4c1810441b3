// SPDX-License-Identifier: MIT
//
// The generated tables through the questions that are asked of them, and form C.
#include "tokenizer/unicode.h"

#include "fake/fake_platform.h"
#include "tokenizer/unicode_tables.h"
#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace llmk {
namespace {

class Nfc : public testing::Test {
protected:
    static constexpr uint64_t kBytes = 4096;

    Nfc() { EXPECT_TRUE(m_scratch.add_extent(m_platform, nfc_scratch_bytes(kBytes)).ok()); }
    ~Nfc() override { m_scratch.release(m_platform); }

    std::string form_c(const std::string& text)
    {
        std::string out(nfc_max_bytes(text.size()), '?');
        auto result = nfc(text, out.data(), m_scratch);
        EXPECT_TRUE(result.ok());
        EXPECT_EQ(m_scratch.used_bytes(), 0u);
        std::string normal(result.ok() ? result.value() : std::string_view());
        if (!nfc_may_change(text)) {
            EXPECT_EQ(normal, text);
        }
        return normal;
    }

    FakePlatform m_platform;
    Arena m_scratch;
};

std::string utf8(std::initializer_list<char32_t> codes)
{
    Text<256> text;
    for (const char32_t code : codes) {
        utf8_encode(text, code);
    }
    return std::string(text.view());
}

TEST(UnicodeTables, AreSortedAndWhole)
{
    for (const auto runs : {kClassRuns, kCombiningRuns}) {
        EXPECT_EQ(runs[0] >> 8, 0u) << "the first run starts at 0";
        EXPECT_TRUE(std::is_sorted(runs.begin(), runs.end()));
    }
    EXPECT_TRUE(std::is_sorted(kDecompositions.begin(), kDecompositions.end()));
    for (size_t i = 0; i < kCompositions.size(); ++i) {
        ASSERT_LT(kCompositions[i], kDecompositions.size());
        const auto pair = [](uint16_t index) { return kDecompositions[index] & ((uint64_t{1} << 42) - 1); };
        ASSERT_TRUE(i == 0 || pair(kCompositions[i - 1]) < pair(kCompositions[i]));
    }
}

TEST(UnicodeTables, Classes)
{
    const struct {
        CharClass expected;
        std::u32string members;
    } rows[] = {
        {CharClass::upper, U"AZÀΩЖǅ𐐀"},
        {CharClass::lower, U"azßµωж𝒶"},
        {CharClass::letter, U"ªʰאعक中あ한ー々𠀀"},
        {CharClass::mark, U"\u0301\u064B\u093E\u20DD\uFE0F"},
        {CharClass::number, U"09²½٣Ⅷ①𝟘〇"},
        {CharClass::punctuation, U"!#%*,-./:;?@[]_{}¡«»“”…。、・"},
        {CharClass::symbol, U"$+<=>^`|~¢©°€→☃😀\uFFFD"},
        {CharClass::whitespace, U"\t\n\v\f\r \u0085\u00A0\u1680\u2000\u200A\u2028\u2029\u202F\u205F\u3000"},
        {CharClass::other, U"\x01\x1C\x7F\u00AD\u180E\u200B\u200D\uFEFF\uE000\u0378\U0010FFFF"},
    };
    for (const auto& row : rows) {
        for (const char32_t value : row.members) {
            EXPECT_EQ(static_cast<int>(char_class(value)), static_cast<int>(row.expected))
                << std::hex << static_cast<uint32_t>(value);
        }
    }
    EXPECT_EQ(char_class(0), CharClass::other);
}

TEST(UnicodeTables, CombiningClasses)
{
    EXPECT_EQ(combining_class('a'), 0);
    EXPECT_EQ(combining_class(0x301), 230);
    EXPECT_EQ(combining_class(0x323), 220);
    EXPECT_EQ(combining_class(0x345), 240);
    EXPECT_EQ(combining_class(0x3099), 8);
    EXPECT_EQ(combining_class(0x10FFFF), 0);
}

TEST_F(Nfc, ComposesAndOrders)
{
    EXPECT_EQ(form_c(""), "");
    EXPECT_EQ(form_c("plain ASCII, and ümläuts that are composed"), "plain ASCII, and ümläuts that are composed");
    EXPECT_EQ(form_c(utf8({'e', 0x301})), "é");
    EXPECT_EQ(form_c(utf8({0x1E9B, 0x323})), utf8({0x1E9B, 0x323}));
    EXPECT_EQ(form_c(utf8({'q', 0x307, 0x323})), utf8({'q', 0x323, 0x307})) << "by class";
    EXPECT_EQ(form_c(utf8({'d', 0x307, 0x323})), utf8({0x1E0D, 0x307}));
    EXPECT_EQ(form_c(utf8({'u', 0x308, 0x301})), utf8({0x1D8})) << "twice";
    EXPECT_EQ(form_c(utf8({'a', 0x301, 0x301})), utf8({0xE1, 0x301})) << "blocked by its own class";
    EXPECT_EQ(form_c(utf8({0x301, 'a'})), utf8({0x301, 'a'})) << "nothing to combine with";
}

TEST_F(Nfc, SingletonsAndExclusions)
{
    EXPECT_EQ(form_c(utf8({0x212B})), "Å");
    EXPECT_EQ(form_c(utf8({0x2126})), "Ω");
    EXPECT_EQ(form_c(utf8({0xF900})), utf8({0x8C48})) << "a CJK compatibility ideograph";
    EXPECT_EQ(form_c(utf8({0x0958})), utf8({0x0915, 0x093C})) << "excluded from composition";
    EXPECT_EQ(form_c(utf8({0x0344})), utf8({0x308, 0x301}));
    EXPECT_EQ(form_c(utf8({0x1D160})), utf8({0x1D158, 0x1D165, 0x1D16E})) << "three times as long";
}

TEST_F(Nfc, Hangul)
{
    EXPECT_EQ(form_c(utf8({0x1112, 0x1161, 0x11AB})), "한");
    EXPECT_EQ(form_c(utf8({0x1112, 0x1161})), "하");
    EXPECT_EQ(form_c(utf8({0xD558, 0x11AB})), "한");
    EXPECT_EQ(form_c("한글"), "한글");
    EXPECT_EQ(form_c(utf8({0xD55C, 0x11AB})), utf8({0xD55C, 0x11AB})) << "there is a tail already";
    EXPECT_EQ(form_c(utf8({0x1112, 0x11AB})), utf8({0x1112, 0x11AB}));
}

TEST_F(Nfc, WhatIsNoUtf8Stays)
{
    EXPECT_EQ(form_c("\xFF\xCC\x80\xE2\x82"), "\xFF\xCC\x80\xE2\x82");
    EXPECT_EQ(form_c("e\xFF\xCC\x81"), "e\xFF\xCC\x81") << "nothing combines across it";
    std::mt19937 random(3);
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (size_t n = random() % 40; n > 0; --n) {
            text += static_cast<char>(random() % 3 == 0 ? 0xCC : 0x80 + random() % 128);
        }
        const std::string once = form_c(text);
        ASSERT_EQ(form_c(once), once);
    }
}

TEST_F(Nfc, LongRunsOfMarksInReasonableTime)
{
    std::string text = "a";
    while (text.size() + 4 <= kBytes) {
        text += utf8({0x301, 0x323});
    }
    const std::string normal = form_c(text);
    EXPECT_EQ(head(normal, 3), utf8({0x1EA1}));
    EXPECT_EQ(form_c(normal), normal);
}

TEST_F(Nfc, FullScratchIsAnError)
{
    Arena none;
    char out[16];
    EXPECT_FALSE(nfc("abc", out, none).ok());
}

} // namespace
} // namespace llmk
