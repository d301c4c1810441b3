// SPDX-License-Identifier: MIT
#include "format/gguf.h"

#include "format/gguf_hyperparameters.h"
#include "format/gguf_tensors.h"
#include "format/gguf_vocabulary.h"

#include <algorithm>

namespace llmk::gguf {

namespace {

constexpr uint32_t kSwapped = 0x47475546; // "FUGG" as a little-endian word
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1u << 30;

struct Header {
    uint64_t tensor_count;
    uint64_t pair_count;
};

Result<Header> read_header(FileReader& reader)
{
    const uint32_t magic = TRY(reader.u32("the magic"));
    const uint32_t version = TRY(reader.u32("the version"));
    const bool swapped = magic == kSwapped || (version != 0 && (version & 0xffffu) == 0);
    if (swapped) {
        return fail(Status::unsupported,
                    "{}: a byte-swapped (big-endian) GGUF file; convert it to little-endian (gguf-py's "
                    "gguf_convert_endian)",
                    reader.path());
    }
    if (version == 1) {
        return fail(Status::unsupported,
                    "{}: GGUF version 1 is not read, expected 2 or 3; convert the model anew with a current llama.cpp",
                    reader.path());
    }
    if (version != 2 && version != 3) {
        return fail(Status::unsupported, "{}: GGUF version {} is not known, expected 2 or 3", reader.path(), version);
    }
    Header header = {};
    header.tensor_count = TRY(reader.u64("the number of tensors"));
    header.pair_count = TRY(reader.u64("the number of metadata pairs"));
    return header;
}

Result<uint64_t> read_alignment(const Metadata& metadata, std::string_view path)
{
    const uint64_t alignment = TRY(metadata.integer("general.alignment")).value_or(kDefaultAlignment);
    if (alignment == 0 || alignment % 8 != 0 || alignment > kMaxAlignment) {
        return fail(Status::bad_format, "{}: 'general.alignment' is {}, expected a multiple of 8 up to {}", path,
                    alignment, kMaxAlignment);
    }
    return alignment;
}

Result<void> refuse_split(const Metadata& metadata, std::string_view path)
{
    const uint64_t count = TRY(metadata.integer("split.count")).value_or(0);
    if (count > 1) {
        const uint64_t number = TRY(metadata.integer("split.no")).value_or(0);
        return fail(Status::unsupported,
                    "{}: 'split.count' is {}: this is part {} of a model in {} files, which are not joined by this "
                    "version; join them with gguf-split --merge",
                    path, count, number + 1, count);
    }
    return success();
}

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
    TRY(refuse_split(metadata, file.path()));
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
    TRY(read_tensors(reader, header.tensor_count, alignment, desc));
    if (desc.vocab_size == 0) {
        desc.vocab_size = desc.vocabulary.entries;
    }
    fill_from_tensors(desc);
    return success();
}

} // namespace llmk::gguf
