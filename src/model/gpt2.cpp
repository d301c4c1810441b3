// SPDX-License-Identifier: MIT
//
// GPT-2 (Radford et al. 2019) and nanoGPT: LayerNorm, learned positions, query, key and value in one matrix, GELU.
// GPT-2's GELU is the tanh form; nanoGPT's is the true one, which a file says with gpt2.feed_forward.activation =
// "gelu_erf", a key of our converter. nanoGPT may be trained without biases.
#include "model/archs.h"
#include "model/decoder.h"

namespace llmk {

namespace {

using enum TensorRole;

constexpr TensorRole kRequired[] = {position_embd, attn_qkv};
constexpr TensorRole kOptional[] = {output_norm_bias, attn_norm_bias, attn_qkv_bias, attn_output_bias,
                                    ffn_norm_bias,    ffn_up_bias,    ffn_down_bias};

Result<void> settle(const ModelDesc& desc, DecoderSettings& settings)
{
    const std::string_view activation = desc.activation;
    if (!activation.empty() && activation != "gelu_tanh" && activation != "gelu_erf") {
        return fail(Status::unsupported, "{}: 'gpt2.feed_forward.activation' is '{}', known are: gelu_tanh, gelu_erf",
                    desc.path, activation);
    }
    settings.gelu_erf = activation == "gelu_erf";
    return success();
}

constexpr DecoderTraits kTraits = {.norm = NormKind::layer,
                                   .positions = PositionKind::learned,
                                   .feed_forward = FeedForward::gelu,
                                   .required = kRequired,
                                   .optional = kOptional,
                                   .settle = settle};

} // namespace

constinit const Architecture kGpt2 = decoder<kTraits>("gpt2");

} // namespace llmk
