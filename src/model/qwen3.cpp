// SPDX-License-Identifier: MIT
//
// Qwen 3 without experts (Yang et al. 2025, arXiv:2505.09388): as Qwen 2, with an RMSNorm of each head's query and key
// in place of the biases. A head need not be embedding_length / head_count wide.
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_q, attn_k, attn_v, attn_q_norm, attn_k_norm, ffn_gate};
constexpr TensorRole kOptional[] = {rope_freqs, attn_q_bias, attn_k_bias, attn_v_bias, attn_output_bias};

constexpr DecoderTraits kTraits = {.norm = NormKind::rms,
                                   .positions = PositionKind::rope_halves,
                                   .feed_forward = FeedForward::swiglu,
                                   .required = kRequired,
                                   .optional = kOptional};

} // namespace

constinit const Architecture kQwen3 = decoder<kTraits>("qwen3");

} // namespace llmk
