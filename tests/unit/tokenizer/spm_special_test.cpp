// SPDX-License-Identifier: MIT
//
// SentencePiece vocabularies that say what their entries are: control and added tokens, flags, ends.
#include "tokenizer/spm.h"

#include "unit/tokenizer/real_vocabulary.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

using Spm = Loaded<SpmTokenizer>;
using Tokens = std::vector<Token>;

struct Small {
    Small()
    {
        unk = v.add("<unk>", TokenType::unknown);
        bos = v.add("<s>", TokenType::control);
        eos = v.add("</s>", TokenType::control);
        for (int byte = 0; byte < 256; ++byte) {
            char spelling[8];
            snprintf(spelling, sizeof spelling, "<0x%02X>", static_cast<unsigned>(byte));
            v.add(spelling, TokenType::byte);
        }
        blank = v.add(" ", TokenType::normal, -3);
        a = v.add("a", TokenType::normal, -4);
        blank_a = v.add(" a", TokenType::normal, -1);
        user = v.add("<|user|>", TokenType::control);
        turn = v.add("<end_of_turn>", TokenType::control);
        lines = v.add("\n\n", TokenType::user_defined);
    }
    OwnedVocabulary v;
    Token unk, bos, eos, blank, a, blank_a, user, turn, lines;
};

TEST(SpmSpecial, InTemplatesOnly)
{
    Small s;
    Spm loaded(s.v);
    const std::string text = "<|user|>a</s>";
    const Tokens plain = loaded.encode(text);
    EXPECT_EQ(loaded.decode(plain), " " + text);
    EXPECT_EQ(std::count(plain.begin(), plain.end(), s.user), 0);
    EXPECT_EQ(loaded.encode(text, BosRule::add, SpecialText::parse), (Tokens{s.bos, s.user, s.blank_a, s.eos}));
    EXPECT_EQ(loaded.encode("a<s>aa", BosRule::omit, SpecialText::parse), (Tokens{s.blank_a, s.bos, s.blank_a, s.a}))
        << "a blank in front of the text, and behind each";
}

TEST(SpmSpecial, AddedOnesAnywhere)
{
    Small s;
    for (const SpecialText special : {SpecialText::plain, SpecialText::parse}) {
        EXPECT_EQ(Spm(s.v).encode("a\n\na", BosRule::omit, special), (Tokens{s.blank_a, s.lines, s.blank_a}));
    }
}

TEST(SpmSpecial, AVocabularyOfCharactersHasNoEnds)
{
    OwnedVocabulary v;
    for (const char* text : {"a", "b", "c", "d"}) {
        v.add(text, TokenType::normal);
    }
    v.flags.add_space_prefix = false;
    Spm loaded(v);
    EXPECT_EQ(loaded.tokenizer.bos(), kNoToken);
    EXPECT_EQ(loaded.tokenizer.eos(), kNoToken);
    EXPECT_EQ(loaded.encode("cab"), (Tokens{2, 0, 1}));
    for (Token token = 0; token < 4; ++token) {
        EXPECT_FALSE(loaded.tokenizer.is_end(token)) << token;
    }
}

TEST(SpmSpecial, SentencePiecesOwnBlankIsABlank)
{
    Small s;
    Spm loaded(s.v);
    EXPECT_EQ(loaded.encode("\u2581a\u2581", BosRule::omit), (Tokens{s.blank, s.blank_a, s.blank}));
    // Its first two bytes alone are bytes.
    const Token first_byte = s.eos + 1;
    EXPECT_EQ(loaded.encode("\xE2\x96", BosRule::omit), (Tokens{s.blank, first_byte + 0xE2, first_byte + 0x96}));
}

TEST(SpmSpecial, Flags)
{
    Small s;
    s.v.flags.add_bos = false;
    s.v.flags.add_eos = true;
    s.v.flags.add_space_prefix = false;
    EXPECT_EQ(Spm(s.v).encode("a", BosRule::add), (Tokens{s.a, s.eos}));
    EXPECT_EQ(Spm(s.v).encode("", BosRule::add), Tokens{s.eos});
    s.v.flags = {};
    EXPECT_EQ(Spm(s.v).encode("a", BosRule::add), (Tokens{s.bos, s.blank_a}));
    EXPECT_EQ(Spm(s.v).encode("", BosRule::add), Tokens{s.bos});
}

TEST(SpmSpecial, EndsAndKinds)
{
    Small s;
    s.v.special.eot = s.user;
    Spm loaded(s.v);
    for (const Token token : {s.eos, s.turn, s.user}) {
        EXPECT_TRUE(loaded.tokenizer.is_end(token)) << token;
    }
    EXPECT_FALSE(loaded.tokenizer.is_end(s.bos));
    EXPECT_TRUE(loaded.tokenizer.is_control(s.user));
    EXPECT_TRUE(loaded.tokenizer.is_control(s.unk));
    EXPECT_FALSE(loaded.tokenizer.is_control(s.lines));
    EXPECT_FALSE(loaded.tokenizer.is_control(kNoToken));
    EXPECT_EQ(loaded.tokenizer.piece(0, s.user), "");
    EXPECT_EQ(loaded.tokenizer.name(s.user), "<|user|>");
    EXPECT_EQ(loaded.tokenizer.name(kNoToken), "");
}

TEST(SpmSpecial, RoomForTheWorst)
{
    Small s;
    s.v.flags.add_eos = true;
    const Token one = s.v.add("x", TokenType::user_defined);
    Spm loaded(s.v);
    const Tokens tokens = loaded.encode("xqxqxq", BosRule::add);
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), one), 3);
    EXPECT_EQ(tokens.size(), 2 + 3 * 3u) << "each q with a blank of its own";
    EXPECT_LE(tokens.size(), loaded.tokenizer.max_tokens(6));
}

TEST(SpmSpecial, TypesOfAnotherLength)
{
    Small s;
    s.v.types.pop_back();
    FakePlatform platform;
    Arena arena;
    ASSERT_TRUE(arena.add_extent(platform, 1 << 20).ok());
    SpmTokenizer tokenizer;
    EXPECT_EQ(tokenizer.build(s.v.view(), arena).error().status, Status::bad_format);
    arena.release(platform);
}

} // namespace
} // namespace llmk
