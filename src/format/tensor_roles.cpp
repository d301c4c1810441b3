// SPDX-License-Identifier: MIT
//
// The table of tensor roles: which names a GGUF file has for them. Which of them an architecture wants, and in which
// shapes, is src/model's.
#include "format/model_desc.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRoleInfo matrix(TensorRole role, std::string_view name, bool in_layer = true)
{
    return {role, name, in_layer, false, false};
}
constexpr TensorRoleInfo vector(TensorRole role, std::string_view name, bool in_layer = true)
{
    return {role, name, in_layer, false, true};
}
constexpr TensorRoleInfo bias(TensorRole role, std::string_view name, bool in_layer = true)
{
    return {role, name, in_layer, true, true};
}

// In the order of TensorRole.
constexpr TensorRoleInfo kRoles[kTensorRoles] = {
    matrix(token_embd, "token_embd", false),
    matrix(position_embd, "position_embd", false),
    vector(output_norm, "output_norm", false),
    matrix(output, "output", false),
    vector(rope_freqs, "rope_freqs", false),
    vector(rope_factors_long, "rope_factors_long", false),
    vector(rope_factors_short, "rope_factors_short", false),
    bias(output_norm_bias, "output_norm", false),
    bias(output_bias, "output", false),
    vector(attn_norm, "attn_norm"),
    matrix(attn_q, "attn_q"),
    matrix(attn_k, "attn_k"),
    matrix(attn_v, "attn_v"),
    matrix(attn_qkv, "attn_qkv"),
    matrix(attn_output, "attn_output"),
    vector(attn_q_norm, "attn_q_norm"),
    vector(attn_k_norm, "attn_k_norm"),
    vector(post_attention_norm, "post_attention_norm"),
    vector(ffn_norm, "ffn_norm"),
    matrix(ffn_gate, "ffn_gate"),
    matrix(ffn_up, "ffn_up"),
    matrix(ffn_down, "ffn_down"),
    vector(post_ffw_norm, "post_ffw_norm"),
    bias(attn_norm_bias, "attn_norm"),
    bias(attn_q_bias, "attn_q"),
    bias(attn_k_bias, "attn_k"),
    bias(attn_v_bias, "attn_v"),
    bias(attn_qkv_bias, "attn_qkv"),
    bias(attn_output_bias, "attn_output"),
    bias(ffn_norm_bias, "ffn_norm"),
    bias(ffn_gate_bias, "ffn_gate"),
    bias(ffn_up_bias, "ffn_up"),
    bias(ffn_down_bias, "ffn_down"),
};

constexpr bool in_order()
{
    for (size_t i = 0; i < kTensorRoles; ++i) {
        if (static_cast<size_t>(kRoles[i].role) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order());

} // namespace

const TensorRoleInfo& tensor_role_info(TensorRole role) { return kRoles[static_cast<size_t>(role)]; }

Text<64> tensor_name(TensorRole role, uint64_t layer)
{
    const TensorRoleInfo& info = tensor_role_info(role);
    const std::string_view suffix = info.is_bias ? "bias" : "weight";
    return info.in_layer ? Text<64>("blk.{}.{}.{}", layer, info.name, suffix) : Text<64>("{}.{}", info.name, suffix);
}

} // namespace llmk
