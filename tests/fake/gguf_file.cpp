// SPDX-License-Identifier: MIT
#include "fake/gguf_file.h"

#include <gtest/gtest.h>

namespace llmk {

namespace {

void pad(std::string& out, uint64_t alignment)
{
    while (alignment != 0 && out.size() % alignment != 0) {
        out.push_back('\0');
    }
}

/// U+2581 for blanks, as sentencepiece spells them.
std::string with_blocks(const std::string& piece)
{
    std::string out;
    for (const char c : piece) {
        c == ' ' ? out += "\xE2\x96\x81" : out += c;
    }
    return out;
}

void put_vocabulary(GgufFile& file, int size)
{
    std::string tokens;
    std::string scores;
    std::string types;
    uint32_t id = 0;
    for (const auto& [piece, score] : tiny_vocabulary(size)) {
        tokens += gguf_text(id == 1 ? "<s>" : id == 2 ? "</s>" : with_blocks(piece));
        scores += raw(score);
        const bool byte = piece.size() == 6 && piece.starts_with("<0x");
        types += raw<int32_t>(id == 0 ? 2 : id < 3 ? 3 : byte ? 6 : 1);
        ++id;
    }
    file.text("tokenizer.ggml.model", "llama");
    file.set("tokenizer.ggml.tokens", kGgufArray, gguf_array(kGgufString, id, tokens));
    file.set("tokenizer.ggml.scores", kGgufArray, gguf_array(kGgufF32, id, scores));
    file.set("tokenizer.ggml.token_type", kGgufArray, gguf_array(kGgufI32, id, types));
    file.u32("tokenizer.ggml.bos_token_id", 1);
    file.u32("tokenizer.ggml.eos_token_id", 2);
    file.u32("tokenizer.ggml.unknown_token_id", 0);
}

/// Hands out the floats of a version 0 file in their order.
class Floats {
public:
    explicit Floats(const std::string& file) : m_file(file) {}
    std::string take(uint64_t rows, uint64_t cols)
    {
        const size_t bytes = rows * cols * sizeof(float);
        m_at += bytes;
        return m_file.substr(m_at - bytes, bytes);
    }

private:
    const std::string& m_file;
    size_t m_at = tiny_header_bytes(0);
};

} // namespace

GgufFile::Tensor& GgufFile::tensor(const std::string& name)
{
    for (Tensor& each : tensors) {
        if (each.name == name) {
            return each;
        }
    }
    ADD_FAILURE() << "no tensor " << name;
    return tensors[0];
}

std::string GgufFile::header() const
{
    std::string out = magic + raw(version) + raw<uint64_t>(tensors.size() + more_tensors);
    std::vector<Pair> all = pairs;
    if (alignment != 32) {
        all.push_back({"general.alignment", kGgufU32, raw(static_cast<uint32_t>(alignment))});
    }
    out += raw<uint64_t>(all.size() + more_pairs);
    for (const Pair& pair : all) {
        out += gguf_text(pair.key) + raw(pair.type) + pair.value;
    }
    uint64_t offset = 0;
    for (const Tensor& each : tensors) {
        out += gguf_text(each.name) + raw(static_cast<uint32_t>(each.dimensions.size()));
        for (const uint64_t length : each.dimensions) {
            out += raw(length);
        }
        out += raw(each.type) + raw(offset);
        offset += each.data.size();
        offset += alignment == 0 ? 0 : (alignment - offset % alignment) % alignment;
    }
    pad(out, alignment);
    return out;
}

std::string GgufFile::bytes() const
{
    std::string data;
    for (const Tensor& each : tensors) {
        data += each.data;
        pad(data, alignment);
    }
    return header() + data;
}

std::vector<GgufFile> split_gguf(const GgufFile& whole, const std::vector<size_t>& tensor_counts)
{
    std::vector<GgufFile> shards;
    auto next = whole.tensors.begin();
    for (const size_t count : tensor_counts) {
        GgufFile shard;
        if (shards.empty()) {
            shard = whole;
        }
        shard.alignment = whole.alignment;
        shard.tensors.assign(next, next + static_cast<ptrdiff_t>(count));
        next += static_cast<ptrdiff_t>(count);
        shard.set("split.no", kGgufU16, raw(static_cast<uint16_t>(shards.size())));
        shard.set("split.count", kGgufU16, raw(static_cast<uint16_t>(tensor_counts.size())));
        shard.set("split.tensors.count", kGgufI32, raw(static_cast<int32_t>(whole.tensors.size())));
        shards.push_back(shard);
    }
    EXPECT_TRUE(next == whole.tensors.end()) << "every tensor is in a part";
    return shards;
}

std::string shard_name(const std::string& name, size_t number, size_t count)
{
    const auto digits = [](size_t value) {
        const std::string text = std::to_string(value);
        return std::string(5 - text.size(), '0') + text;
    };
    return name + "-" + digits(number) + "-of-" + digits(count) + ".gguf";
}

void add_shards(FakePlatform& platform, const std::string& name, const std::vector<GgufFile>& shards)
{
    for (size_t i = 0; i < shards.size(); ++i) {
        platform.add_file(shard_name(name, i + 1, shards.size()), shards[i].bytes());
    }
}

GgufFile tiny_gguf(const TinyShape& shape)
{
    TinyShape legacy = shape;
    legacy.version = 0;
    const std::string model = tiny_model(legacy);
    const auto dim = static_cast<uint64_t>(shape.dim);
    const auto hidden = static_cast<uint64_t>(shape.hidden);
    const auto vocab = static_cast<uint64_t>(shape.vocab);
    const uint64_t head_dim = dim / static_cast<uint64_t>(shape.heads);
    const uint64_t kv_dim = head_dim * static_cast<uint64_t>(shape.kv_heads);

    GgufFile file;
    file.text("general.architecture", "llama");
    file.u32("llama.embedding_length", static_cast<uint32_t>(dim));
    file.u32("llama.feed_forward_length", static_cast<uint32_t>(hidden));
    file.u32("llama.block_count", static_cast<uint32_t>(shape.layers));
    file.u32("llama.attention.head_count", static_cast<uint32_t>(shape.heads));
    file.u32("llama.attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads));
    file.u32("llama.context_length", static_cast<uint32_t>(shape.context));
    file.u32("llama.rope.dimension_count", static_cast<uint32_t>(head_dim));
    file.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    put_vocabulary(file, shape.vocab);

    Floats floats(model);
    const auto add = [&](const std::string& name, uint64_t rows, uint64_t cols) {
        const std::vector<uint64_t> dimensions = rows == 1 ? std::vector{cols} : std::vector{cols, rows};
        file.tensors.push_back({name + ".weight", dimensions, 0, floats.take(rows, cols)});
    };
    const auto add_layers = [&](const std::string& name, uint64_t rows, uint64_t cols) {
        for (int layer = 0; layer < shape.layers; ++layer) {
            add("blk." + std::to_string(layer) + "." + name, rows, cols);
        }
    };
    add("token_embd", vocab, dim);
    add_layers("attn_norm", 1, dim);
    add_layers("attn_q", dim, dim);
    add_layers("attn_k", kv_dim, dim);
    add_layers("attn_v", kv_dim, dim);
    add_layers("attn_output", dim, dim);
    add_layers("ffn_norm", 1, dim);
    add_layers("ffn_gate", hidden, dim);
    add_layers("ffn_down", dim, hidden);
    add_layers("ffn_up", hidden, dim);
    add("output_norm", 1, dim);
    if (!shape.shared) {
        (void)floats.take(static_cast<uint64_t>(shape.context), head_dim); // RoPE tables
        add("output", vocab, dim);
    }
    return file;
}

} // namespace llmk
