// SPDX-License-Identifier: MIT
//
// SentencePiece BPE against the plain way of doing it: look at all pairs, merge the best, look again.
#include "tokenizer/spm.h"

#include "fake/tiny_model.h"
#include "format/llama2c_tokenizer.h"
#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace llmk {
namespace {

struct Loaded {
    explicit Loaded(TinyVocabulary entries) : vocabulary(std::move(entries))
    {
        const auto file = tokenizer_file(vocabulary);
        platform.add_file("t.bin", file);
        const uint64_t bytes = llama2c::vocabulary_bytes(file.size(), vocabulary.size());
        EXPECT_TRUE(arena.add_extent(platform, bytes + SpmTokenizer::index_bytes(vocabulary.size())).ok());
        EXPECT_TRUE(scratch.add_extent(platform, SpmTokenizer::encode_bytes(4096)).ok());
        auto result = llama2c::load_vocabulary(platform, "t.bin", vocabulary.size(), arena);
        EXPECT_TRUE(result.ok());
        EXPECT_TRUE(tokenizer.build(result.value(), arena).ok());
    }
    ~Loaded()
    {
        arena.release(platform);
        scratch.release(platform);
    }
    std::vector<Token> encode(std::string_view text, BosRule bos = BosRule::add)
    {
        std::vector<Token> tokens(tokenizer.max_tokens(text.size()));
        auto count = tokenizer.encode(text, bos, tokens, scratch);
        EXPECT_TRUE(count.ok());
        EXPECT_EQ(scratch.used_bytes(), 0u) << "working memory goes back";
        tokens.resize(count.ok() ? count.value() : 0);
        return tokens;
    }
    std::string decode(const std::vector<Token>& tokens)
    {
        std::string text;
        Token previous = 0;
        for (const Token token : tokens) {
            if (token != SpmTokenizer::kBos) {
                text += tokenizer.piece(previous, token);
            }
            previous = token;
        }
        return text;
    }

