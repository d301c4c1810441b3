// SPDX-License-Identifier: MIT
//
// Byte-level BPE against the plain way of doing it: look at all pairs, merge the one of lowest rank, look again.
#include "tokenizer/bpe.h"

#include "unit/tokenizer/real_vocabulary.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace llmk {
namespace {

using Bpe = Loaded<BpeTokenizer>;
using Tokens = std::vector<Token>;

/// Adds "left right" and the entry that it makes; returns that.
Token merge(OwnedVocabulary& v, const std::string& left, const std::string& right)
{
    v.add_merge(spelled(left) + " " + spelled(right));
    return v.add(spelled(left + right));
}

/// Bytes, "ab", " t", "he", " the", and the structure of a chat.
struct Small {
    Small()
    {
        v.pre = "gpt-2";
        ab = merge(v, "a", "b");
        he = merge(v, "h", "e");
        space_t = merge(v, " ", "t");
        the = merge(v, " t", "he");
        bos = v.add("<s>", TokenType::control);
        end = v.add("<|im_end|>", TokenType::control);
        blanks = v.add("    ", TokenType::user_defined);
        longer = v.add("<s>>", TokenType::control);
        unused = v.add("abab", TokenType::unused);
        v.special.bos = bos;
        v.special.eos = end;
    }
    OwnedVocabulary v = byte_vocabulary();
    Token ab, he, space_t, the, bos, end, blanks, longer, unused;
};

/// The contract, the slow way; words are those of the pre-tokenizer.
Tokens plain_encode(const OwnedVocabulary& v, const std::string& text)
{
    std::map<std::string, Token> ids;
    std::map<std::pair<std::string, std::string>, size_t> ranks;
    for (Token token = 0; token < v.entries.size(); ++token) {
        ids.emplace(v.entry(token), token);
    }
    for (size_t i = 0; i < v.merges.size(); ++i) {
        const std::string both = v.merge_text.substr(v.merges[i].offset, v.merges[i].length);
        ranks.emplace(std::pair(both.substr(0, both.find(' ')), both.substr(both.find(' ') + 1)), i);
    }
    std::vector<std::string> words;
    pre_tokenize(*find_pre_tokenizer(v.pre), text, &words, [](void* context, std::string_view word) {
        static_cast<std::vector<std::string>*>(context)->emplace_back(word);
    });
    Tokens result;
    for (const std::string& word : words) {
        std::vector<std::string> symbols;
        for (const char c : word) {
            symbols.push_back(spelled(std::string(1, c)));
        }
        for (;;) {
            size_t best = SIZE_MAX;
            size_t best_rank = SIZE_MAX;
            for (size_t i = 0; i + 1 < symbols.size(); ++i) {
                const auto found = ranks.find({symbols[i], symbols[i + 1]});
                if (found != ranks.end() && found->second < best_rank) {
                    best = i;
                    best_rank = found->second;
                }
            }
            if (best == SIZE_MAX) {
                break;
            }
            symbols[best] += symbols[best + 1];
            symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
        }
        size_t at = 0;
        for (const std::string& symbol : symbols) {
            const auto found = ids.find(symbol);
            size_t bytes = 0;
            while (spelled(word.substr(at, bytes)) != symbol) {
                ++bytes;
            }
            if (found != ids.end()) {
                result.push_back(found->second);
            } else {
                for (const char c : word.substr(at, bytes)) {
                    result.push_back(static_cast<uint8_t>(c));
                }
            }
            at += bytes;
        }
    }
    return result;
}

/// Many ways to merge: pairs of what is there already, some of whose results are no entries.
OwnedVocabulary tangled(uint32_t seed, bool with_gaps)
{
    std::mt19937 random(seed);
    OwnedVocabulary v = byte_vocabulary();
    v.pre = "gpt-2";
    std::vector<std::string> known = {"a", "b", "\xC3", "\xA9", " ", "1"};
    std::map<std::string, bool> seen;
    for (int i = 0; i < 120; ++i) {
        const std::string left = known[random() % known.size()];
        const std::string right = known[random() % known.size()];
        if (left.size() + right.size() > 9) {
            continue;
        }
        v.add_merge(spelled(left) + " " + spelled(right));
        const bool is_entry = !with_gaps || random() % 4 != 0;
        if (!seen[left + right] && is_entry) {
            v.add(spelled(left + right));
        }
        seen[left + right] = seen[left + right] || is_entry;
        known.push_back(left + right);
    }
    return v;
}

TEST(Bpe, SameAsTheSlowWay)
{
    for (uint32_t seed = 1; seed <= 8; ++seed) {
        Bpe loaded(tangled(seed, seed % 2 == 0));
        std::mt19937 random(seed);
        for (int round = 0; round < 200; ++round) {
            std::string text;
            const char* letters[] = {"a", "b", "é", "ab", "a", "é", " ", "1", "\xFF", "€"};
            for (size_t n = random() % 40; n > 0; --n) {
                text += letters[random() % 10];
            }
            const Tokens tokens = loaded.encode(text);
            ASSERT_EQ(tokens, plain_encode(loaded.vocabulary, text)) << seed << " \"" << text << '"';
            ASSERT_EQ(loaded.decode(tokens), text);
        }
    }
}

TEST(Bpe, RandomBytesComeBack)
{
    for (const PreTokenizer& pre : pre_tokenizers()) {
        if (pre.normalization != Normalization::none) {
            continue;
        }
        OwnedVocabulary v = tangled(3, true);
        v.pre = pre.name;
        Bpe loaded(std::move(v));
        std::mt19937 random(5);
        for (int round = 0; round < 60; ++round) {
            std::string text;
            for (size_t n = random() % 60; n > 0; --n) {
                text += static_cast<char>(random());
            }
            ASSERT_EQ(loaded.decode(loaded.encode(text)), text) << pre.name;
        }
    }
}

TEST(Bpe, MergesByRankThenFromTheLeft)
{
    Small s;
    Bpe loaded(s.v);
    EXPECT_EQ(loaded.encode(""), Tokens());
    EXPECT_EQ(loaded.encode("abab"), (Tokens{s.ab, s.ab})) << "an unused entry is never made";
    EXPECT_EQ(loaded.encode("the the"), (Tokens{'t', s.he, s.the}));
    EXPECT_EQ(loaded.encode("aab"), (Tokens{'a', s.ab}));
    EXPECT_EQ(loaded.encode("é"), (Tokens{0xC3, 0xA9}));
}

TEST(Bpe, SpecialTokensInTemplatesOnly)
{
    Small s;
    Bpe loaded(s.v);
    const Tokens as_text = loaded.encode("<s>ab<|im_end|>");
    EXPECT_EQ(loaded.decode(as_text), "<s>ab<|im_end|>");
    EXPECT_EQ(std::count(as_text.begin(), as_text.end(), s.bos), 0);
    EXPECT_EQ(loaded.encode("<s>ab<|im_end|>", BosRule::omit, SpecialText::parse), (Tokens{s.bos, s.ab, s.end}));
    EXPECT_EQ(loaded.encode("<s>>ab<s", BosRule::omit, SpecialText::parse), (Tokens{s.longer, s.ab, '<', 's'}))
        << "the longest wins, half of one is text";
    for (const SpecialText special : {SpecialText::plain, SpecialText::parse}) {
        EXPECT_EQ(loaded.encode("ab      ab", BosRule::omit, special), (Tokens{s.ab, s.blanks, ' ', ' ', s.ab}))
            << "user-defined ones are found anywhere";
    }
}

TEST(Bpe, WhatGoesAroundAText)
{
    Small s;
    EXPECT_EQ(Bpe(s.v).encode("ab", BosRule::add), Tokens{s.ab}) << "GPT-2 has no BOS in front";
    s.v.flags.add_bos = true;
    s.v.flags.add_eos = true;
    Bpe loaded(s.v);
    EXPECT_EQ(loaded.encode("ab", BosRule::add), (Tokens{s.bos, s.ab, s.end}));
    EXPECT_EQ(loaded.encode("", BosRule::add), (Tokens{s.bos, s.end}));
    EXPECT_EQ(loaded.encode("ab", BosRule::omit), Tokens{s.ab});
    s.v.flags = {};
    s.v.pre = "llama-bpe";
    EXPECT_EQ(Bpe(s.v).encode("ab", BosRule::add), (Tokens{s.bos, s.ab})) << "Llama 3 has, if not told otherwise";
    s.v.special.bos = 99'999;
    EXPECT_EQ(Bpe(s.v).encode("ab", BosRule::add), Tokens{s.ab}) << "an id past the end is none";
    EXPECT_EQ(Bpe(s.v).tokenizer.bos(), kNoToken);
}

TEST(Bpe, WholeWordsWhereMergesAreIgnored)
{
    OwnedVocabulary v = byte_vocabulary();
    const Token whole = v.add("xyz");
    v.pre = "gpt-2";
    EXPECT_EQ(Bpe(v).encode("xyz"), (Tokens{'x', 'y', 'z'}));
    v.flags.ignore_merges = true;
    EXPECT_EQ(Bpe(v).encode("xyz xyz"), (Tokens{whole, ' ', 'x', 'y', 'z'}));
    v.flags = {};
    v.pre = "llama-bpe";
    EXPECT_EQ(Bpe(v).encode("xyz"), Tokens{whole}) << "Llama 3 says so by its name";
}

TEST(Bpe, MergesThroughWhatIsNoEntry)
{
    OwnedVocabulary v = byte_vocabulary();
    v.pre = "gpt-2";
    v.add_merge("a b"); // "ab" is no entry
    const Token abc = merge(v, "ab", "c");
    Bpe loaded(v);
    EXPECT_EQ(loaded.encode("abc"), Tokens{abc});
    EXPECT_EQ(loaded.encode("ab"), (Tokens{'a', 'b'})) << "in bytes";
}

TEST(Bpe, BytesWithoutEntries)
{
    OwnedVocabulary v;
    v.pre = "gpt-2";
    const Token a = v.add("a");
    EXPECT_EQ(Bpe(v).encode("a?a"), (Tokens{a, a})) << "nothing can stand for it";
    v.special.unk = v.add("<unk>", TokenType::unknown);
    EXPECT_EQ(Bpe(v).encode("a?a"), (Tokens{a, *v.special.unk, a}));
}

TEST(Bpe, QwenTextIsNormalized)
{
    OwnedVocabulary v = byte_vocabulary();
    v.pre = "qwen2";
    const Token e_acute = merge(v, "\xC3", "\xA9");
    Bpe loaded(v);
    EXPECT_EQ(loaded.encode("e\u0301"), Tokens{e_acute});
    EXPECT_EQ(loaded.encode("é"), Tokens{e_acute});
    const std::string longest = "\U0001D160"; // four bytes become twelve
    EXPECT_EQ(loaded.encode(longest).size(), 12u);
    v.pre = "llama-bpe";
    EXPECT_EQ(Bpe(v).encode("e\u0301"), (Tokens{'e', 0xCC, 0x81}));
}

TEST(Bpe, PiecesNamesAndKinds)
{
    Small s;
    const Token turn = s.v.add("<|eot_id|>", TokenType::normal);
    s.v.add("</s>", TokenType::normal);
    s.v.add("raw text", TokenType::normal);
    Bpe loaded(s.v);
    const BpeTokenizer& t = loaded.tokenizer;
    EXPECT_EQ(t.vocab_size(), s.v.entries.size());
    EXPECT_EQ(t.piece(0, s.the), " the");
    EXPECT_EQ(t.piece(0, 0xE9), "\xE9");
    EXPECT_EQ(t.piece(0, s.blanks), "    ");
    EXPECT_EQ(t.piece(0, s.bos), "") << "structure is not printed";
    EXPECT_EQ(t.name(s.bos), "<s>");
    EXPECT_EQ(t.piece(0, turn + 2), "raw text") << "not GPT-2's alphabet: as it stands";
    EXPECT_EQ(t.piece(0, 99'999), "");
    EXPECT_EQ(t.name(99'999), "");
    EXPECT_TRUE(t.is_control(s.bos));
    EXPECT_FALSE(t.is_control(s.the));
    EXPECT_FALSE(t.is_control(99'999));
    EXPECT_TRUE(t.is_end(s.end));
    EXPECT_TRUE(t.is_end(turn)) << "by its name, whatever the file says";
    EXPECT_TRUE(t.is_control(turn));
    EXPECT_FALSE(t.is_end(turn + 1)) << "a piece of text that merely looks like one";
    EXPECT_FALSE(t.is_end(s.bos));
    EXPECT_FALSE(t.is_end(kNoToken));
    EXPECT_FALSE(t.is_byte(0xE9));
}

Status build_status(const OwnedVocabulary& v, const std::string& pre, uint64_t arena_bytes = 1 << 20)
{
    FakePlatform platform;
    Arena arena;
    EXPECT_TRUE(arena.add_extent(platform, arena_bytes).ok());
    BpeTokenizer tokenizer;
    const auto built = tokenizer.build(v.view(), pre, arena);
    arena.release(platform);
    return built.ok() ? Status::ok : built.error().status;
}

TEST(Bpe, WhatAFileGetsWrong)
{
    OwnedVocabulary v = byte_vocabulary();
    EXPECT_EQ(build_status(v, "gpt-2"), Status::ok);
    EXPECT_EQ(build_status(v, "klingon"), Status::unsupported);
    EXPECT_EQ(build_status({}, "gpt-2"), Status::ok) << "no entries at all";
    for (const char* spelling : {"", " ", "ab", "a ", " a", " b c"}) {
        OwnedVocabulary bad = v;
        bad.add_merge(spelling);
        const bool two_parts = std::string_view(spelling) == " b c"; // " b" and "c", whatever that is
        EXPECT_EQ(build_status(bad, "gpt-2"), two_parts ? Status::ok : Status::bad_format) << '"' << spelling << '"';
    }
    OwnedVocabulary types = v;
    types.types.pop_back();
    EXPECT_EQ(build_status(types, "gpt-2"), Status::bad_format);
    types.types.clear();
    EXPECT_EQ(build_status(types, "gpt-2"), Status::ok) << "no types: all normal";
    EXPECT_EQ(build_status(v, "gpt-2", 64), Status::out_of_memory);
}

TEST(Bpe, IndexBytesIsEnough)
{
    for (const bool gaps : {false, true}) {
        for (uint32_t seed = 1; seed < 20; ++seed) {
            const OwnedVocabulary v = tangled(seed, gaps);
            const uint64_t bytes =
                BpeTokenizer::index_bytes(v.entries.size(), v.text.size(), v.merges.size(), v.merge_text.size());
            ASSERT_EQ(build_status(v, "gpt-2", bytes), Status::ok);
        }
    }
}

TEST(Bpe, ScratchBytesIsEnough)
{
    for (const char* pre : {"gpt-2", "qwen2"}) {
        OwnedVocabulary v = tangled(1, false);
        v.pre = pre;
        Bpe loaded(std::move(v));
        for (const size_t size : {1, 7, 64, 1000}) {
            for (const std::string unit : {"a", "é", "\u0344", "\U0001D160"}) {
                std::string text;
                while (text.size() < size) {
                    text += unit;
                }
                Arena exact;
                ASSERT_TRUE(exact.add_extent(loaded.platform, loaded.tokenizer.scratch_bytes(text.size())).ok());
                EXPECT_LE(loaded.tokenizer.scratch_bytes(text.size()), BpeTokenizer::encode_bytes(text.size()));
                Tokens tokens(loaded.tokenizer.max_tokens(text.size()));
                EXPECT_TRUE(loaded.tokenizer.encode(text, BosRule::add, tokens, exact).ok()) << pre << size;
                exact.release(loaded.platform);
            }
        }
        Arena none;
        Tokens tokens(16);
        EXPECT_FALSE(loaded.tokenizer.encode("ab", BosRule::add, tokens, none).ok());
    }
}

TEST(Bpe, LongWordsInReasonableTime)
{
    Bpe loaded(tangled(1, false));
    std::string text;
    while (text.size() < 60'000) {
        text += "aba";
    }
    EXPECT_EQ(loaded.decode(loaded.encode(text)), text) << "rescanning would take minutes";
}

} // namespace
} // namespace llmk
