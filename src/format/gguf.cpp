// SPDX-License-Identifier: MIT
#include "format/gguf.h"

#include "format/gguf_tensors.h"
#include "format/gguf_vocabulary.h"

#include <algorithm>

namespace llmk::gguf {

namespace {

constexpr uint32_t kSwapped = 0x47475546; // "FUGG" as a little-endian word
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1u << 30;
/// More than any model: sizes derived from it stay far from 2^64.
constexpr uint64_t kMaxNumber = INT32_MAX;

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

/// Keys of the architecture: "llama.block_count" and the like.
class Hyperparameters {
public:
    Hyperparameters(const Metadata& metadata, ModelDesc& desc) : m_metadata(metadata), m_desc(desc) {}

    Result<void> read()
    {
        m_desc.embedding_length = TRY(integer("embedding_length", 0));
        m_desc.feed_forward_length = TRY(integer("feed_forward_length", 0));
        m_desc.block_count = TRY(integer("block_count", 0));
        m_desc.head_count = TRY(integer("attention.head_count", 0));
        m_desc.head_count_kv = TRY(integer("attention.head_count_kv", m_desc.head_count));
        const bool divides = m_desc.head_count != 0 && m_desc.embedding_length % m_desc.head_count == 0;
        const uint64_t usual = divides ? m_desc.embedding_length / m_desc.head_count : 0;
        m_desc.head_dim = TRY(integer("attention.key_length", usual));
        const uint64_t value_length = TRY(integer("attention.value_length", m_desc.head_dim));
        if (value_length != m_desc.head_dim) {
            return fail(Status::unsupported, "{}: '{}' is {}, but the keys' length is {}; only equal ones are computed",
                        m_desc.path, key("attention.value_length"), value_length, m_desc.head_dim);
        }
        m_desc.context_length = TRY(integer("context_length", 0));
        m_desc.vocab_size = TRY(integer("vocab_size", 0));
        m_desc.rope_dimension_count = TRY(integer("rope.dimension_count", 0));
        m_desc.rope_freq_base = TRY(real("rope.freq_base", m_desc.rope_freq_base));
        m_desc.norm_rms_epsilon = TRY(real("attention.layer_norm_rms_epsilon", 0.0f));
        return read_rope_scaling();
    }

private:
    Text<96> key(std::string_view name) const { return Text<96>("{}.{}", m_desc.architecture, name); }

    Result<uint64_t> integer(std::string_view name, uint64_t otherwise)
    {
        const uint64_t value = TRY(m_metadata.integer(key(name))).value_or(otherwise);
        if (value > kMaxNumber) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected at most {}", m_desc.path, key(name), value,
                        kMaxNumber);
        }
        return value;
    }
    Result<float> real(std::string_view name, float otherwise)
    {
        const float value = TRY(m_metadata.real(key(name))).value_or(otherwise);
        if (!(value >= 0.0f && value <= 1e12f)) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected a number from 0 on", m_desc.path, key(name),
                        value);
        }
        return value;
    }
    Result<void> read_rope_scaling()
    {
        // Before rope.scaling there was a key for linear scaling alone.
        const float old = TRY(real("rope.scale_linear", 1.0f));
        const float factor = TRY(real("rope.scaling.factor", old));
        const auto type = TRY(m_metadata.text(key("rope.scaling.type")));
        const bool scaled = type ? *type != "none" : factor != 1.0f;
        if (scaled) {
            m_desc.rope_scaling = Text<32>(type ? printable(*type) : Text<80>("linear"));
            m_desc.rope_scale_linear = factor;
        }
        if (!(m_desc.rope_scale_linear > 0.0f)) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected more than 0", m_desc.path,
                        key("rope.scaling.factor"), m_desc.rope_scale_linear);
        }
        return success();
    }

    const Metadata& m_metadata;
    ModelDesc& m_desc;
};

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
    TRY(Hyperparameters(metadata, desc).read());
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
