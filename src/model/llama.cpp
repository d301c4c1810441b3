// SPDX-License-Identifier: MIT
#include "model/llama.h"

#include "base/math.h"
#include "model/ops.h"

namespace llmk {

namespace {

struct Layer {
    Tensor attn_norm, attn_q, attn_k, attn_v, attn_output;
    Tensor ffn_norm, ffn_gate, ffn_up, ffn_down;
};

struct Llama {
    Tensor token_embd, output_norm, output;
    float* inverse_frequencies; ///< (head_dim / 2)
    Layer* layers;
};

/// Norms are read as floats; those that a file packs are unpacked once.
bool is_packed_norm(const TensorDesc& tensor)
{
    const bool norm = tensor.role == TensorRole::attn_norm || tensor.role == TensorRole::ffn_norm ||
                      tensor.role == TensorRole::output_norm;
    return norm && tensor.type != TensorType::f32;
}

uint64_t bind_bytes(const ModelDesc& desc)
{
    uint64_t bytes =
        sizeof(Llama) + desc.block_count * sizeof(Layer) + desc.head_dim / 2 * sizeof(float) + 3 * Arena::kAlignment;
    for (const TensorDesc& tensor : desc.tensors) {
        bytes += is_packed_norm(tensor) ? tensor.cols * sizeof(float) + Arena::kAlignment : 0;
    }
    return bytes;
}

Result<Tensor> require(const Model& model, TensorRole role, uint32_t layer = 0)
{
    const Tensor tensor = model.tensor(role, layer);
    if (tensor.data == nullptr) {
        return fail(Status::bad_format, "{}: tensor {} of block {} is missing", model.desc.path, tensor_role_name(role),
                    layer);
    }
    return tensor;
}

Result<Tensor> require_norm(const Model& model, Arena& weights, TensorRole role, uint32_t layer = 0)
{
    Tensor norm = TRY(require(model, role, layer));
    if (norm.type != TensorType::f32) {
        auto* const values = TRY(weights.alloc_array<float>(norm.cols));
        Ops::read_row(values, norm, 0);
        norm.data = reinterpret_cast<const uint8_t*>(values);
        norm.type = TensorType::f32;
    }
    return norm;
}

/// What a position is multiplied with, for each pair of a head: base^(-2i / head_dim), less where the file stretches
/// the context.
void fill_inverse_frequencies(const Model& model, float* frequencies)
{
    const ModelDesc& desc = model.desc;
    const Tensor factors = model.tensor(TensorRole::rope_freqs);
    if (factors.data != nullptr) {
        Ops::read_row(frequencies, factors, 0);
    }
    for (uint64_t i = 0; i < desc.head_dim / 2; ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(desc.head_dim);
        float frequency = 1.0f / math::powf(desc.rope_freq_base, exponent);
        if (factors.data != nullptr) {
            frequency /= frequencies[i];
        }
        if (desc.rope_scale_linear != 1.0f) {
            frequency /= desc.rope_scale_linear;
        }
        frequencies[i] = frequency;
    }
}

Result<void> bind(Model& model, Arena& weights)
{
    const ModelDesc& desc = model.desc;
    auto* llama = TRY(weights.alloc_array<Llama>(1));
    llama->layers = TRY(weights.alloc_array<Layer>(desc.block_count));
    llama->inverse_frequencies = TRY(weights.alloc_array<float>(desc.head_dim / 2));
    llama->token_embd = TRY(require(model, TensorRole::token_embd));
    llama->output_norm = TRY(require_norm(model, weights, TensorRole::output_norm));
    llama->output = desc.tied_head ? llama->token_embd : TRY(require(model, TensorRole::output));
    for (uint32_t i = 0; i < desc.block_count; ++i) {
        Layer layer;
        layer.attn_norm = TRY(require_norm(model, weights, TensorRole::attn_norm, i));
        layer.attn_q = TRY(require(model, TensorRole::attn_q, i));
        layer.attn_k = TRY(require(model, TensorRole::attn_k, i));
        layer.attn_v = TRY(require(model, TensorRole::attn_v, i));
        layer.attn_output = TRY(require(model, TensorRole::attn_output, i));
        layer.ffn_norm = TRY(require_norm(model, weights, TensorRole::ffn_norm, i));
        layer.ffn_gate = TRY(require(model, TensorRole::ffn_gate, i));
        layer.ffn_up = TRY(require(model, TensorRole::ffn_up, i));
        layer.ffn_down = TRY(require(model, TensorRole::ffn_down, i));
        llama->layers[i] = layer;
    }
    fill_inverse_frequencies(model, llama->inverse_frequencies);
    model.bound = llama;
    return success();
}

/// Fills cos and sin of one position. The angle is a float32 product, as in the programs that the models were trained
/// and published with; its sine and cosine are exact to the last place.
void rope_row(const Llama& llama, size_t pairs, float position, float* cos, float* sin)
{
    for (size_t i = 0; i < pairs; ++i) {
        const float angle = position * llama.inverse_frequencies[i];
        double sine = 0.0;
        double cosine = 0.0;
        math::sincos(static_cast<double>(angle), sine, cosine);
        cos[i] = static_cast<float>(cosine);
        sin[i] = static_cast<float>(sine);
    }
}

/// Causal attention of the batch over the cache, one part a head.
void attend(const ModelDesc& desc, const Ops& ops, const KvCache& cache, size_t layer, Workspace& workspace,
            size_t batch, size_t position)
{
    const size_t head_dim = desc.head_dim;
    const size_t query_dim = desc.head_count * head_dim;
    const size_t heads_per_kv = desc.head_count / desc.head_count_kv;
    const float divisor = math::sqrtf(static_cast<float>(head_dim));
    const KernelSet& kernels = ops.attention_kernels();
    const uint64_t work = desc.head_count * batch * (position + batch) * head_dim * 2;
    const size_t parts = ops.parts_for(work, desc.head_count);
    ops.parallel(parts, [&](size_t part) {
        for (size_t head = desc.head_count * part / parts; head < desc.head_count * (part + 1) / parts; ++head) {
            const size_t kv_offset = head / heads_per_kv * head_dim;
            const float* keys = cache.key(layer) + kv_offset;
            const float* values = cache.value(layer) + kv_offset;
            float* scores = workspace.scores + head * cache.context;
            for (size_t b = 0; b < batch; ++b) {
                const size_t positions = position + b + 1;
                const size_t at = b * query_dim + head * head_dim;
                kernels.attention_scores(scores, workspace.query + at, keys, cache.kv_dim, positions, head_dim,
                                         divisor);
                kernels.softmax(scores, positions);
                kernels.attention_sum(workspace.attended + at, scores, values, cache.kv_dim, positions, head_dim);
            }
        }
    });
}

void forward(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, std::span<const Token> tokens,
             size_t position, LogitsWanted wanted, float* logits)
{
    const ModelDesc& desc = model.desc;
    const Llama& llama = *static_cast<const Llama*>(model.bound);
    const KernelSet& kernels = ops.kernels();
    const size_t batch = tokens.size();
    const size_t dim = desc.embedding_length;
    const size_t query_dim = desc.head_count * desc.head_dim;
    const size_t hidden = desc.feed_forward_length;
    const size_t pairs = desc.head_dim / 2;
    const size_t kv_dim = cache.kv_dim;

    for (size_t b = 0; b < batch; ++b) {
        Ops::read_row(workspace.x + b * dim, llama.token_embd, tokens[b]);
        rope_row(llama, pairs, static_cast<float>(position + b), workspace.rope_cos + b * pairs,
                 workspace.rope_sin + b * pairs);
    }
    const auto norm = [&](const Tensor& weight) {
        for (size_t b = 0; b < batch; ++b) {
            kernels.rmsnorm(workspace.normed + b * dim, workspace.x + b * dim, weight.f32(), dim,
                            desc.norm_rms_epsilon);
        }
    };
    const auto activate = [&](const float* x, size_t cols) {
        return ops.activate(workspace, x, batch, cols, desc.group_size);
    };

    for (size_t i = 0; i < desc.block_count; ++i) {
        const Layer& layer = llama.layers[i];
        float* keys = cache.key(i) + position * kv_dim;
        float* values = cache.value(i) + position * kv_dim;

        norm(layer.attn_norm);
        const Activation block_in = activate(workspace.normed, dim);
        ops.matmul(workspace.query, query_dim, layer.attn_q, block_in);
        ops.matmul(keys, kv_dim, layer.attn_k, block_in);
        ops.matmul(values, kv_dim, layer.attn_v, block_in);
        for (size_t b = 0; b < batch; ++b) {
            const float* cos = workspace.rope_cos + b * pairs;
            const float* sin = workspace.rope_sin + b * pairs;
            kernels.rope_pairs(workspace.query + b * query_dim, cos, sin, desc.head_count, desc.head_dim,
                               desc.head_dim);
            kernels.rope_pairs(keys + b * kv_dim, cos, sin, desc.head_count_kv, desc.head_dim, desc.head_dim);
        }
        attend(desc, ops, cache, i, workspace, batch, position);
        ops.matmul(workspace.normed, dim, layer.attn_output, activate(workspace.attended, query_dim));
        kernels.add(workspace.x, workspace.normed, batch * dim);

        norm(layer.ffn_norm);
        const Activation ffn_in = activate(workspace.normed, dim);
        ops.matmul(workspace.gate, hidden, layer.ffn_gate, ffn_in);
        ops.matmul(workspace.up, hidden, layer.ffn_up, ffn_in);
        kernels.swiglu(workspace.gate, workspace.up, batch * hidden);
        ops.matmul(workspace.normed, dim, layer.ffn_down, activate(workspace.gate, hidden));
        kernels.add(workspace.x, workspace.normed, batch * dim);
    }

    if (wanted == LogitsWanted::none) {
        return;
    }
    const size_t first = wanted == LogitsWanted::all ? 0 : batch - 1;
    const size_t rows = batch - first;
    for (size_t b = first; b < batch; ++b) {
        kernels.rmsnorm(workspace.normed + b * dim, workspace.x + b * dim, llama.output_norm.f32(), dim,
                        desc.norm_rms_epsilon);
    }
    ops.matmul(logits, desc.vocab_size, llama.output,
               ops.activate(workspace, workspace.normed + first * dim, rows, dim, desc.group_size));
}

/// RoPE turns a key by an angle proportional to its position, and turns add up: turning back by `delta` is moving it.
void shift_keys(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, size_t from, size_t count,
                size_t delta)
{
    const ModelDesc& desc = model.desc;
    rope_row(*static_cast<const Llama*>(model.bound), desc.head_dim / 2, -static_cast<float>(delta), workspace.rope_cos,
             workspace.rope_sin);
    for (size_t layer = 0; layer < cache.layers; ++layer) {
        float* keys = cache.key(layer) + (from - delta) * cache.kv_dim;
        float* values = cache.value(layer) + (from - delta) * cache.kv_dim;
        const size_t bytes = count * cache.kv_dim * sizeof(float);
        __builtin_memmove(keys, keys + delta * cache.kv_dim, bytes);
        __builtin_memmove(values, values + delta * cache.kv_dim, bytes);
        for (size_t t = 0; t < count; ++t) {
            ops.kernels().rope_pairs(keys + t * cache.kv_dim, workspace.rope_cos, workspace.rope_sin,
                                     desc.head_count_kv, desc.head_dim, desc.head_dim);
        }
    }
}

} // namespace

const Architecture kLlama = {.name = "llama",
                             .check = check_llama,
                             .bind_bytes = bind_bytes,
                             .bind = bind,
                             .forward = forward,
                             .shift_keys = shift_keys};

} // namespace llmk
