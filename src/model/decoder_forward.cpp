// SPDX-License-Identifier: MIT
//
// A pass through a bound decoder.
#include "model/attention.h"
#include "model/decoder.h"
#include "model/ops.h"

#include <algorithm>

namespace llmk {

namespace {

/// Multiply-adds that these cost about as much as: a tanh or exp, and a value that is read, changed and written.
constexpr uint64_t kTanhCost = 16;
constexpr uint64_t kTouchCost = 4;

const RopeFrequencies& global_rope(const Decoder& decoder, const ModelDesc& desc, const KvCache& cache)
{
    // The whole cache is of one kind, so what decides is how long it may become, not how long it is.
    const bool stretched = desc.rope_original_context_length != 0 && cache.context > desc.rope_original_context_length;
    return stretched ? decoder.rope_long : decoder.rope;
}

/// The RoPE of a layer.
const RopeFrequencies& rope_of(const Decoder& decoder, const ModelDesc& desc, const KvCache& cache, uint64_t layer)
{
    const bool local = decoder.rope_local.inverse != nullptr && decoder.settings.is_local(layer);
    return local ? decoder.rope_local : global_rope(decoder, desc, cache);
}

using RopeKernel = decltype(KernelSet::rope_pairs);

RopeKernel rope_kernel(const Decoder& decoder, const KernelSet& kernels)
{
    return decoder.traits->positions == PositionKind::rope_pairs ? kernels.rope_pairs : kernels.rope_halves;
}

/// Rows of activations, `stride` floats apart.
struct Rows {
    float* first;
    size_t stride;

    float* operator[](size_t row) const { return first + row * stride; }
};

/// One batch on its way through the layers.
class Pass {
public:
    Pass(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, size_t batch, size_t position)
        : m_desc(model.desc), m_decoder(*static_cast<const Decoder*>(model.bound)), m_ops(ops),
          m_kernels(ops.kernels()), m_cache(cache), m_work(workspace), m_batch(batch), m_position(position),
          m_dim(model.desc.embedding_length), m_query_dim(model.desc.head_count * model.desc.head_dim),
          m_pairs(m_decoder.rope.pairs),
          m_rope(rope_kernel(m_decoder, m_kernels)), m_x{workspace.x, m_dim}, m_normed{workspace.normed,
                                                                                       row_stride<float>(m_dim)},
          m_gate{workspace.gate, row_stride<float>(model.desc.feed_forward_length)}, m_up{workspace.up, m_gate.stride},
          m_query{workspace.query, m_query_dim}
    {
    }

    void embed(std::span<const Token> tokens)
    {
        const float scale = m_decoder.settings.embedding_scale;
        by_rows(m_dim * kTanhCost, [&](size_t b) {
            float* const x = m_x[b];
            Ops::read_row(x, m_decoder.token_embd, tokens[b]);
            if (m_decoder.position_embd.data != nullptr) {
                float* const position = m_normed[b];
                Ops::read_row(position, m_decoder.position_embd, m_position + b);
                m_kernels.add(x, position, m_dim);
            }
            for (size_t i = 0; scale != 1.0f && i < m_dim; ++i) {
                x[i] *= scale;
            }
        });
    }

    /// Sines and cosines of the batch's positions: first those of global layers, then those of local ones.
    void prepare_rope()
    {
        const RopeFrequencies& global = global_rope(m_decoder, m_desc, m_cache);
        for (size_t b = 0; b < m_batch; ++b) {
            const auto position = static_cast<float>(m_position + b);
            if (m_pairs != 0) {
                global.row(position, m_work.rope_cos + b * m_pairs, m_work.rope_sin + b * m_pairs);
            }
            if (m_decoder.rope_local.inverse != nullptr) {
                const size_t at = local_table() + b * m_pairs;
                m_decoder.rope_local.row(position, m_work.rope_cos + at, m_work.rope_sin + at);
            }
        }
    }

    void run_layer(uint64_t index)
    {
        const DecoderLayer& layer = m_decoder.layers[index];
        attention(layer, index);
        add_to_stream(layer.post_attention_norm);
        feed_forward(layer);
        add_to_stream(layer.post_ffw_norm);
    }

    /// Logits of the rows from `first` on.
    void head(size_t first, float* logits)
    {
        const size_t rows = m_batch - first;
        const Rows normed = {m_normed[first], m_normed.stride};
        norm(normed, {m_x[first], m_x.stride}, m_decoder.output_norm, rows, m_dim);
        product({logits, m_desc.vocab_size}, m_decoder.output, activate(normed, rows, m_dim));
        const float cap = m_decoder.settings.final_softcap;
        if (cap != 0.0f) {
            const size_t count = rows * m_desc.vocab_size;
            const size_t parts = m_ops.parts_for(count * kTanhCost, count);
            m_ops.parallel(parts, [&](size_t part) {
                const size_t start = count * part / parts;
                m_kernels.softcap(logits + start, count * (part + 1) / parts - start, cap);
            });
        }
    }

private:
    size_t local_table() const { return m_work.batch * m_pairs; }

