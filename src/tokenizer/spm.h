// SPDX-License-Identifier: MIT
//
// SentencePiece BPE with scores (Kudo and Richardson 2018, arXiv:1808.06226), as Llama 1 and 2 and llama2.c use it: a
// blank in front, characters first, then the neighbouring pair whose joined piece has the highest score is merged, the
// leftmost of equals, until none is left; what is no piece becomes byte tokens.
#pragma once

#include "llmk/vocabulary.h"
#include "tokenizer/tokenizer.h"

namespace llmk {

class SpmTokenizer final : public Tokenizer {
public:
    static constexpr Token kUnknown = 0;
    static constexpr Token kBos = 1;
    static constexpr Token kEos = 2;

    /// Bytes that build() takes from the arena for a vocabulary of this size, pieces and text not included.
    static uint64_t index_bytes(uint64_t vocab_size);

    /// Adopts the vocabulary, whose memory must live as long as this, and builds the index in `arena`.
    Result<void> build(const Vocabulary& vocabulary, Arena& arena);

    uint32_t vocab_size() const override { return static_cast<uint32_t>(m_vocabulary.entries.size()); }
    Token bos() const override { return kBos; }
    Token eos() const override { return kEos; }
    uint64_t max_tokens(uint64_t text_bytes) const override { return text_bytes + 2; }
    uint64_t scratch_bytes(uint64_t text_bytes) const override { return encode_bytes(text_bytes); }
    /// scratch_bytes before there is a tokenizer, for planning.
    static uint64_t encode_bytes(uint64_t text_bytes);
    Result<size_t> encode(std::string_view text, BosRule bos, std::span<Token> out, Arena& scratch) const override;
    std::string_view piece(Token previous, Token token) const override;
    bool is_byte(Token token) const override { return token < m_vocabulary.entries.size() && byte_value(token) >= 0; }

private:
    static constexpr uint32_t kNone = 0xffffffffu;

    /// 0..255 when the piece is spelled "<0xNN>", else -1.
    int byte_value(Token token) const;
    uint32_t find(std::string_view piece) const;

    Vocabulary m_vocabulary;
    uint32_t* m_index = nullptr; ///< open addressing, kNone is free; a power of two long
    uint32_t m_index_mask = 0;
    Token m_byte_tokens[256];
    char m_bytes[256]; ///< what piece() of a byte token points into
};

} // namespace llmk
