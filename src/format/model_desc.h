// SPDX-License-Identifier: MIT
//
// What a model file says, in one shape for every format: hyper-parameters, tensor table, where the vocabulary is. Made
// by src/format, bound to weights by src/model, shown by the menu and `llmk info`. Names are GGUF's where it has them.
#pragma once

#include "llmk/vocabulary.h"
#include "mem/vec.h"

namespace llmk {

/// How weights are packed. Rows of tensor_types.cpp.
enum class TensorType : uint8_t {
    f32,
    /// llama2.c version 2: (rows, cols) int8, then (rows, cols/group) float32 scales, at any byte.
    q8_group,
    // ggml's. A row is a whole number of blocks; what a block holds is in kernels/djiblas.h.
    f16,
    bf16,
    q8_0,
    q4_0,
    q4_1,
    q5_0,
    q5_1,
    q2_k,
    q3_k,
    q4_k,
    q5_k,
    q6_k,
    iq4_nl,
    iq4_xs,
};
constexpr size_t kTensorTypes = 16;

struct TensorTypeInfo {
    TensorType type;
    std::string_view name;
    uint32_t ggml_type; ///< GGUF's number; kNoGgmlType where it has none
    uint32_t block_values;
    uint32_t block_bytes; ///< 0 for q8_group, whose groups are the file's choice
};
constexpr uint32_t kNoGgmlType = 0xffffffffu;

const TensorTypeInfo& tensor_type_info(TensorType type);
/// Null for what is not computed here.
const TensorTypeInfo* find_ggml_type(uint32_t number);
/// The name of any type that ggml has had, computed here or not; empty for numbers past those.
std::string_view ggml_type_name(uint32_t number);
inline std::string_view tensor_type_name(TensorType type) { return tensor_type_info(type).name; }

enum class TensorRole : uint8_t {
    token_embd,         ///< (vocab_size, embedding_length)
    position_embd,      ///< (context_length, embedding_length): learned positions
    output_norm,        ///< (1, embedding_length)
    output,             ///< (vocab_size, embedding_length); absent when the head is tied to token_embd
    rope_freqs,         ///< (1, rope dimensions / 2): divisors of the RoPE frequencies; absent when there are none
    rope_factors_long,  ///< as rope_freqs, for contexts longer than the original one
    rope_factors_short, ///< as rope_freqs, for contexts up to the original one
    output_norm_bias,
    output_bias,         ///< (1, vocab_size)
    attn_norm,           ///< (1, embedding_length), one a layer, as are all that follow
    attn_q,              ///< (head_count * head_dim, embedding_length)
    attn_k,              ///< (head_count_kv * head_dim, embedding_length)
    attn_v,              ///< (head_count_kv * head_dim, embedding_length)
    attn_qkv,            ///< the rows of attn_q, attn_k and attn_v, in place of them
    attn_output,         ///< (embedding_length, head_count * head_dim)
    attn_q_norm,         ///< (1, head_dim)
    attn_k_norm,         ///< (1, head_dim)
    post_attention_norm, ///< (1, embedding_length)
    ffn_norm,            ///< (1, embedding_length)
    ffn_gate,            ///< (feed_forward_length, embedding_length)
    ffn_up,              ///< (feed_forward_length, embedding_length); phi3: the rows of ffn_gate, then its own
    ffn_down,            ///< (embedding_length, feed_forward_length)
    post_ffw_norm,       ///< (1, embedding_length)
    attn_norm_bias,      ///< (1, rows of the weight), as are all that follow
    attn_q_bias,
    attn_k_bias,
    attn_v_bias,
    attn_qkv_bias,
    attn_output_bias,
    ffn_norm_bias,
    ffn_gate_bias,
    ffn_up_bias,
    ffn_down_bias,
};
constexpr size_t kTensorRoles = 33;

/// Rows of tensor_roles.cpp.
struct TensorRoleInfo {
    TensorRole role;
    std::string_view name; ///< as GGUF spells it, without "blk.N." and without ".weight" or ".bias"
    bool in_layer;         ///< there is one a layer
    bool is_bias;
    bool is_vector; ///< one row that is read as float32: norms, biases, RoPE factors
};

const TensorRoleInfo& tensor_role_info(TensorRole role);
inline std::string_view tensor_role_name(TensorRole role) { return tensor_role_info(role).name; }
inline bool is_layer_role(TensorRole role) { return tensor_role_info(role).in_layer; }
/// As GGUF spells it: "blk.3.attn_q.weight".
Text<64> tensor_name(TensorRole role, uint64_t layer);

struct TensorDesc {
    TensorRole role;
    TensorType type;
    uint32_t layer; ///< 0 for the ones that are not in a layer
    uint64_t rows;
    uint64_t cols;
    uint64_t offset_bytes;         ///< in its file
    uint64_t size_bytes;           ///< scales included
    uint32_t shard = 0;            ///< which file, from 0, of a model in several
    const uint8_t* data = nullptr; ///< in memory, when the model is loaded
    bool panels = false;           ///< repacked: rows lie as products want them, not as in the file
    uint64_t checksum = 0;         ///< of what lies there then (model/weight_checks.h)
};

/// How a model was trained to be spoken to, as far as the file tells.
enum class ModelKind : uint8_t { story, chat };
constexpr std::string_view model_kind_name(ModelKind kind) { return kind == ModelKind::story ? "story" : "chat"; }

/// Whose rules a vocabulary follows.
enum class VocabularyKind : uint8_t {
    none,
    llama2c, ///< a tokenizer.bin, SentencePiece; without a path it is still to be found beside the model
    spm,     ///< in a GGUF file, SentencePiece ("llama")
    bpe,     ///< in a GGUF file, byte-level BPE ("gpt2")
};

constexpr std::string_view vocabulary_kind_name(VocabularyKind kind)
{
    constexpr std::string_view kNames[] = {"none", "llama2.c", "spm", "bpe"};
    return kNames[static_cast<size_t>(kind)];
}

/// Where a vocabulary lies and how large it is: enough to plan memory, and to read it later (format/vocabularies.h).
struct VocabularyDesc {
    VocabularyKind kind = VocabularyKind::none;
    Text<256> path; ///< the file that holds it: the model's own, or one beside it
    uint64_t entries = 0;
    uint64_t text_bytes = 0;  ///< of all entries; llama2c: the file's size
    uint64_t merges = 0;      ///< of bpe
    uint64_t merge_bytes = 0; ///< of all merges
    uint64_t tokens_at = 0;   ///< offsets in the file of the first elements; 0 when there are none
    uint64_t scores_at = 0;
    uint64_t types_at = 0;
    uint64_t merges_at = 0;
    Text<32> pre; ///< tokenizer.ggml.pre: how byte-level BPE cuts words; empty when the file does not say
    SpecialTokens special;
    TokenizerFlags flags;
};

struct ModelDesc {
    explicit ModelDesc(Platform& platform) : tensors(platform) {}

