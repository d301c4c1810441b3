// SPDX-License-Identifier: MIT
//
// The tokenizer that a vocabulary asks for: reads the vocabulary and builds its index, and says beforehand how much
// memory that takes.
#pragma once

#include "format/vocabularies.h"
#include "tokenizer/bpe.h"
#include "tokenizer/spm.h"

namespace llmk {

class LoadedTokenizer {
public:
    /// Bytes of arena that load() takes at most.
    static uint64_t bytes(const VocabularyDesc& desc);
    /// Bytes of scratch for the ids and the encoding of a text of so many bytes, with any vocabulary of this kind.
    static uint64_t encode_bytes(const VocabularyDesc& desc, uint64_t text_bytes);

    /// Status::unsupported for a pre-tokenizer that is not known.
    Result<void> load(Platform& platform, const VocabularyDesc& desc, Arena& arena);
    /// Null before load().
    const Tokenizer* get() const { return m_tokenizer; }

private:
    SpmTokenizer m_spm;
    BpeTokenizer m_bpe;
    const Tokenizer* m_tokenizer = nullptr;
};

} // namespace llmk
