// SPDX-License-Identifier: MIT
//
// Tokens that stand apart from the merging: control tokens, added tokens, and those that end an answer. Owns how they
// are found in a text; what is between them is the tokenizer's.
#pragma once

#include "llmk/vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace llmk {

/// The entry's type; control when its name can only be the end of a turn ("<|im_end|>"), which files get wrong.
TokenType effective_type(const Vocabulary& vocabulary, Token token);

/// True when the token was made for templates only.
constexpr bool is_structure(TokenType type) { return type == TokenType::control || type == TokenType::unknown; }

/// The tokens that end an answer.
class EndTokens {
public:
    /// Takes the file's ids and those control tokens whose names end an answer in every model that has them: the files
    /// say EOS, but often not the others.
    void build(const Vocabulary& vocabulary);
    bool contains(Token token) const;

private:
    void add(Token token);

    static constexpr size_t kMost = 24;
    Token m_tokens[kMost];
    size_t m_count = 0;
};

/// Finds control and added tokens in a text: leftmost, then longest.
class SpecialIndex {
public:
    static uint64_t index_bytes(uint64_t vocab_size);

    /// Indexes the control, unknown and user-defined entries, but for empty ones. What `vocabulary` views must live as
    /// long as this.
    Result<void> build(const Vocabulary& vocabulary, Arena& arena);

    bool empty() const { return m_sorted.empty(); }

    struct Match {
        size_t begin; ///< text.size() when there is none
        size_t end;
        Token token;
    };
    /// The first at `from` or after it. What a person typed has user-defined ones only.
    Match find(const MarkedText& marked, size_t from) const;

private:
    /// The longest one that begins at the start of `text`, structure within its first `structure_bytes` only; or
    /// kNoToken.
    Token longest_at(std::string_view text, size_t structure_bytes) const;

    Vocabulary m_vocabulary;
    std::span<Token> m_sorted; ///< by their bytes
    bool m_first_bytes[256] = {};
};

} // namespace llmk