    Text<256> path;        ///< on the volume; of a model in several files, the first's
    Text<32> format;       ///< "llama2.c v0"
    Text<24> architecture; ///< "llama": a row of src/model/archs.cpp
    Text<24> type;         ///< of most weights: "F32", "Q8 g64"
    ModelKind kind = ModelKind::story;
    uint64_t file_size_bytes = 0; ///< of all its files
    uint32_t shard_count = 1;     ///< files (format/gguf_shards.h)

    uint64_t embedding_length = 0;
    uint64_t feed_forward_length = 0;
    uint64_t block_count = 0;
    uint64_t head_count = 0;
    uint64_t head_count_kv = 0;
    uint64_t head_dim = 0;
    uint64_t context_length = 0;
    uint64_t vocab_size = 0;
    uint64_t group_size = 0; ///< of q8_group; 0 when there is none
    float norm_rms_epsilon = 1e-5f;
    float norm_epsilon = 0.0f; ///< of LayerNorm
    bool tied_head = false;
    // What a file may leave out, and an architecture then knows.
    std::optional<uint64_t> sliding_window;         ///< positions that a layer with one looks back, itself included
    std::optional<uint64_t> sliding_window_pattern; ///< every so many-th layer has none
    std::optional<float> attention_scale;           ///< of query times key
    std::optional<float> attn_logit_softcapping;
    std::optional<float> final_logit_softcapping;
    std::optional<float> rope_freq_base_swa; ///< of layers with a sliding window
    Text<32> activation;                     ///< "gelu_tanh", "gelu_erf"; empty where the file does not say

    float rope_freq_base = 10000.0f;
    uint64_t rope_dimension_count = 0;         ///< values of a head that turn, the first ones; 0 is all
    Text<32> rope_scaling;                     ///< "linear", "yarn", "longrope"; empty for none
    float rope_scaling_factor = 1.0f;          ///< positions are divided by it
    float rope_attn_factor = 1.0f;             ///< sine and cosine are multiplied with it
    uint64_t rope_original_context_length = 0; ///< that the model was trained with before it was stretched; 0: all
    float yarn_ext_factor = 1.0f;
    float yarn_beta_fast = 32.0f;
    float yarn_beta_slow = 1.0f;

    uint64_t parameters = 0;   ///< weights in all tensors
    uint64_t weight_bytes = 0; ///< of all tensors; what a token's decode reads, but for an untied embedding table
    Vec<TensorDesc> tensors;   ///< in the order of files and offsets; none in a file that is a vocabulary only
    /// A tensor that changes the numbers and has no role in any architecture: nothing can run this model. Empty when
    /// there is none.
    Text<80> foreign_tensor;

    VocabularyDesc vocabulary;     ///< the file's own; the one beside it once the loader has found it
    uint64_t chat_template_at = 0; ///< tokenizer.chat_template in the file
    uint64_t chat_template_bytes = 0;
};

/// The part of a path after its last '/' or '\'.
std::string_view file_name(std::string_view path);
/// The folder of a path with its closing separator; empty for the root.
std::string_view folder_of(std::string_view path);

} // namespace llmk
