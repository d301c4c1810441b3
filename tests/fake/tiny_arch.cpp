// SPDX-License-Identifier: MIT
#include "fake/tiny_arch.h"

#include <cmath>
#include <random>

namespace llmk {

namespace {

constexpr uint64_t kHidden = 24;
constexpr uint64_t kLayers = 3;
constexpr uint64_t kContext = 64;
constexpr uint64_t kVocab = 290;

/// Adds what is asked for with a seed of its own each.
class Tensors {
public:
    Tensors(GgufFile& file, uint32_t seed) : m_file(file), m_seed(seed * 1000) {}

    void matrix(const std::string& name, uint64_t rows, uint64_t cols) { add(name + ".weight", rows, cols, 0.0f); }
    void norm(const std::string& name, uint64_t cols) { add(name + ".weight", 1, cols, 1.0f); }
    void bias(const std::string& name, uint64_t cols) { add(name + ".bias", 1, cols, 0.0f); }

private:
    void add(const std::string& name, uint64_t rows, uint64_t cols, float middle)
    {
        add_tensor(m_file, name, rows, cols, middle, ++m_seed);
    }

    GgufFile& m_file;
    uint32_t m_seed;
};

} // namespace

void add_tensor(GgufFile& file, const std::string& name, uint64_t rows, uint64_t cols, float middle, uint32_t seed)
{
    std::mt19937 random(seed);
    const float scale = rows == 1 ? 0.3f : 2.0f / std::sqrt(static_cast<float>(cols));
    std::string data;
    for (uint64_t i = 0; i < rows * cols; ++i) {
        data += raw(middle + scale * (static_cast<float>(random() % 2001) / 1000.0f - 1.0f));
    }
    file.tensors.push_back({name, rows == 1 ? std::vector{cols} : std::vector{cols, rows}, 0, data});
}

GgufFile tiny_arch(const std::string& architecture, uint32_t seed)
{
    const auto is = [&](auto... names) { return ((architecture == names) || ...); };
    const bool gemma = is("gemma2", "gemma3");
    const uint64_t heads = is("gpt2", "phi3") ? 3 : 4;
    const uint64_t kv_heads = is("gpt2", "phi3") ? 3 : 2;
    const uint64_t dim = is("gpt2", "phi3") ? 24 : 16;
    const uint64_t head_dim = gemma || is("qwen3") ? 6 : dim / heads;
    const uint64_t query_dim = heads * head_dim;
    const uint64_t kv_dim = kv_heads * head_dim;

    GgufFile file = tiny_gguf();
    file.tensors.clear();
    std::erase_if(file.pairs, [](const GgufFile::Pair& pair) { return pair.key.starts_with("llama."); });
    file.text("general.architecture", architecture);
    const auto number = [&](const char* name, uint64_t value) {
        file.u32(architecture + "." + name, static_cast<uint32_t>(value));
    };
    number("embedding_length", dim);
    number("feed_forward_length", kHidden);
    number("block_count", kLayers);
    number("attention.head_count", heads);
    number("attention.head_count_kv", kv_heads);
    number("attention.key_length", head_dim);
    number("attention.value_length", head_dim);
    number("context_length", kContext);
    const char* const epsilon = is("gpt2") ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon";
    file.f32(architecture + epsilon, 1e-5f);
    if (gemma || is("llama", "phi3")) {
        number("attention.sliding_window", 8);
    }
    if (is("gemma3")) {
        number("attention.sliding_window_pattern", 2);
        file.f32("gemma3.rope.freq_base", 50000.0f);
        file.text("gemma3.rope.scaling.type", "linear");
        file.f32("gemma3.rope.scaling.factor", 4.0f);
    }

    Tensors tensors(file, seed);
    tensors.matrix("token_embd", kVocab, dim);
    tensors.norm("output_norm", dim);
    if (is("gpt2")) {
        tensors.matrix("position_embd", kContext, dim);
        tensors.bias("output_norm", dim);
    }
    for (uint64_t layer = 0; layer < kLayers; ++layer) {
        const std::string block = "blk." + std::to_string(layer) + ".";
        tensors.norm(block + "attn_norm", dim);
        tensors.norm(block + "ffn_norm", dim);
        tensors.matrix(block + "attn_output", dim, query_dim);
        tensors.matrix(block + "ffn_up", is("phi3") ? 2 * kHidden : kHidden, dim);
        tensors.matrix(block + "ffn_down", dim, kHidden);
        if (is("gpt2", "phi3")) {
            tensors.matrix(block + "attn_qkv", query_dim + 2 * kv_dim, dim);
        } else {
            tensors.matrix(block + "attn_q", query_dim, dim);
            tensors.matrix(block + "attn_k", kv_dim, dim);
            tensors.matrix(block + "attn_v", kv_dim, dim);
            tensors.matrix(block + "ffn_gate", kHidden, dim);
        }
        if (is("qwen2")) {
            tensors.bias(block + "attn_q", query_dim);
            tensors.bias(block + "attn_k", kv_dim);
            tensors.bias(block + "attn_v", kv_dim);
        }
        if (is("qwen3", "gemma3")) {
            tensors.norm(block + "attn_q_norm", head_dim);
            tensors.norm(block + "attn_k_norm", head_dim);
        }
        if (gemma) {
            tensors.norm(block + "post_attention_norm", dim);
            tensors.norm(block + "post_ffw_norm", dim);
        }
    }
    return file;
}

} // namespace llmk
