// SPDX-License-Identifier: MIT
#include "platform/uefi/unicode.h"

#include <gtest/gtest.h>
#include <string>

namespace llmk::uefi {
namespace {

std::string round_trip(std::string_view utf8)
{
    char16_t wide[300];
    if (!utf8_to_utf16(utf8, wide)) {
        return "refused";
    }
    Text<1024> back;
    utf16_to_utf8(wide, back);
    return std::string(back.view());
}

std::u16string shown(char32_t character, Glyphs glyphs)
{
    char16_t itself;
    return std::u16string(shown_as(character, glyphs, itself));
}

TEST(Unicode, NamesComeBackAsTheyWere)
{
    for (const char* name :
         {"", "a", "EFI\\BOOT", "naïve “file”.gguf", "模型.bin", "😀", "\u07ff\u0800\uffff\U0010ffff"}) {
        EXPECT_EQ(round_trip(name), name);
    }
}

TEST(Unicode, RefusesWhatIsNotUtf8)
{
    for (const char* name : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
        EXPECT_EQ(round_trip(name), "refused");
    }
}

TEST(Unicode, RefusesWhatDoesNotFit)
{
    char16_t wide[6];
    EXPECT_TRUE(utf8_to_utf16("abcd", wide));
    EXPECT_EQ(std::u16string(wide), u"abcd");
    EXPECT_FALSE(utf8_to_utf16("abcde", wide)); // with room for a pair kept
    EXPECT_FALSE(utf8_to_utf16("abc😀😀", wide));
}

TEST(Unicode, LoneSurrogatesBecomeReplacements)
{
    const char16_t broken[] = {u'a', 0xd800, u'b', 0xdc00, 0xd800, 0};
    Text<64> out;
    utf16_to_utf8(broken, out);
    EXPECT_EQ(out.view(), "a\ufffdb\ufffd\ufffd");
}

TEST(Unicode, ScreenKeepsWhatTheFirmwareFontHas)
{
    for (char32_t character : std::u32string_view(U"éßÿ¿─│┌┼═║╬█░←↑→↓▲►▼◄")) {
        EXPECT_EQ(shown(character, Glyphs::screen), std::u16string(1, static_cast<char16_t>(character)));
    }
}

TEST(Unicode, ScreenGetsTheNearestItHas)
{
    EXPECT_EQ(shown(U'╭', Glyphs::screen), u"┌");
    EXPECT_EQ(shown(U'┃', Glyphs::screen), u"│");
    EXPECT_EQ(shown(U'▌', Glyphs::screen), u"█");
    EXPECT_EQ(shown(U'…', Glyphs::screen), u"...");
    EXPECT_EQ(shown(U'ř', Glyphs::screen), u"r");
    EXPECT_EQ(shown(0x00ad, Glyphs::screen), u"");
}

TEST(Unicode, TerminalsGetAsciiOnly)
{
    EXPECT_EQ(shown(U'é', Glyphs::ascii), u"e");
    EXPECT_EQ(shown(U'ß', Glyphs::ascii), u"ss");
    EXPECT_EQ(shown(U'ÿ', Glyphs::ascii), u"y");
    EXPECT_EQ(shown(U'Ā', Glyphs::ascii), u"A");
    EXPECT_EQ(shown(U'ſ', Glyphs::ascii), u"s");
    EXPECT_EQ(shown(U'╬', Glyphs::ascii), u"+");
    EXPECT_EQ(shown(U'─', Glyphs::ascii), u"-");
    EXPECT_EQ(shown(U'║', Glyphs::ascii), u"|");
    EXPECT_EQ(shown(U'“', Glyphs::ascii), u"\"");
    for (char32_t character = 0xa0; character < 0x30000; ++character) {
        for (char16_t c : shown(character, Glyphs::ascii)) {
            ASSERT_TRUE(c >= 0x20 && c < 0x7f) << std::hex << static_cast<uint32_t>(character);
        }
    }
}

TEST(Unicode, WhatHasNoWidthShowsNothing)
{
    for (char32_t character : {0x0301, 0x200b, 0x200d, 0x2060, 0xfe0f, 0xfeff, 0x1f3fd}) {
        EXPECT_EQ(shown(character, Glyphs::screen), u"");
        EXPECT_EQ(shown(character, Glyphs::ascii), u"");
    }
}

TEST(Unicode, OthersAreAQuestionMark)
{
    for (char32_t character : {U'你', U'Я', U'😀', char32_t{0xfffd}}) {
        EXPECT_EQ(shown(character, Glyphs::screen), u"?");
    }
}

} // namespace
} // namespace llmk::uefi
