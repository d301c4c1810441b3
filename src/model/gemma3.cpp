// SPDX-License-Identifier: MIT
//
// Gemma 3, text (Gemma Team 2025, arXiv:2503.19786): as Gemma 2, with an RMSNorm of each head's query and key in place
// of the caps. Five layers of six look back over a window, with RoPE of their own base; the sixth sees everything, its
// RoPE stretched where the file says so.
#include "base/math.h"
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_q,   attn_k,       attn_v, attn_q_norm, attn_k_norm, post_attention_norm,
                                    ffn_gate, post_ffw_norm};
constexpr TensorRole kOptional[] = {rope_freqs};
/// Of Gemma 3 27B, whose queries are not scaled by head_dim; files have no key for it.
constexpr uint64_t kBlocks27b = 62;

Result<void> settle(const ModelDesc& desc, DecoderSettings& settings)
{
    settings.embedding_scale = math::sqrtf(static_cast<float>(desc.embedding_length));
    settings.attention_softcap = desc.attn_logit_softcapping.value_or(0.0f);
    settings.final_softcap = desc.final_logit_softcapping.value_or(0.0f);
    settings.window = desc.sliding_window.value_or(0);
    settings.global_period = desc.sliding_window_pattern.value_or(6);
    if (settings.window != 0) {
        settings.local_freq_base = desc.rope_freq_base_swa.value_or(10000.0f);
    }
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

constinit const Architecture kGemma3 = decoder<kTraits>("gemma3");

} // namespace llmk
