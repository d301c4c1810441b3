// SPDX-License-Identifier: MIT
//
// Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909, over bytes as GPT-2 has it): a text is cut into words
// (src/tokenizer/pretokenize.h), a word into bytes, and the neighbouring pair that stands first in the file's list of
// merges is joined, the leftmost of equals, until none of the list is left. A merge is a pair of texts: either side,
// and the whole, may be absent from the vocabulary.
//
// Differs from llama.cpp on purpose: the text is normalized to form C where the models were trained so (a row of
// src/tokenizer/pretokenize.h says it); a byte that is no UTF-8 stays itself instead of becoming U+FFFD.
#pragma once

#include "llmk/vocabulary.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/special.h"

namespace llmk {

class BpeTokenizer final : public Tokenizer {
public:
    /// Bytes that build() takes from the arena at most, for planning before there is a vocabulary: numbers of entries
    /// and merges, and bytes of their spellings.
    static uint64_t index_bytes(uint64_t entries, uint64_t text_bytes, uint64_t merges, uint64_t merge_text_bytes);

    /// Copies what it needs of the vocabulary into `arena`, which must live as long as this; the views may go. `pre` is
    /// tokenizer.ggml.pre; empty is "default". Status::unsupported names a pre-tokenizer that is not known.
    /// Status::bad_format when a merge has no blank or `types` is not as long as `entries`.
    Result<void> build(const BpeVocabulary& vocabulary, std::string_view pre, Arena& arena);

    uint32_t vocab_size() const override { return static_cast<uint32_t>(m_pieces.entries.size()); }
    Token bos() const override { return m_bos; }
    Token eos() const override { return m_eos; }
    bool is_end(Token token) const override { return m_ends.contains(token); }
    bool is_control(Token token) const override;
    uint64_t max_tokens(uint64_t text_bytes) const override { return word_bytes(text_bytes) + 2; }
    uint64_t scratch_bytes(uint64_t text_bytes) const override;
    /// scratch_bytes of whichever pre-tokenizer takes most, for planning before there is one.
    static uint64_t encode_bytes(uint64_t text_bytes);
    std::string_view piece(Token previous, Token token) const override;
    /// As piece(), bytes and not GPT-2's alphabet; but control tokens have names.
    std::string_view name(Token token) const override;
    bool is_byte(Token token) const override;

    const PreTokenizer& pre_tokenizer() const { return *m_pre; }

private:
    struct Merge {
        uint32_t offset; ///< of both sides, joined, in m_merge_text
        uint32_t length;
        uint32_t left; ///< bytes of the left side
    };
    struct Work;

    Result<size_t> encode_text(const MarkedText& marked, BosRule bos, TextStart start, std::span<Token> out,
                               Arena& scratch) const override;
    Result<void> encode_fragment(std::string_view text, Work& work, Arena& scratch) const;
    void encode_word(std::string_view word, Work& work) const;
    void merge_pairs(std::string_view word, Work& work) const;
    void put_piece(std::string_view piece, Work& work) const;

    Result<void> build_pieces(const Vocabulary& vocabulary, Arena& arena);
    Result<void> build_merges(const BpeVocabulary& vocabulary, Arena& arena);
    Token find(std::string_view piece) const;
    /// The rank of joining the first `left` bytes of `joined` with the rest, or kNoRank.
    uint32_t rank(std::string_view joined, size_t left) const;

    uint64_t word_bytes(uint64_t text_bytes) const;

    static constexpr uint32_t kNoRank = 0xffffffffu;

    const PreTokenizer* m_pre = nullptr;
    Vocabulary m_pieces;         ///< decoded; types are effective ones
    uint32_t* m_index = nullptr; ///< of pieces by their bytes: open addressing, kNoToken is free; a power of two long
    uint32_t m_index_mask = 0;
    std::span<Merge> m_merges;
    const char* m_merge_text = nullptr;
    uint32_t* m_ranks = nullptr; ///< of merges by both sides, likewise
    uint32_t m_rank_mask = 0;
    uint32_t m_longest_merge = 0; ///< bytes
    Token m_byte_tokens[256];
    SpecialIndex m_special;
    EndTokens m_ends;
    Token m_bos = kNoToken;
    Token m_eos = kNoToken;
    Token m_unknown = kNoToken;
    bool m_add_bos = false;
    bool m_add_eos = false;
    bool m_ignore_merges = false;
};

} // namespace llmk
