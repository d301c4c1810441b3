// SPDX-License-Identifier: MIT
#include "model/tokenizers.h"

#include "tokenizer/unicode.h"

namespace llmk {

uint64_t LoadedTokenizer::bytes(const VocabularyDesc& desc)
{
    const uint64_t index = desc.kind == VocabularyKind::bpe
                               ? BpeTokenizer::index_bytes(desc.entries, desc.text_bytes, desc.merges, desc.merge_bytes)
                               : SpmTokenizer::index_bytes(desc.entries);
    return vocabulary_bytes(desc) + index;
}

uint64_t LoadedTokenizer::encode_bytes(const VocabularyDesc& desc, uint64_t text_bytes)
{
    switch (desc.kind) {
    case VocabularyKind::bpe: // at most a token a byte of the normalized text, BOS and EOS
        return BpeTokenizer::encode_bytes(text_bytes) + (nfc_max_bytes(text_bytes) + 2) * sizeof(Token);
    case VocabularyKind::spm:
        return SpmTokenizer::encode_bytes(text_bytes) + SpmTokenizer::most_tokens(text_bytes) * sizeof(Token);
    default:
        return SpmTokenizer::encode_bytes(text_bytes) + (text_bytes + 2) * sizeof(Token);
    }
}

Result<void> LoadedTokenizer::load(Platform& platform, const VocabularyDesc& desc, Arena& arena)
{
    const BpeVocabulary vocabulary = TRY(load_vocabulary(platform, desc, arena));
    const bool bpe = desc.kind == VocabularyKind::bpe;
    auto built = bpe ? m_bpe.build(vocabulary, desc.pre, arena) : m_spm.build(vocabulary, arena);
    if (!built.ok()) {
        return fail(built.error().status, "{}: {}", desc.path, built.error().message);
    }
    m_tokenizer = bpe ? static_cast<const Tokenizer*>(&m_bpe) : &m_spm;
    return success();
}

} // namespace llmk
