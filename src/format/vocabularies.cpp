// SPDX-License-Identifier: MIT
#include "format/vocabularies.h"

#include "format/gguf.h"
#include "format/gguf_vocabulary.h"
#include "format/llama2c_tokenizer.h"

namespace llmk {

namespace {

/// That of a file which holds its own. Ids past its end are well (tables are padded), tokens past the model's are not.
Result<VocabularyDesc> own_vocabulary(const ModelDesc& model, uint64_t vocab_size)
{
    const VocabularyDesc& desc = model.vocabulary;
    if (desc.kind == VocabularyKind::none) {
        return fail(Status::bad_format, "{}: 'tokenizer.ggml.tokens' is missing: the GGUF file has no vocabulary",
                    model.path);
    }
    if (vocab_size != 0 && desc.entries > vocab_size) {
        return fail(Status::bad_format,
                    "{}: the vocabulary has {} tokens, the model's token_embd has {} rows; it belongs to another model",
                    desc.path, desc.entries, vocab_size);
    }
    return desc;
}

} // namespace

Result<VocabularyDesc> describe_vocabulary(Platform& platform, std::string_view path, uint64_t vocab_size)
{
    bool is_gguf = false;
    {
        const ModelFile file = TRY(ModelFile::open(platform, path));
        is_gguf = gguf::has_magic(file.head(), file.size_bytes());
    }
    if (!is_gguf) {
        return llama2c::probe_tokenizer(platform, path, vocab_size);
    }
    const ModelDesc desc = TRY(describe_model(platform, path));
    return own_vocabulary(desc, vocab_size);
}

Result<VocabularyDesc> find_vocabulary(Platform& platform, const ModelDesc& model, std::string_view tokenizer)
{
    if (!tokenizer.empty()) {
        return describe_vocabulary(platform, tokenizer, model.vocab_size);
    }
    if (model.vocabulary.kind != VocabularyKind::llama2c) {
        return own_vocabulary(model, model.vocab_size);
    }
    const auto path = TRY(llama2c::find_tokenizer(platform, model.path, model.vocab_size));
    return llama2c::probe_tokenizer(platform, path, model.vocab_size);
}

uint64_t vocabulary_bytes(const VocabularyDesc& desc)
{
    return desc.kind == VocabularyKind::llama2c ? llama2c::vocabulary_bytes(desc.text_bytes, desc.entries)
                                                : gguf::vocabulary_bytes(desc);
}

Result<BpeVocabulary> load_vocabulary(Platform& platform, const VocabularyDesc& desc, Arena& arena)
{
    if (desc.kind == VocabularyKind::llama2c) {
        return BpeVocabulary{TRY(llama2c::load_vocabulary(platform, desc.path, desc.entries, arena))};
    }
    return gguf::load_vocabulary(platform, desc, arena);
}

} // namespace llmk
