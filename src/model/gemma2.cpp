// SPDX-License-Identifier: MIT
//
// Gemma 2 (Gemma Team 2024, arXiv:2408.00118): RMSNorm before and behind each half of a block (files hold the weights
// with the 1 added), embeddings scaled by the root of their length, RoPE on halves, GeGLU, logits of attention and head
// capped by tanh. Every second layer, the first one included, looks back over a window only.
#include "base/math.h"
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_q, attn_k, attn_v, post_attention_norm, ffn_gate, post_ffw_norm};
constexpr TensorRole kOptional[] = {rope_freqs};
/// Of Gemma 2 27B, whose queries are not scaled by head_dim; files have no key for it.
constexpr uint64_t kBlocks27b = 46;

Result<void> settle(const ModelDesc& desc, DecoderSettings& settings)
{
    settings.embedding_scale = math::sqrtf(static_cast<float>(desc.embedding_length));
    settings.attention_softcap = desc.attn_logit_softcapping.value_or(50.0f);
    settings.final_softcap = desc.final_logit_softcapping.value_or(30.0f);
    settings.window = desc.sliding_window.value_or(4096);
    settings.global_period = desc.sliding_window_pattern.value_or(2);
    if (desc.block_count == kBlocks27b) {
        const uint64_t per_head = desc.embedding_length / desc.head_count;
        settings.attention_divisor = math::sqrtf(static_cast<float>(per_head));
    }
    return success();
}

constexpr DecoderTraits kTraits = {.norm = NormKind::rms,
                                   .positions = PositionKind::rope_halves,
                                   .feed_forward = FeedForward::geglu,
                                   .required = kRequired,
                                   .optional = kOptional,
                                   .settle = settle};

} // namespace

constinit const Architecture kGemma2 = decoder<kTraits>("gemma2");

} // namespace llmk
