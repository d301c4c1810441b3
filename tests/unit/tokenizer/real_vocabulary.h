// SPDX-License-Identifier: MIT
//
// Vocabularies for tests: put together by hand, or read from the files in the assets folder. Reads just enough of each
// format and trusts it; the product's own readers are src/format.
#pragma once

#include "fake/fake_platform.h"
#include "tokenizer/bpe.h"

#include <optional>
#include <string>
#include <vector>

namespace llmk {

/// Owns what a BpeVocabulary views.
struct OwnedVocabulary {
    std::string text;
    std::vector<VocabularyEntry> entries;
    std::vector<TokenType> types;
    std::string merge_text;
    std::vector<MergeSpelling> merges;
    SpecialTokens special;
    TokenizerFlags flags;
    std::string pre;
    std::string model; ///< tokenizer.ggml.model

    /// Appends an entry, spelled as given, and returns its id.
    Token add(const std::string& spelling, TokenType type = TokenType::normal, float score = 0);
    void add_merge(const std::string& spelling);
    std::string entry(Token token) const { return text.substr(entries[token].offset, entries[token].length); }
    BpeVocabulary view() const;
};

/// Bytes in GPT-2's alphabet.
std::string spelled(const std::string& bytes);

/// The 256 bytes as GPT-2's vocabulary has them, and nothing else: ids are bytes.
OwnedVocabulary byte_vocabulary();

/// A file of LLMK_ASSETS (../shared/assets beside the repository), whole; nothing when it is not there.
std::optional<std::string> asset(const std::string& path);

/// The tokenizer.ggml.* keys of a GGUF file of version 3. U+2581 becomes a blank when the model is "llama".
OwnedVocabulary read_gguf_vocabulary(const std::string& file);
/// GPT-2's encoder.json and vocab.bpe.
OwnedVocabulary read_encoder(const std::string& json, const std::string& bpe);
/// tiktoken's ranks, "BASE64 RANK" a line; merges are found by merging each token from its bytes.
OwnedVocabulary read_tiktoken(const std::string& file);

/// One of llama.cpp's tokenizer vectors.
struct TokenizerVector {
    std::string text;
    std::vector<Token> tokens;
};
std::vector<TokenizerVector> read_vectors(const std::string& inp, const std::string& out);

/// A tokenizer and the memory it stands in.
template <class T> class Loaded {
public:
    explicit Loaded(OwnedVocabulary owned);
    ~Loaded();
    std::vector<Token> encode(std::string_view text, BosRule bos = BosRule::omit,
                              SpecialText special = SpecialText::plain);
    std::string decode(const std::vector<Token>& tokens) const;

    OwnedVocabulary vocabulary;
    FakePlatform platform;
    Arena arena;
    Arena scratch;
    T tokenizer;
};

} // namespace llmk