    FakePlatform platform;
    TinyVocabulary vocabulary;
    Arena arena;
    Arena scratch;
    SpmTokenizer tokenizer;
};

/// The contract, the slow way.
std::vector<Token> plain_encode(const TinyVocabulary& vocabulary, const std::string& text)
{
    std::map<std::string, Token> ids;
    std::map<uint8_t, Token> byte_ids;
    for (size_t i = 0; i < vocabulary.size(); ++i) {
        const std::string& piece = vocabulary[i].first;
        unsigned byte = 0;
        if (piece.size() == 6 && std::sscanf(piece.c_str(), "<0x%02X>", &byte) == 1) {
            byte_ids[static_cast<uint8_t>(byte)] = static_cast<Token>(i);
        } else if (i > 2 && !piece.empty()) {
            ids.emplace(piece, static_cast<Token>(i)); // of equals the first
        }
    }
    std::vector<Token> result = {SpmTokenizer::kBos};
    if (text.empty()) {
        return result;
    }
    std::vector<std::string> symbols;
    const std::string all = " " + text;
    for (size_t i = 0; i < all.size();) {
        const size_t length = utf8_length(static_cast<uint8_t>(all[i]));
        symbols.push_back(all.substr(i, length));
        i += length;
    }
    for (;;) {
        size_t best = SIZE_MAX;
        float best_score = 0;
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto found = ids.find(symbols[i] + symbols[i + 1]);
            if (found != ids.end() && (best == SIZE_MAX || vocabulary[found->second].second > best_score)) {
                best = i;
                best_score = vocabulary[found->second].second;
            }
        }
        if (best == SIZE_MAX) {
            break;
        }
        symbols[best] += symbols[best + 1];
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
    for (const std::string& symbol : symbols) {
        if (const auto found = ids.find(symbol); found != ids.end()) {
            result.push_back(found->second);
            continue;
        }
        for (const char c : symbol) {
            const auto found = byte_ids.find(static_cast<uint8_t>(c));
            result.push_back(found == byte_ids.end() ? SpmTokenizer::kUnknown : found->second);
        }
    }
    return result;
}

/// A vocabulary with many ways to merge: all short strings over a few letters, with scores that often tie.
TinyVocabulary tangled(uint32_t seed)
{
    std::mt19937 random(seed);
    TinyVocabulary entries = tiny_vocabulary(259);
    for (const std::string letter : {"a", "b", "é", " "}) {
        entries.emplace_back(letter, -1000.0f);
    }
    for (int i = 0; i < 150; ++i) {
        std::string piece;
        for (size_t n = 2 + random() % 4; n > 0; --n) {
            const char* letters[] = {"a", "b", "é", " ", "a"};
            piece += letters[random() % 5];
        }
        entries.emplace_back(piece, -static_cast<float>(random() % 20));
    }
    return entries;
}

TEST(Spm, SameAsTheSlowWay)
{
    for (uint32_t seed = 1; seed <= 4; ++seed) {
        Loaded loaded(tangled(seed));
        std::mt19937 random(seed);
        for (int round = 0; round < 300; ++round) {
            std::string text;
            const char* letters[] = {"a", "b", "é", " ", "a", "b", "€", "\xE2\x82", "\xFF", "\n", "<"};
            const size_t variety = round % 2 == 0 ? 6 : 11; // every other text is full of what is no piece
            for (size_t n = random() % 40; n > 0; --n) {
                text += letters[random() % variety];
            }
            ASSERT_EQ(loaded.encode(text), plain_encode(loaded.vocabulary, text)) << seed << " \"" << text << '"';
        }
    }
}

TEST(Spm, RandomBytesComeBack)
{
    Loaded loaded(tiny_vocabulary(290));
    std::mt19937 random(9);
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (size_t n = 1 + random() % 60; n > 0; --n) {
            text += static_cast<char>(random());
        }
        const auto tokens = loaded.encode(text);
        ASSERT_EQ(tokens, plain_encode(loaded.vocabulary, text));
        ASSERT_EQ(loaded.decode(tokens), text);
        ASSERT_LE(tokens.size(), loaded.tokenizer.max_tokens(text.size()));
    }
}

TEST(Spm, EmptyAndSmallTexts)
{
    Loaded loaded(tiny_vocabulary(290));
    EXPECT_EQ(loaded.encode(""), std::vector<Token>{SpmTokenizer::kBos}) << "no dummy prefix alone";
    EXPECT_TRUE(loaded.encode("", BosRule::omit).empty());
    const Token blank = 267;
    ASSERT_EQ(loaded.vocabulary[blank].first, " ");
    EXPECT_EQ(loaded.encode("q"), (std::vector<Token>{1, blank, loaded.encode("q")[2]}));
    EXPECT_EQ(loaded.encode("q", BosRule::omit).size(), 2u);
    EXPECT_EQ(loaded.encode(" "), (std::vector<Token>{1, blank, blank}));
    EXPECT_EQ(loaded.vocabulary[loaded.encode("the")[1]].first, " the");
}

TEST(Spm, ControlAndBytePiecesAreNeverText)
{
    auto vocabulary = tiny_vocabulary(290);
    vocabulary[1].first = "<s>";
    vocabulary[2].first = "</s>";
    for (const char* piece : {"<", "s", ">", "<s", "</", "/", "0", "x", "A"}) {
        vocabulary.emplace_back(piece, -500.0f);
    }
    Loaded loaded(vocabulary);
    for (const char* text : {"<s>", "</s>", "<unk>", "<0x41>", "\n<s>\n"}) {
        for (const Token token : loaded.encode(text, BosRule::omit)) {
            EXPECT_GT(token, 2u) << text;
        }
        EXPECT_EQ(loaded.decode(loaded.encode(text)), text);
    }
}