    /// Rows of `n` values. `out` may be `x`.
    void norm(const Rows& out, const Rows& x, const Norm& norm, size_t rows, size_t n) const
    {
        m_ops.by_rows(rows, n * kTouchCost, [&](size_t first, size_t count) {
            for (size_t r = first; r < first + count; ++r) {
                if (m_decoder.traits->norm == NormKind::rms) {
                    m_kernels.rmsnorm(out[r], x[r], norm.weight, n, m_decoder.norm_epsilon);
                } else {
                    m_kernels.layernorm(out[r], x[r], norm.weight, norm.bias, n, m_decoder.norm_epsilon);
                }
            }
        });
    }

    Activation activate(const Rows& x, size_t rows, size_t cols) const
    {
        return m_ops.activate(m_work, x.first, x.stride, rows, cols, m_desc.group_size);
    }

    /// A matrix, and where its products go.
    struct Target {
        const Linear& linear;
        Rows y;
    };

    /// Products of one input, as one job.
    template <size_t kCount> void products(const Target (&targets)[kCount], const Activation& input) const
    {
        Product all[kCount];
        for (size_t i = 0; i < kCount; ++i) {
            all[i] = {targets[i].y.first, targets[i].y.stride, targets[i].linear.weight};
        }
        m_ops.matmul(all, input);
        for (const Target& target : targets) {
            for (size_t b = 0; target.linear.bias != nullptr && b < input.batch; ++b) {
                m_kernels.add(target.y[b], target.linear.bias, target.linear.weight.rows);
            }
        }
    }

    void product(const Rows& y, const Linear& linear, const Activation& input) const { products({{linear, y}}, input); }

    /// What a half of a block leaves in `normed` goes to the residual stream, normed itself where there is a norm.
    void add_to_stream(const Norm& post)
    {
        if (post.weight != nullptr) {
            norm(m_normed, m_normed, post, m_batch, m_dim);
        }
        by_rows(m_dim * kTouchCost, [&](size_t b) { m_kernels.add(m_x[b], m_normed[b], m_dim); });
    }

    void attention(const DecoderLayer& layer, uint64_t index)
    {
        const size_t kv_dim = m_cache.heads * m_cache.head_dim;
        norm(m_normed, m_x, layer.attn_norm, m_batch, m_dim);
        products(
            {{layer.attn_q, m_query}, {layer.attn_k, {m_work.key, kv_dim}}, {layer.attn_v, {m_work.value, kv_dim}}},
            activate(m_normed, m_batch, m_dim));
        if (layer.attn_q_norm.weight != nullptr) {
            const Rows heads = {m_work.query, m_desc.head_dim};
            norm(heads, heads, layer.attn_q_norm, m_batch * m_desc.head_count, m_desc.head_dim);
        }
        if (layer.attn_k_norm.weight != nullptr) {
            const Rows heads = {m_work.key, m_desc.head_dim};
            norm(heads, heads, layer.attn_k_norm, m_batch * m_desc.head_count_kv, m_desc.head_dim);
        }
        m_ops.by_rows(m_batch, (m_query_dim + 3 * kv_dim) * kTouchCost, [&](size_t first, size_t count) {
            if (m_pairs != 0) {
                turn(index, first, count);
            }
            m_cache.store(m_ops.attention_kernels(), index, m_position + first, count, m_work.key + first * kv_dim,
                          m_work.value + first * kv_dim);
        });
        const DecoderSettings& settings = m_decoder.settings;
        attend(m_ops, m_desc, m_cache, m_work, index, m_position, m_batch,
               {settings.is_local(index) ? settings.window : m_cache.context, settings.attention_divisor,
                settings.attention_softcap});
        product(m_normed, layer.attn_output, activate({m_work.attended, m_query_dim}, m_batch, m_query_dim));
    }

    /// Queries and keys of `count` tokens of the batch.
    void turn(uint64_t index, size_t first, size_t count) const
    {
        const bool local = m_decoder.rope_local.inverse != nullptr && m_decoder.settings.is_local(index);
        const size_t table = local ? local_table() : 0;
        for (size_t b = first; b < first + count; ++b) {
            const float* cos = m_work.rope_cos + table + b * m_pairs;
            const float* sin = m_work.rope_sin + table + b * m_pairs;
            m_rope(m_work.query + b * m_query_dim, cos, sin, m_desc.head_count, m_desc.head_dim, 2 * m_pairs);
            m_rope(m_work.key + b * m_cache.heads * m_cache.head_dim, cos, sin, m_desc.head_count_kv, m_desc.head_dim,
                   2 * m_pairs);
        }
    }

