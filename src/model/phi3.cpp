// SPDX-License-Identifier: MIT
//
// Phi 3, 3.5 mini and 4 mini (Abdin et al. 2024, arXiv:2404.14219): as Llama, with RoPE on halves (of a part of the
// head in Phi 4 mini; stretched by LongRoPE in the 128k models), query, key and value in one matrix, gate and up in
// another, and a window over all layers where the file says so.
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {attn_qkv};
constexpr TensorRole kOptional[] = {rope_freqs, rope_factors_long, rope_factors_short};

Result<void> settle(const ModelDesc& desc, DecoderSettings& settings)
{
    settings.window = desc.sliding_window.value_or(0);
    return success();
}

constexpr DecoderTraits kTraits = {.norm = NormKind::rms,
                                   .positions = PositionKind::rope_halves,
                                   .feed_forward = FeedForward::swiglu_fused,
                                   .required = kRequired,
                                   .optional = kOptional,
                                   .settle = settle};

} // namespace

constinit const Architecture kPhi3 = decoder<kTraits>("phi3");

} // namespace llmk
