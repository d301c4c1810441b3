// SPDX-License-Identifier: MIT
//
// A loaded model: weights where the kernels read them, the tokenizer, and the architecture that knows how to run it.
// Owns the contract between architectures (one file each, a row in archs.cpp) and the engine. Knows no sampling, no
// turns, no console.
#pragma once

#include "cpu/kernels.h"
#include "format/model_desc.h"
#include "model/kv_cache.h"
#include "model/tokenizers.h"

namespace llmk {

struct Model;
class Ops;

/// A weight matrix in memory, row-major, as the file packs it, or in panels (model/panels.h).
struct Tensor {
    const uint8_t* data = nullptr;
    TensorType type = TensorType::f32;
    uint64_t rows = 0;
    uint64_t cols = 0;
    uint64_t group = 0;  ///< of q8_group
    bool panels = false; ///< but for the rows that do not fill one

    const float* f32() const { return reinterpret_cast<const float*>(data); }
    const int8_t* q8() const { return reinterpret_cast<const int8_t*>(data); }
    const djiblas::UnalignedF32* q8_scales() const
    {
        return reinterpret_cast<const djiblas::UnalignedF32*>(data + rows * cols);
    }
};

/// Rows of logits that the workspace has room for: those of a token and of what is guessed to follow it.
constexpr size_t kLogitRows = 8;

/// In which order a product sums up.
enum class SumOrder : uint8_t {
    fastest,
    as_single, ///< each row of a batch gets the bits that it would get alone
};

/// Values from one row of a batch to the next, for rows of `cols`: at least so many, and 192 bytes more than a multiple
/// of 1024. Rows that lie a multiple of 4096 bytes apart would meet in the same few lines of a cache.
template <class T> constexpr uint64_t row_stride(uint64_t cols)
{
    constexpr uint64_t kPeriod = 1024 / sizeof(T);
    constexpr uint64_t kRest = 192 / sizeof(T);
    return (cols + kPeriod - 1 - kRest) / kPeriod * kPeriod + kRest;
}

/// Activations of one batch. All buffers are in ACTS and hold `batch` rows; "apart" stands for row_stride().
struct Workspace {
    size_t batch = 0;
    float* x = nullptr;        ///< (batch, embedding_length): the residual stream
    float* normed = nullptr;   ///< (batch, embedding_length), apart
    float* query = nullptr;    ///< (batch, head_count * head_dim)
    float* attended = nullptr; ///< (batch, head_count * head_dim)
    float* gate = nullptr;     ///< (batch, feed_forward_length), apart
    float* up = nullptr;       ///< likewise
    float* key = nullptr;      ///< (batch, head_count_kv * head_dim): on their way into the cache
    float* value = nullptr;    ///< likewise
    float* partial = nullptr;  ///< (partial_rows, head_dim): what attention gave of parts of the context
    float* peaks = nullptr;    ///< (partial_rows): its scores' largest, and
    float* sums = nullptr;     ///< (partial_rows): the sum of their exponentials
    size_t partial_rows = 0;   ///< queries of one head times parts; 0 where the context is never parted
    float* rope_cos = nullptr; ///< (tables, batch, head_dim / 2); where there are sliding windows two tables
    float* rope_sin = nullptr; ///< as rope_cos
    /// (batch, widest input), apart where it is in blocks; null when no tensor is packed. Where tensors are in panels
    /// there is room for djiblas::Bf16Input's tiles in its place.
    int8_t* quantized = nullptr;
    float* quantized_scales = nullptr;
    djiblas::InputScale* input_scales = nullptr; ///< of the blocks of `quantized`; null when no tensor is in panels
    float* turned = nullptr; ///< djiblas::TurnedInput of (batch, widest input); null where no matrix is of floats
    size_t logit_rows = 0;
    float* logits = nullptr;            ///< (logit_rows, vocab_size)
    SumOrder order = SumOrder::fastest; ///< of the pass that comes next
    uint64_t first_layer = 0;           ///< of the pass that comes next, where it is not to run all, for its time
    uint64_t layers = UINT64_MAX;       ///< of the pass that comes next, where it is to run only so many, for its time
};

enum class LogitsWanted : uint8_t { none, last, all };

/// What a long pass asks now and then whether it is to end. Without `asked` it is not.
struct Interrupt {
    void* context = nullptr;
    bool (*asked)(void* context) = nullptr;

    bool pending() const { return asked != nullptr && asked(context); }
};

struct Architecture {
    const char* name; ///< as GGUF's general.architecture spells it
    /// Sees that a description has all that this architecture needs, in the right shapes; the sentence names what does
    /// not fit. Sizes computed from the description afterwards do not overflow.
    Result<void> (*check)(const ModelDesc& desc);
    /// Bytes of WEIGHTS that bind() takes beside the tensors.
    uint64_t (*bind_bytes)(const ModelDesc& desc);
    /// Finds its tensors and computes what does not change with the input. Names a tensor that is missing.
    Result<void> (*bind)(Model& model, Arena& weights);
    /// Runs `tokens` (1 .. workspace.batch of them) at positions `position`.. and fills the cache there. `logits` takes
    /// vocab_size values (last) or one such row a token (all). With SumOrder::as_single in the workspace, cache and
    /// logits get the same bits as by one pass a token. False when `interrupt`, asked between layers, ended the pass:
    /// the cache is of no use there, and there are no logits.
    bool (*forward)(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace,
                    std::span<const Token> tokens, size_t position, LogitsWanted wanted, float* logits,
                    const Interrupt& interrupt);
    /// Moves the keys of positions [from, from + count) to the positions `delta` before them, in place of
    /// recomputing them. Null where positions are absolute: then the engine runs the tokens again.
    void (*shift_keys)(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, size_t from,
                       size_t count, size_t delta);
};

std::span<const Architecture* const> architectures();
/// Status::unsupported lists the known ones.
Result<const Architecture*> find_architecture(std::string_view name);

struct Model {
    explicit Model(ModelDesc&& description) : desc(std::move(description)) {}
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    ModelDesc desc;
    const Architecture* architecture = nullptr;
    LoadedTokenizer vocabulary;
    const Tokenizer* tokenizer = nullptr; ///< of the vocabulary
    void* bound = nullptr;                ///< the architecture's own, in WEIGHTS
    uint64_t extra_checksum = 0;          ///< of what lies in WEIGHTS beside the tensors
    uint64_t read_bytes = 0;              ///< of weights, from the model's files
    uint64_t read_ticks = 0;              ///< that it took, with what is done to them meanwhile
    /// The first tensor without its checksum, and the first of its blocks: see LateSums.
    size_t summed_tensors = 0;
    uint64_t summed_blocks = 0;

    /// The tensor of a role; data is null when the model has none.
    Tensor tensor(TensorRole role, uint32_t layer = 0) const;
};

} // namespace llmk
