// SPDX-License-Identifier: MIT
//
// SentencePiece BPE with scores (Kudo and Richardson 2018, arXiv:1808.06226), as Llama 1 and 2 and llama2.c use it: a
// blank in front, characters first, then the neighbouring pair whose joined piece has the highest score is merged, the
// leftmost of equals, until none is left; what is no piece becomes byte tokens. U+2581 in a text is a blank. Before all
// that, special entries are cut out of the text (src/tokenizer/special.h). Where sentencepiece and llama.cpp differ (a
// blank also behind a special entry) it does as llama.cpp, whose files these are.
#pragma once

#include "llmk/vocabulary.h"
#include "tokenizer/special.h"

namespace llmk {

class SpmTokenizer final : public Tokenizer {
public:
    // Of vocabularies that do not say, as llama2.c's.
    static constexpr Token kUnknown = 0;
    static constexpr Token kBos = 1;
    static constexpr Token kEos = 2;

    /// Bytes that build() takes from the arena at most for a vocabulary of this size, pieces and text not included.
    static uint64_t index_bytes(uint64_t vocab_size);

    /// Adopts the vocabulary, whose memory must live as long as this, and builds the index in `arena`.
    /// Status::bad_format when `types` is not as long as `entries`.
    Result<void> build(const Vocabulary& vocabulary, Arena& arena);

    uint32_t vocab_size() const override { return static_cast<uint32_t>(m_vocabulary.entries.size()); }
    Token bos() const override { return m_bos; }
    Token eos() const override { return m_eos; }
    bool is_end(Token token) const override { return token == m_eos || m_ends.contains(token); }
    bool is_control(Token token) const override;
    uint64_t max_tokens(uint64_t text_bytes) const override
    {
        return m_special.empty() ? text_bytes + 2 : most_tokens(text_bytes);
    }
    /// max_tokens of any vocabulary, for planning: each special entry may bring a blank behind it.
    static uint64_t most_tokens(uint64_t text_bytes) { return 2 * text_bytes + 3; }
    uint64_t scratch_bytes(uint64_t text_bytes) const override { return encode_bytes(text_bytes); }
    /// scratch_bytes before there is a tokenizer, for planning.
    static uint64_t encode_bytes(uint64_t text_bytes);
    std::string_view piece(Token previous, Token token) const override;
    std::string_view name(Token token) const override;
    bool is_byte(Token token) const override { return token < m_vocabulary.entries.size() && byte_value(token) >= 0; }

private:
    static constexpr uint32_t kNone = 0xffffffffu;

    Result<size_t> encode_text(const MarkedText& marked, BosRule bos, TextStart start, std::span<Token> out,
                               Arena& scratch) const override;
    /// Appends the ids of a text without special entries, which is not empty.
    Result<void> encode_fragment(std::string_view text, bool blank_in_front, std::span<Token> out, size_t& count,
                                 Arena& scratch) const;
    /// 0..255 for a byte token, spelled "<0xNN>", else -1.
    int byte_value(Token token) const;
    uint32_t find(std::string_view piece) const;
    void add_to_index(Token token);

    Vocabulary m_vocabulary;
    SpecialIndex m_special;
    EndTokens m_ends;
    Token m_unknown = kUnknown;
    Token m_bos = kBos;
    Token m_eos = kEos;
    bool m_add_bos = true;
    bool m_add_eos = false;
    bool m_add_blank = true;
    uint32_t* m_index = nullptr; ///< open addressing, kNone is free; a power of two long
    uint32_t m_index_mask = 0;
    Token m_byte_tokens[256];
    char m_bytes[256]; ///< what piece() of a byte token points into
};

} // namespace llmk
