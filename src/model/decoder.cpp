// SPDX-License-Identifier: MIT
//
// Binding: finds a decoder's tensors and computes what does not change with the input. The pass itself is in
// decoder_forward.cpp, the checks are in decoder_check.cpp.
#include "model/decoder.h"

#include "base/math.h"
#include "model/ops.h"

namespace llmk {

namespace {

using enum TensorRole;

/// Vectors are read as floats; those that a file packs are unpacked once.
bool is_packed_vector(const TensorDesc& tensor)
{
    return tensor_role_info(tensor.role).is_vector && tensor.type != TensorType::f32;
}

/// `count` rows of a tensor from `first` on.
Tensor rows_of(const Tensor& tensor, uint64_t first, uint64_t count)
{
    LLMK_ASSERT(tensor.type != TensorType::q8_group); // its scales lie elsewhere; its files fuse nothing
    LLMK_ASSERT(!tensor.panels || (first % djiblas::kPanelRows == 0 && count % djiblas::kPanelRows == 0));
    const TensorTypeInfo& type = tensor_type_info(tensor.type);
    Tensor rows = tensor;
    rows.data += first * (tensor.cols / type.block_values * type.block_bytes);
    rows.rows = count;
    return rows;
}

class Binder {
public:
    Binder(const DecoderTraits& traits, const Model& model, Arena& weights)
        : m_traits(traits), m_model(model), m_desc(model.desc), m_weights(weights)
    {
    }

    Result<void> bind(Decoder& decoder)
    {
        decoder.traits = &m_traits;
        decoder.settings = TRY(decoder_settings(m_traits, m_desc));
        decoder.norm_epsilon = m_traits.norm == NormKind::rms ? m_desc.norm_rms_epsilon : m_desc.norm_epsilon;
        decoder.token_embd = TRY(required(token_embd));
        decoder.position_embd = m_model.tensor(position_embd);
        decoder.output_norm = TRY(norm(output_norm, output_norm_bias));
        decoder.output = {m_desc.tied_head ? decoder.token_embd : TRY(required(output)), TRY(vector(output_bias))};
        decoder.layers = TRY(m_weights.alloc_array<DecoderLayer>(m_desc.block_count));
        for (uint32_t i = 0; i < m_desc.block_count; ++i) {
            m_layer = i;
            decoder.layers[i] = {};
            TRY(bind_attention(decoder.layers[i]));
            TRY(bind_feed_forward(decoder.layers[i]));
        }
        return m_traits.positions == PositionKind::learned ? success() : bind_rope(decoder);
    }

private:
    uint32_t layer_of(TensorRole role) const { return is_layer_role(role) ? m_layer : 0; }

    Result<Tensor> required(TensorRole role) const
    {
        const Tensor tensor = m_model.tensor(role, layer_of(role));
        if (tensor.data == nullptr) {
            return fail(Status::bad_format, "{}: tensor {} is missing", m_desc.path, tensor_name(role, m_layer));
        }
        return tensor;
    }
    /// Null when there is none.
    Result<const float*> vector(TensorRole role)
    {
        const Tensor tensor = m_model.tensor(role, layer_of(role));
        if (tensor.data == nullptr || tensor.type == TensorType::f32) {
            return tensor.f32();
        }
        auto* const values = TRY(m_weights.alloc_array<float>(tensor.cols));
        Ops::read_row(values, tensor, 0);
        return static_cast<const float*>(values);
    }
    /// Without a weight when there is none.
    Result<Norm> norm(TensorRole weight, TensorRole bias) { return Norm{TRY(vector(weight)), TRY(vector(bias))}; }
    Result<Norm> norm(TensorRole weight) { return Norm{TRY(vector(weight))}; }
    Result<Linear> linear(TensorRole weight, TensorRole bias)
    {
        return Linear{TRY(required(weight)), TRY(vector(bias))};
    }
    static Linear part_of(const Linear& all, uint64_t first, uint64_t count)
    {
        return {rows_of(all.weight, first, count), all.bias == nullptr ? nullptr : all.bias + first};
    }

