// SPDX-License-Identifier: MIT
//
// Qwen 2 and 2.5 (Yang et al. 2024, arXiv:2407.10671): as Llama, with RoPE on halves and biases on query, key and
// value. The windows that its published configurations describe are switched off in them, and here.
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_q, attn_k, attn_v, attn_q_bias, attn_k_bias, attn_v_bias, ffn_gate};
constexpr TensorRole kOptional[] = {rope_freqs, output_bias};

constexpr DecoderTraits kTraits = {.norm = NormKind::rms,
                                   .positions = PositionKind::rope_halves,
                                   .feed_forward = FeedForward::swiglu,
                                   .required = kRequired,
                                   .optional = kOptional};

} // namespace

constinit const Architecture kQwen2 = decoder<kTraits>("qwen2");

} // namespace llmk
