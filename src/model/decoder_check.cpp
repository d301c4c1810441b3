// SPDX-License-Identifier: MIT
//
// What a decoder asks of a file: which numbers, which tensors, of which shapes.
#include "model/decoder.h"

#include <algorithm>

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequiredOfAll[] = {token_embd, output_norm, attn_norm, attn_output, ffn_norm, ffn_up, ffn_down};
constexpr TensorRole kOptionalOfAll[] = {output};

bool among(std::span<const TensorRole> roles, TensorRole role)
{
    return std::find(roles.begin(), roles.end(), role) != roles.end();
}

bool is_required(const DecoderTraits& traits, TensorRole role)
{
    return among(kRequiredOfAll, role) || among(traits.required, role);
}

bool has_role(const ModelDesc& desc, TensorRole role)
{
    return std::any_of(desc.tensors.begin(), desc.tensors.end(),
                       [&](const TensorDesc& tensor) { return tensor.role == role; });
}

/// A key of this architecture as GGUF spells it. llama2.c's files have been checked under their own names.
Text<96> key(const ModelDesc& desc, std::string_view name) { return Text<96>("{}.{}", desc.architecture, name); }

Result<void> check_numbers(const DecoderTraits& traits, const ModelDesc& desc)
{
    const bool rms = traits.norm == NormKind::rms;
    const bool rope = traits.positions != PositionKind::learned;
    const struct {
        std::string_view name;
        bool there;
    } numbers[] = {
        {"embedding_length", desc.embedding_length != 0},
        {"feed_forward_length", desc.feed_forward_length != 0},
        {"block_count", desc.block_count != 0},
        {"attention.head_count", desc.head_count != 0},
        {"attention.head_count_kv", desc.head_count_kv != 0},
        {"context_length", desc.context_length != 0},
        {"attention.layer_norm_rms_epsilon", !rms || desc.norm_rms_epsilon > 0.0f},
        {"attention.layer_norm_epsilon", rms || desc.norm_epsilon > 0.0f},
        {"rope.freq_base", !rope || desc.rope_freq_base > 0.0f},
    };
    for (const auto& number : numbers) {
        if (!number.there) {
            return fail(Status::bad_format, "{}: '{}' is missing or 0, expected more", desc.path,
                        key(desc, number.name));
        }
    }
    if (desc.head_count % desc.head_count_kv != 0) {
        return fail(Status::bad_format, "{}: '{}' is {}, which does not divide 'attention.head_count' ({})", desc.path,
                    key(desc, "attention.head_count_kv"), desc.head_count_kv, desc.head_count);
    }
    if (desc.head_dim == 0) {
        return fail(Status::bad_format, "{}: '{}' is {}, which does not divide 'embedding_length' ({})", desc.path,
                    key(desc, "attention.head_count"), desc.head_count, desc.embedding_length);
    }
    return rope ? check_rope(desc) : success();
}

struct Shape {
    uint64_t rows, cols;
};

Shape expected_shape(const DecoderTraits& traits, const ModelDesc& desc, TensorRole role)
{
    const uint64_t dim = desc.embedding_length;
    const uint64_t hidden = desc.feed_forward_length;
    const uint64_t query_dim = desc.head_count * desc.head_dim;
    const uint64_t kv_dim = desc.head_count_kv * desc.head_dim;
    const uint64_t up = traits.feed_forward == FeedForward::swiglu_fused ? 2 * hidden : hidden;
    switch (role) {
    case token_embd:
    case output:
        return {desc.vocab_size, dim};
    case position_embd:
        return {desc.context_length, dim};
    case output_bias:
        return {1, desc.vocab_size};
    case attn_q:
        return {query_dim, dim};
    case attn_k:
    case attn_v:
        return {kv_dim, dim};
    case attn_qkv:
        return {query_dim + 2 * kv_dim, dim};
    case attn_output:
        return {dim, query_dim};
    case attn_q_bias:
        return {1, query_dim};
    case attn_k_bias:
    case attn_v_bias:
        return {1, kv_dim};
    case attn_qkv_bias:
        return {1, query_dim + 2 * kv_dim};
    case attn_q_norm:
    case attn_k_norm:
        return {1, desc.head_dim};
    case ffn_gate:
        return {hidden, dim};
    case ffn_up:
        return {up, dim};
    case ffn_down:
        return {dim, hidden};
    case ffn_gate_bias:
        return {1, hidden};
    case ffn_up_bias:
        return {1, up};
    case rope_freqs:
    case rope_factors_long:
    case rope_factors_short:
        return {1, rope_dimensions(desc) / 2};
    default: // norms, and biases of what has embedding_length rows
        return {1, dim};
    }
}

