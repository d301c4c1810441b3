// SPDX-License-Identifier: MIT
//
// What the Llama architecture asks of a file: which numbers, which tensors, of which shapes.
#include "model/llama.h"

namespace llmk {

namespace {

/// A key of this architecture as GGUF spells it. llama2.c's files have been checked under their own names.
Text<96> key(const ModelDesc& desc, std::string_view name) { return Text<96>("{}.{}", desc.architecture, name); }

Result<void> check_numbers(const ModelDesc& desc)
{
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
        {"attention.layer_norm_rms_epsilon", desc.norm_rms_epsilon > 0.0f},
        {"rope.freq_base", desc.rope_freq_base > 0.0f},
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
    if (desc.head_dim % 2 != 0) {
        return fail(Status::bad_format, "{}: '{}' is {}: RoPE needs an even number", desc.path,
                    key(desc, "attention.key_length"), desc.head_dim);
    }
    return success();
}

Result<void> check_rope(const ModelDesc& desc)
{
    if (desc.rope_dimension_count != 0 && desc.rope_dimension_count != desc.head_dim) {
        return fail(Status::unsupported,
                    "{}: '{}' is {}, a head has {} values; RoPE over a part of a head is not computed here", desc.path,
                    key(desc, "rope.dimension_count"), desc.rope_dimension_count, desc.head_dim);
    }
    if (desc.rope_scaling.size() != 0 && desc.rope_scaling.view() != "linear") {
        return fail(Status::unsupported, "{}: '{}' is '{}', known are: none, linear", desc.path,
                    key(desc, "rope.scaling.type"), desc.rope_scaling);
    }
    return success();
}

struct Shape {
    uint64_t rows, cols;
};

Shape expected_shape(const ModelDesc& desc, TensorRole role)
{
    const uint64_t dim = desc.embedding_length;
    const uint64_t hidden = desc.feed_forward_length;
    const uint64_t query_dim = desc.head_count * desc.head_dim;
    const uint64_t kv_dim = desc.head_count_kv * desc.head_dim;
    switch (role) {
    case TensorRole::token_embd:
    case TensorRole::output:
        return {desc.vocab_size, dim};
    case TensorRole::attn_q:
        return {query_dim, dim};
    case TensorRole::attn_k:
    case TensorRole::attn_v:
        return {kv_dim, dim};
    case TensorRole::attn_output:
        return {dim, query_dim};
    case TensorRole::ffn_gate:
    case TensorRole::ffn_up:
        return {hidden, dim};
    case TensorRole::ffn_down:
        return {dim, hidden};
    case TensorRole::rope_freqs:
        return {1, desc.head_dim / 2};
    case TensorRole::output_norm:
    case TensorRole::attn_norm:
    case TensorRole::ffn_norm:
        break;
    }
    return {1, dim};
}

Text<64> tensor_name(TensorRole role, uint64_t layer)
{
    return is_layer_role(role) ? Text<64>("blk.{}.{}.weight", layer, tensor_role_name(role))
                               : Text<64>("{}.weight", tensor_role_name(role));
}

/// Each tensor has its shape and a layer that there is.
Result<void> check_shapes(const ModelDesc& desc)
{
    for (const TensorDesc& tensor : desc.tensors) {
        const Shape expected = expected_shape(desc, tensor.role);
        if (tensor.layer >= desc.block_count) {
            return fail(Status::bad_format, "{}: tensor {} is there, but '{}' is {}", desc.path,
                        tensor_name(tensor.role, tensor.layer), key(desc, "block_count"), desc.block_count);
        }
        if (tensor.rows != expected.rows || tensor.cols != expected.cols) {
            return fail(Status::bad_format, "{}: tensor {} has {} rows of {} values, expected {} of {}", desc.path,
                        tensor_name(tensor.role, tensor.layer), tensor.rows, tensor.cols, expected.rows, expected.cols);
        }
    }
    return success();
}

/// All tensors are there but those that may be absent.
Result<void> check_presence(const ModelDesc& desc)
{
    uint64_t count[kTensorRoles] = {};
    for (const TensorDesc& tensor : desc.tensors) {
        ++count[static_cast<size_t>(tensor.role)]; // formats refuse a tensor that is there twice
    }
    for (size_t i = 0; i < kTensorRoles; ++i) {
        const auto role = static_cast<TensorRole>(i);
        const uint64_t wanted = is_layer_role(role) ? desc.block_count : 1;
        if (role == TensorRole::output || role == TensorRole::rope_freqs || count[i] == wanted) {
            continue;
        }
        uint64_t layer = 0;
        const auto there = [&] {
            for (const TensorDesc& tensor : desc.tensors) {
                if (tensor.role == role && tensor.layer == layer) {
                    return true;
                }
            }
            return false;
        };
        while (there()) {
            ++layer;
        }
        return fail(Status::bad_format, "{}: tensor {} is missing; '{}' is {}", desc.path, tensor_name(role, layer),
                    key(desc, "block_count"), desc.block_count);
    }
    return success();
}

} // namespace

Result<void> check_llama(const ModelDesc& desc)
{
    if (desc.tensors.empty()) {
        return fail(Status::unsupported,
                    "{}: has no tensors: it is a vocabulary only, for `llmk tokens`, and no model to run", desc.path);
    }
    TRY(check_numbers(desc));
    TRY(check_rope(desc));
    if (desc.foreign_tensor.size() != 0) {
        return fail(Status::unsupported,
                    "{}: tensor {} has no part in the architecture '{}' as it is computed here; without it the answers "
                    "would be wrong",
                    desc.path, desc.foreign_tensor, desc.architecture);
    }
    TRY(check_shapes(desc));
    return check_presence(desc);
}

} // namespace llmk