    void feed_forward(const DecoderLayer& layer)
    {
        const size_t hidden = m_desc.feed_forward_length;
        norm(m_normed, m_x, layer.ffn_norm, m_batch, m_dim);
        const Activation input = activate(m_normed, m_batch, m_dim);
        const FeedForward kind = m_decoder.traits->feed_forward;
        if (kind == FeedForward::gelu) {
            product(m_gate, layer.ffn_up, input);
            const auto gelu = m_decoder.settings.gelu_erf ? m_kernels.gelu_erf : m_kernels.gelu_tanh;
            by_rows(hidden * kTanhCost, [&](size_t b) { gelu(m_gate[b], hidden); });
        } else {
            products({{layer.ffn_gate, m_gate}, {layer.ffn_up, m_up}}, input);
            const auto gated = kind == FeedForward::geglu ? m_kernels.geglu : m_kernels.swiglu;
            by_rows(hidden * kTanhCost, [&](size_t b) { gated(m_gate[b], m_up[b], hidden); });
        }
        product(m_normed, layer.ffn_down, activate(m_gate, m_batch, hidden));
    }

    /// Runs function(b) for all rows of the batch.
    template <class Function> void by_rows(uint64_t multiply_adds, const Function& function) const
    {
        m_ops.by_rows(m_batch, multiply_adds, [&](size_t first, size_t count) {
            for (size_t b = first; b < first + count; ++b) {
                function(b);
            }
        });
    }

    const ModelDesc& m_desc;
    const Decoder& m_decoder;
    const Ops& m_ops;
    const KernelSet& m_kernels;
    KvCache& m_cache;
    Workspace& m_work;
    size_t m_batch;
    size_t m_position; ///< of the batch's first token
    size_t m_dim;
    size_t m_query_dim;
    size_t m_pairs; ///< of a head that turn
    RopeKernel m_rope;
    Rows m_x;
    Rows m_normed;
    Rows m_gate;
    Rows m_up;
    Rows m_query;
};

} // namespace

bool decoder_forward(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace,
                     std::span<const Token> tokens, size_t position, LogitsWanted wanted, float* logits,
                     const Interrupt& interrupt)
{
    Pass pass(model, ops, cache, workspace, tokens.size(), position);
    pass.embed(tokens);
    pass.prepare_rope();
    const uint64_t first = std::min<uint64_t>(workspace.first_layer, model.desc.block_count);
    const uint64_t count = std::min<uint64_t>(workspace.layers, model.desc.block_count - first);
    for (uint64_t i = first; i < first + count; ++i) {
        if (i != first && interrupt.pending()) {
            return false;
        }
        pass.run_layer(i);
    }
    if (wanted != LogitsWanted::none) {
        pass.head(wanted == LogitsWanted::all ? 0 : tokens.size() - 1, logits);
    }
    return true;
}

/// RoPE turns a key by an angle proportional to its position, and turns add up: turning back by `delta` is moving it. A
/// packed key is unpacked for that and packed again, which rounds it once more: F16 by up to 2^-12 of each value, Q8_0
/// by up to 1/254 of the largest of 32.
void decoder_shift_keys(const Model& model, const Ops& ops, KvCache& cache, Workspace& workspace, size_t from,
                        size_t count, size_t delta)
{
    const ModelDesc& desc = model.desc;
    const Decoder& decoder = *static_cast<const Decoder*>(model.bound);
    const RopeKernel rope = rope_kernel(decoder, ops.kernels());
    for (size_t layer = 0; layer < cache.layers; ++layer) {
        const RopeFrequencies& frequencies = rope_of(decoder, desc, cache, layer);
        frequencies.turn(-static_cast<float>(delta), workspace.rope_cos, workspace.rope_sin);
        cache.copy(layer, from, from - delta, count);
        for (size_t head = 0; head < cache.heads; ++head) {
            uint8_t* key = cache.key(layer, head) + (from - delta) * cache.row_bytes;
            for (size_t t = 0; t < count; ++t, key += cache.row_bytes) {
                cache.unpack(ops.attention_kernels(), workspace.key, key);
                rope(workspace.key, workspace.rope_cos, workspace.rope_sin, 1, desc.head_dim, 2 * frequencies.pairs);
                cache.pack(ops.attention_kernels(), key, workspace.key);
            }
        }
    }
}

} // namespace llmk
