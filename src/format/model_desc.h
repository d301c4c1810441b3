// SPDX-License-Identifier: MIT
//
// What a model file says, in one shape for every format: hyper-parameters, tensor table, where the vocabulary is. Made
// by src/format, bound to weights by src/model, shown by the menu and `llmk info`. Names are GGUF's where it has them.
#pragma once

#include "mem/vec.h"

namespace llmk {

enum class TensorType : uint8_t {
    f32,
    /// llama2.c version 2: (rows, cols) int8, then (rows, cols/group) float32 scales, at any byte.
    q8_group,
};
std::string_view tensor_type_name(TensorType type);

enum class TensorRole : uint8_t {
    token_embd,  ///< (vocab_size, embedding_length)
    output_norm, ///< (1, embedding_length)
    output,      ///< (vocab_size, embedding_length); absent when the head is tied to token_embd
    attn_norm,   ///< (1, embedding_length), one a layer, as are all that follow
    attn_q,      ///< (head_count * head_dim, embedding_length)
    attn_k,      ///< (head_count_kv * head_dim, embedding_length)
    attn_v,      ///< (head_count_kv * head_dim, embedding_length)
    attn_output, ///< (embedding_length, head_count * head_dim)
    ffn_norm,    ///< (1, embedding_length)
    ffn_gate,    ///< (feed_forward_length, embedding_length)
    ffn_up,      ///< (feed_forward_length, embedding_length)
    ffn_down,    ///< (embedding_length, feed_forward_length)
};
std::string_view tensor_role_name(TensorRole role);

struct TensorDesc {
    TensorRole role;
    TensorType type;
    uint32_t layer; ///< 0 for the ones that are not in a layer
    uint64_t rows;
    uint64_t cols;
    uint64_t offset_bytes; ///< in the file
    uint64_t size_bytes;   ///< scales included
};

/// How a model was trained to be spoken to, as far as the file tells.
enum class ModelKind : uint8_t { story, chat };
constexpr std::string_view model_kind_name(ModelKind kind) { return kind == ModelKind::story ? "story" : "chat"; }

struct ModelDesc {
    explicit ModelDesc(Platform& platform) : tensors(platform) {}

    Text<256> path;        ///< on the volume
    Text<32> format;       ///< "llama2.c v0"
    Text<24> architecture; ///< "llama": a row of src/model/archs.cpp
    Text<24> type;         ///< of most weights: "F32", "Q8 g64"
    ModelKind kind = ModelKind::story;
    uint64_t file_size_bytes = 0;

    uint64_t embedding_length = 0;
    uint64_t feed_forward_length = 0;
    uint64_t block_count = 0;
    uint64_t head_count = 0;
    uint64_t head_count_kv = 0;
    uint64_t head_dim = 0;
    uint64_t context_length = 0;
    uint64_t vocab_size = 0;
    uint64_t group_size = 0; ///< of q8_group; 0 when there is none
    float rope_freq_base = 10000.0f;
    float norm_rms_epsilon = 1e-5f;
    bool tied_head = false;

    uint64_t parameters = 0;   ///< weights in all tensors
    uint64_t weight_bytes = 0; ///< of all tensors; what a token's decode reads, but for an untied embedding table
    Vec<TensorDesc> tensors;   ///< in the file's order

    Text<256> tokenizer_path; ///< the side file that holds the vocabulary
};

/// The part of a path after its last '/' or '\'.
std::string_view file_name(std::string_view path);
/// The folder of a path with its closing separator; empty for the root.
std::string_view folder_of(std::string_view path);

} // namespace llmk