TEST(Spm, WhatHasNoByteTokenIsUnknown)
{
    TinyVocabulary few = {{"<unk>", 0}, {"<s>", 0}, {"</s>", 0}, {"a", -1}, {" ", -2}, {" a", -3}};
    Loaded loaded(few);
    EXPECT_EQ(loaded.encode("a"), (std::vector<Token>{1, 5}));
    EXPECT_EQ(loaded.encode("\xC3\xA9"), (std::vector<Token>{1, 4, 0, 0}));
}

TEST(Spm, OfEqualPiecesTheFirstCounts)
{
    TinyVocabulary twins = {{"<unk>", 0}, {"<s>", 0}, {"</s>", 0}, {" ", -1},
                            {"a", -2},    {"a", -1},  {" a", -3},  {" a", 0}};
    Loaded loaded(twins);
    EXPECT_EQ(loaded.encode("a"), (std::vector<Token>{1, 6}));
}

TEST(Spm, PiecesOfTokens)
{
    Loaded loaded(tiny_vocabulary(290));
    const SpmTokenizer& tokenizer = loaded.tokenizer;
    const Token the = loaded.encode("the")[1];
    EXPECT_EQ(tokenizer.piece(SpmTokenizer::kBos, the), "the") << "the blank after BOS is an artefact";
    EXPECT_EQ(tokenizer.piece(the, the), " the");
    EXPECT_EQ(tokenizer.piece(SpmTokenizer::kEos, the), " the");
    for (int byte = 0; byte < 256; ++byte) {
        const Token token = static_cast<Token>(3 + byte);
        EXPECT_TRUE(tokenizer.is_byte(token));
        EXPECT_EQ(tokenizer.piece(the, token), std::string(1, static_cast<char>(byte)));
    }
    EXPECT_EQ(tokenizer.piece(SpmTokenizer::kBos, 3 + ' '), " ") << "a blank that is a byte token stays";
    EXPECT_FALSE(tokenizer.is_byte(the));
    EXPECT_FALSE(tokenizer.is_byte(99'999));
    EXPECT_EQ(tokenizer.piece(0, 290), "");
    EXPECT_EQ(tokenizer.piece(0, UINT32_MAX), "");
    EXPECT_EQ(tokenizer.vocab_size(), 290u);
}

TEST(Spm, FullScratchIsAnErrorAndTakesNothing)
{
    Loaded loaded(tiny_vocabulary(290));
    const std::string text(200, 'a');
    std::vector<Token> tokens(loaded.tokenizer.max_tokens(text.size()));
    const uint64_t needed = loaded.tokenizer.scratch_bytes(text.size());
    Arena tight;
    ASSERT_TRUE(tight.add_extent(loaded.platform, needed).ok());
    EXPECT_TRUE(loaded.tokenizer.encode(text, BosRule::add, tokens, tight).ok());
    // Every length of what is free, from nothing to almost enough.
    const uint64_t usable = Arena::usable_bytes(tight.size_bytes());
    for (uint64_t left = 0; left + 64 * 3 < needed; left += 256) {
        tight.clear();
        ASSERT_TRUE(tight.alloc(usable - left).ok());
        const uint64_t used = tight.used_bytes();
        const auto result = loaded.tokenizer.encode(text, BosRule::add, tokens, tight);
        if (!result.ok()) {
            EXPECT_EQ(result.error().status, Status::out_of_memory);
            EXPECT_EQ(tight.used_bytes(), used) << left;
        }
    }
    tight.release(loaded.platform);
}

TEST(Spm, LongTextsInReasonableTime)
{
    Loaded loaded(tangled(1));
    std::string text;
    while (text.size() < 60'000) {
        text += "ab a";
    }
    Arena scratch;
    ASSERT_TRUE(scratch.add_extent(loaded.platform, loaded.tokenizer.scratch_bytes(text.size())).ok());
    std::vector<Token> tokens(loaded.tokenizer.max_tokens(text.size()));
    const auto count = loaded.tokenizer.encode(text, BosRule::add, tokens, scratch);
    EXPECT_TRUE(count.ok()) << "rescanning would take minutes";
    scratch.release(loaded.platform);
}

} // namespace
} // namespace llmk