Error foreign(const ModelDesc& desc, std::string_view name)
{
    return fail(Status::unsupported,
                "{}: tensor {} has no part in the architecture '{}' as it is computed here; without it the answers "
                "would be wrong",
                desc.path, name, desc.architecture);
}

/// Each tensor is one of the architecture's, has its shape and a layer that there is.
Result<void> check_shapes(const DecoderTraits& traits, const ModelDesc& desc)
{
    for (const TensorDesc& tensor : desc.tensors) {
        const Text<64> name = tensor_name(tensor.role, tensor.layer);
        if (!is_required(traits, tensor.role) && !among(traits.optional, tensor.role) &&
            !among(kOptionalOfAll, tensor.role)) {
            return foreign(desc, name);
        }
        if (tensor.layer >= desc.block_count) {
            return fail(Status::bad_format, "{}: tensor {} is there, but '{}' is {}", desc.path, name,
                        key(desc, "block_count"), desc.block_count);
        }
        const Shape expected = expected_shape(traits, desc, tensor.role);
        if (tensor.rows != expected.rows || tensor.cols != expected.cols) {
            return fail(Status::bad_format, "{}: tensor {} has {} rows of {} values, expected {} of {}", desc.path,
                        name, tensor.rows, tensor.cols, expected.rows, expected.cols);
        }
    }
    return success();
}

Error missing(const ModelDesc& desc, TensorRole role, uint64_t layer)
{
    return fail(Status::bad_format, "{}: tensor {} is missing; '{}' is {}", desc.path, tensor_name(role, layer),
                key(desc, "block_count"), desc.block_count);
}

/// All tensors are there but those that may be absent.
Result<void> check_presence(const DecoderTraits& traits, const ModelDesc& desc)
{
    uint64_t count[kTensorRoles] = {};
    for (const TensorDesc& tensor : desc.tensors) {
        ++count[static_cast<size_t>(tensor.role)]; // formats refuse a tensor that is there twice
    }
    for (size_t i = 0; i < kTensorRoles; ++i) {
        const auto role = static_cast<TensorRole>(i);
        const uint64_t wanted = is_layer_role(role) ? desc.block_count : 1;
        if (!is_required(traits, role) || count[i] == wanted) {
            continue;
        }
        uint64_t layer = 0;
        const auto there = [&] {
            return std::any_of(desc.tensors.begin(), desc.tensors.end(),
                               [&](const TensorDesc& tensor) { return tensor.role == role && tensor.layer == layer; });
        };
        while (there()) {
            ++layer;
        }
        return missing(desc, role, layer);
    }
    // One table of factors without the other, or a scaling that stands for both.
    const bool longrope = desc.rope_scaling.view() == "longrope" || has_role(desc, rope_factors_long) ||
                          has_role(desc, rope_factors_short);
    for (const TensorRole role : {rope_factors_long, rope_factors_short}) {
        if (longrope && traits.positions != PositionKind::learned && !has_role(desc, role)) {
            return missing(desc, role, 0);
        }
    }
    return success();
}

} // namespace

Result<void> check_decoder(const DecoderTraits& traits, const ModelDesc& desc)
{
    if (desc.tensors.empty()) {
        return fail(Status::unsupported,
                    "{}: has no tensors: it is a vocabulary only, for `llmk tokens`, and no model to run", desc.path);
    }
    TRY(check_numbers(traits, desc));
    TRY(decoder_settings(traits, desc));
    if (desc.foreign_tensor.size() != 0) {
        return foreign(desc, desc.foreign_tensor);
    }
    TRY(check_shapes(traits, desc));
    return check_presence(traits, desc);
}

} // namespace llmk
