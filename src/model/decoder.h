// SPDX-License-Identifier: MIT
//
// The pre-norm decoder that the architectures here have in common: embedding, blocks of attention and feed-forward
// around a residual stream, norm, head. An architecture is a DecoderTraits of its own file (llama.cpp, gpt2.cpp, ...)
// that says what it does differently; numbers come from the model's file. Checks, binds, runs. Knows no architecture by
// name.
#pragma once

#include "model/model.h"
#include "model/rope.h"

namespace llmk {

enum class NormKind : uint8_t {
    rms,   ///< Zhang and Sennrich 2019, arXiv:1910.07467
    layer, ///< Ba et al. 2016, arXiv:1607.06450; a bias where the file has one
};

enum class PositionKind : uint8_t {
    rope_pairs,  ///< RoPE (Su et al. 2021, arXiv:2104.09864) on neighbours, as GGUF files of llama are permuted for
    rope_halves, ///< RoPE on the halves of a head (GPT-NeoX)
    learned,     ///< position_embd is added to the embedding
};

enum class FeedForward : uint8_t {
    swiglu,       ///< down(silu(gate) * up), Shazeer 2020, arXiv:2002.05202
    swiglu_fused, ///< the same; ffn_up holds the rows of the gate, then its own
    geglu,        ///< down(gelu(gate) * up), the tanh form of GELU
    gelu,         ///< down(gelu(up))
};

/// Numbers that an architecture derives from the description. Zero is off, but for the first two.
struct DecoderSettings {
    float attention_divisor = 1.0f; ///< of query times key
    float embedding_scale = 1.0f;
    float attention_softcap = 0.0f;
    float final_softcap = 0.0f;
    uint64_t window = 0;          ///< positions that a local layer sees, its own included; 0: all layers see everything
    uint64_t global_period = 0;   ///< of so many layers the last is global; 0: all are local
    float local_freq_base = 0.0f; ///< RoPE of local layers, not scaled; 0: as the global ones
    bool gelu_erf = false;        ///< FeedForward::gelu by the error function, not by tanh

    bool is_local(uint64_t layer) const
    {
        return window != 0 && (global_period == 0 || layer % global_period != global_period - 1);
    }
};

/// What an architecture is.
struct DecoderTraits {
    NormKind norm = NormKind::rms;
    PositionKind positions = PositionKind::rope_halves;
    FeedForward feed_forward = FeedForward::swiglu;
    /// Tensors beside those that all have: token_embd, output_norm, and of each block attn_norm, attn_output, ffn_norm,
    /// ffn_up, ffn_down. One in neither list is refused by name; `output` may be absent in all.
    std::span<const TensorRole> required;
    std::span<const TensorRole> optional;
    /// Makes of the defaults (divisor: the root of head_dim) this architecture's. May be null.
    Result<void> (*settle)(const ModelDesc& desc, DecoderSettings& settings) = nullptr;
};

Result<DecoderSettings> decoder_settings(const DecoderTraits& traits, const ModelDesc& desc);

// The members of Architecture; what they promise is said there.
Result<void> check_decoder(const DecoderTraits& traits, const ModelDesc& desc);
uint64_t decoder_bind_bytes(const ModelDesc& desc);
Result<void> bind_decoder(const DecoderTraits& traits, Model& model, Arena& weights);
bool decoder_forward(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace,
                     std::span<const Token> tokens, size_t position, LogitsWanted wanted, float* logits,
                     const Interrupt& interrupt);
void decoder_shift_keys(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, size_t from,
                        size_t count, size_t delta);

template <const DecoderTraits& kTraits> constexpr Architecture decoder(const char* name)
{
    return {.name = name,
            .check = [](const ModelDesc& desc) { return check_decoder(kTraits, desc); },
            .bind_bytes = decoder_bind_bytes,
            .bind = [](Model& model, Arena& weights) { return bind_decoder(kTraits, model, weights); },
            .forward = decoder_forward,
            .shift_keys = kTraits.positions == PositionKind::learned ? nullptr : decoder_shift_keys};
}

// What bind_decoder leaves in Model::bound. Vectors are float32 in WEIGHTS; null where the file has none.

/// y = weight x + bias
struct Linear {
    Tensor weight;
    const float* bias = nullptr;
};

struct Norm {
    const float* weight = nullptr;
    const float* bias = nullptr;
};

struct DecoderLayer {
    Norm attn_norm;
    Linear attn_q, attn_k, attn_v, attn_output;
    Norm attn_q_norm, attn_k_norm; ///< of each head
    Norm post_attention_norm;
    Norm ffn_norm;
    Linear ffn_gate, ffn_up, ffn_down;
    Norm post_ffw_norm;
};

struct Decoder {
    const DecoderTraits* traits;
    DecoderSettings settings;
    float norm_epsilon;
    Tensor token_embd, position_embd;
    Norm output_norm;
    Linear output;
    DecoderLayer* layers; ///< (block_count)
    RopeFrequencies rope; ///< of contexts up to rope_original_context_length, where that makes a difference
    RopeFrequencies rope_long;
    RopeFrequencies rope_local; ///< of layers with a window
};

} // namespace llmk
