// SPDX-License-Identifier: MIT
//
// Llama 1 to 3 (Touvron et al. 2023, arXiv:2302.13971), Mistral (Jiang et al. 2023, arXiv:2310.06825), TinyLlama,
// SmolLM2, and the files of llama2.c: RMSNorm, RoPE on neighbours, grouped-query attention (Ainslie et al. 2023,
// arXiv:2305.13245), SwiGLU. Biases where a file has them; a window over all layers where it says so (Mistral 0.1).
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_q, attn_k, attn_v, ffn_gate};
constexpr TensorRole kOptional[] = {rope_freqs,  rope_factors_long, rope_factors_short, attn_q_bias, attn_k_bias,
                                    attn_v_bias, attn_output_bias,  ffn_gate_bias,      ffn_up_bias, ffn_down_bias};

Result<void> settle(const ModelDesc& desc, DecoderSettings& settings)
{
    settings.window = desc.sliding_window.value_or(0);
    return success();
}

constexpr DecoderTraits kTraits = {.norm = NormKind::rms,
                                   .positions = PositionKind::rope_pairs,
                                   .feed_forward = FeedForward::swiglu,
                                   .required = kRequired,
                                   .optional = kOptional,
                                   .settle = settle};

} // namespace

constinit const Architecture kLlama = decoder<kTraits>("llama");

} // namespace llmk