    Result<void> bind_attention(DecoderLayer& layer)
    {
        layer.attn_norm = TRY(norm(attn_norm, attn_norm_bias));
        layer.attn_output = TRY(linear(attn_output, attn_output_bias));
        layer.attn_q_norm = TRY(norm(attn_q_norm));
        layer.attn_k_norm = TRY(norm(attn_k_norm));
        layer.post_attention_norm = TRY(norm(post_attention_norm));
        if (m_model.tensor(attn_qkv, m_layer).data == nullptr) {
            layer.attn_q = TRY(linear(attn_q, attn_q_bias));
            layer.attn_k = TRY(linear(attn_k, attn_k_bias));
            layer.attn_v = TRY(linear(attn_v, attn_v_bias));
            return success();
        }
        const Linear all = TRY(linear(attn_qkv, attn_qkv_bias));
        const uint64_t query_dim = m_desc.head_count * m_desc.head_dim;
        const uint64_t kv_dim = m_desc.head_count_kv * m_desc.head_dim;
        layer.attn_q = part_of(all, 0, query_dim);
        layer.attn_k = part_of(all, query_dim, kv_dim);
        layer.attn_v = part_of(all, query_dim + kv_dim, kv_dim);
        return success();
    }

    Result<void> bind_feed_forward(DecoderLayer& layer)
    {
        layer.ffn_norm = TRY(norm(ffn_norm, ffn_norm_bias));
        layer.post_ffw_norm = TRY(norm(post_ffw_norm));
        layer.ffn_up = TRY(linear(ffn_up, ffn_up_bias));
        layer.ffn_down = TRY(linear(ffn_down, ffn_down_bias));
        if (m_traits.feed_forward == FeedForward::swiglu_fused) {
            const Linear both = layer.ffn_up;
            layer.ffn_gate = part_of(both, 0, m_desc.feed_forward_length);
            layer.ffn_up = part_of(both, m_desc.feed_forward_length, m_desc.feed_forward_length);
        } else if (m_traits.feed_forward != FeedForward::gelu) {
            layer.ffn_gate = TRY(linear(ffn_gate, ffn_gate_bias));
        }
        return success();
    }

    Result<void> bind_rope(Decoder& decoder)
    {
        const Tensor factors = m_model.tensor(rope_freqs);
        const Tensor longer = m_model.tensor(rope_factors_long);
        const Tensor shorter = m_model.tensor(rope_factors_short);
        decoder.rope = TRY(scaled_rope(m_desc, shorter.data == nullptr ? factors : shorter, m_weights));
        decoder.rope_long = longer.data == nullptr ? decoder.rope : TRY(scaled_rope(m_desc, longer, m_weights));
        const float local = decoder.settings.local_freq_base;
        decoder.rope_local = local == 0.0f ? RopeFrequencies() : TRY(plain_rope(m_desc, local, m_weights));
        return success();
    }

    const DecoderTraits& m_traits;
    const Model& m_model;
    const ModelDesc& m_desc;
    Arena& m_weights;
    uint32_t m_layer = 0;
};

} // namespace

Result<DecoderSettings> decoder_settings(const DecoderTraits& traits, const ModelDesc& desc)
{
    DecoderSettings settings;
    settings.attention_divisor = math::sqrtf(static_cast<float>(desc.head_dim));
    if (traits.settle != nullptr) {
        TRY(traits.settle(desc, settings));
    }
    if (desc.attention_scale.value_or(0.0f) > 0.0f) {
        settings.attention_divisor = 1.0f / *desc.attention_scale;
    }
    return settings;
}

uint64_t decoder_bind_bytes(const ModelDesc& desc)
{
    uint64_t bytes = sizeof(Decoder) + desc.block_count * sizeof(DecoderLayer) + 2 * Arena::kAlignment;
    bytes += 3 * rope_bytes(desc);
    for (const TensorDesc& tensor : desc.tensors) {
        bytes += is_packed_vector(tensor) ? tensor.cols * sizeof(float) + Arena::kAlignment : 0;
    }
    return bytes;
}

Result<void> bind_decoder(const DecoderTraits& traits, Model& model, Arena& weights)
{
    auto* const decoder = TRY(weights.alloc_array<Decoder>(1));
    *decoder = {};
    TRY(Binder(traits, model, weights).bind(*decoder));
    model.bound = decoder;
    return success();
}

} // namespace llmk
