// SPDX-License-Identifier: MIT
#include "format/gguf.h"

#include "format/gguf_hyperparameters.h"
#include "format/gguf_shards.h"
#include "format/gguf_tensors.h"
#include "format/gguf_vocabulary.h"

#include <algorithm>

namespace llmk::gguf {

namespace {

/// The head is a matrix of its own, or token_embd; the vocabulary is as long as the embedding table.
void fill_from_tensors(ModelDesc& desc)
{
    desc.tied_head = true;
    for (const TensorDesc& tensor : desc.tensors) {
        if (tensor.role == TensorRole::output) {
            desc.tied_head = false;
        } else if (tensor.role == TensorRole::token_embd) {
            desc.vocab_size = tensor.rows;
        }
    }
}

} // namespace

bool has_magic(std::span<const uint8_t> head, uint64_t)
{
    const auto is = [&](std::string_view magic) {
        return head.size() >= 4 && std::equal(magic.begin(), magic.end(), head.begin());
    };
    return is("GGUF") || is("FUGG");
}

Result<void> parse(const ModelFile& file, ModelDesc& desc)
{
    FileReader reader(file, "GGUF");
    const Header header = TRY(read_header(reader));
    const Metadata metadata = TRY(Metadata::read(reader, header.pair_count));
    TRY(check_split(metadata, file.path()));
    const auto architecture = TRY(metadata.text("general.architecture"));
    if (!architecture || architecture->empty()) {
        return fail(Status::bad_format, "{}: 'general.architecture' is missing from the GGUF file", file.path());
    }
    desc.format = file.head()[4] == 2 ? std::string_view("GGUF v2") : std::string_view("GGUF v3");
    desc.architecture = Text<24>(printable(*architecture));
    TRY(read_hyperparameters(metadata, desc));
    desc.vocabulary = TRY(describe_vocabulary(metadata, file.path()));
    if (const Value* const chat = metadata.find("tokenizer.chat_template"); chat != nullptr) {
        if (chat->type != ValueType::text) {
            return fail(Status::bad_format, "{}: 'tokenizer.chat_template' is of type {}, expected string", file.path(),
                        value_type_name(chat->type));
        }
        desc.kind = chat->count > 0 ? ModelKind::chat : ModelKind::story;
        desc.chat_template_at = chat->offset;
        desc.chat_template_bytes = chat->count;
    }
    const uint64_t alignment = TRY(read_alignment(metadata, file.path()));
    NameTable names(file.platform());
    TRY(read_tensors(reader, {0, header.tensor_count, alignment}, names, desc));
    TRY(read_shards(file.platform(), metadata, header.tensor_count, names, desc));
    if (desc.vocab_size == 0) {
        desc.vocab_size = desc.vocabulary.entries;
    }
    fill_from_tensors(desc);
    return success();
}

} // namespace llmk::gguf
