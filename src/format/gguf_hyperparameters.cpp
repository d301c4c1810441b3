// SPDX-License-Identifier: MIT
#include "format/gguf_hyperparameters.h"

namespace llmk::gguf {

namespace {

/// More than any model: sizes derived from it stay far from 2^64.
constexpr uint64_t kMaxNumber = INT32_MAX;

/// Keys of the architecture: "llama.block_count" and the like.
class Hyperparameters {
public:
    Hyperparameters(const Metadata& metadata, ModelDesc& desc) : m_metadata(metadata), m_desc(desc) {}

    Result<void> read()
    {
        m_desc.embedding_length = TRY(integer("embedding_length", 0));
        m_desc.feed_forward_length = TRY(integer("feed_forward_length", 0));
        m_desc.block_count = TRY(integer("block_count", 0));
        m_desc.head_count = TRY(integer("attention.head_count", 0));
        m_desc.head_count_kv = TRY(integer("attention.head_count_kv", m_desc.head_count));
        const bool divides = m_desc.head_count != 0 && m_desc.embedding_length % m_desc.head_count == 0;
        const uint64_t usual = divides ? m_desc.embedding_length / m_desc.head_count : 0;
        m_desc.head_dim = TRY(integer("attention.key_length", usual));
        const uint64_t value_length = TRY(integer("attention.value_length", m_desc.head_dim));
        if (value_length != m_desc.head_dim) {
            return fail(Status::unsupported, "{}: '{}' is {}, but the keys' length is {}; only equal ones are computed",
                        m_desc.path, key("attention.value_length"), value_length, m_desc.head_dim);
        }
        m_desc.context_length = TRY(integer("context_length", 0));
        m_desc.vocab_size = TRY(integer("vocab_size", 0));
        m_desc.norm_rms_epsilon = TRY(real("attention.layer_norm_rms_epsilon", 0.0f));
        m_desc.norm_epsilon = TRY(real("attention.layer_norm_epsilon", 0.0f));
        TRY(read_optional());
        return read_rope();
    }

private:
    Text<96> key(std::string_view name) const { return Text<96>("{}.{}", m_desc.architecture, name); }

    Result<uint64_t> integer(std::string_view name, uint64_t otherwise)
    {
        const uint64_t value = TRY(m_metadata.integer(key(name))).value_or(otherwise);
        if (value > kMaxNumber) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected at most {}", m_desc.path, key(name), value,
                        kMaxNumber);
        }
        return value;
    }
    Result<float> real(std::string_view name, float otherwise)
    {
        const float value = TRY(m_metadata.real(key(name))).value_or(otherwise);
        if (!(value >= 0.0f && value <= 1e12f)) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected a number from 0 on", m_desc.path, key(name),
                        value);
        }
        return value;
    }
    /// Nothing where the file does not say.
    Result<std::optional<uint64_t>> said_integer(std::string_view name)
    {
        return has(name) ? std::optional(TRY(integer(name, 0))) : std::optional<uint64_t>();
    }
    Result<std::optional<float>> said_real(std::string_view name)
    {
        return has(name) ? std::optional(TRY(real(name, 0.0f))) : std::optional<float>();
    }
    bool has(std::string_view name) const { return m_metadata.find(key(name)) != nullptr; }

    Result<void> read_optional()
    {
        m_desc.sliding_window = TRY(said_integer("attention.sliding_window"));
        m_desc.sliding_window_pattern = TRY(said_integer("attention.sliding_window_pattern"));
        m_desc.attention_scale = TRY(said_real("attention.scale"));
        m_desc.attn_logit_softcapping = TRY(said_real("attn_logit_softcapping"));
        m_desc.final_logit_softcapping = TRY(said_real("final_logit_softcapping"));
        m_desc.rope_freq_base_swa = TRY(said_real("rope.freq_base_swa"));
        if (const auto activation = TRY(m_metadata.text(key("feed_forward.activation")))) {
            m_desc.activation = Text<32>(printable(*activation));
        }
        return success();
    }

    Result<void> read_rope()
    {
        m_desc.rope_dimension_count = TRY(integer("rope.dimension_count", 0));
        m_desc.rope_freq_base = TRY(real("rope.freq_base", m_desc.rope_freq_base));
        // Before rope.scaling there was a key for linear scaling alone.
        const float old = TRY(real("rope.scale_linear", 1.0f));
        const float factor = TRY(real("rope.scaling.factor", old));
        const auto type = TRY(m_metadata.text(key("rope.scaling.type")));
        const bool scaled = type ? *type != "none" : factor != 1.0f;
        if (scaled) {
            m_desc.rope_scaling = Text<32>(type ? printable(*type) : Text<80>("linear"));
            m_desc.rope_scaling_factor = factor;
        }
        if (!(m_desc.rope_scaling_factor > 0.0f)) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected more than 0", m_desc.path,
                        key("rope.scaling.factor"), m_desc.rope_scaling_factor);
        }
        m_desc.rope_attn_factor =
            TRY(real("rope.scaling.attn_factor", 1.0f)) * TRY(real("rope.scaling.yarn_attn_factor", 1.0f));
        m_desc.rope_original_context_length = TRY(integer("rope.scaling.original_context_length", 0));
        m_desc.yarn_ext_factor = TRY(real("rope.scaling.yarn_ext_factor", m_desc.yarn_ext_factor));
        m_desc.yarn_beta_fast = TRY(real("rope.scaling.yarn_beta_fast", m_desc.yarn_beta_fast));
        m_desc.yarn_beta_slow = TRY(real("rope.scaling.yarn_beta_slow", m_desc.yarn_beta_slow));
        return success();
    }

    const Metadata& m_metadata;
    ModelDesc& m_desc;
};

} // namespace

Result<void> read_hyperparameters(const Metadata& metadata, ModelDesc& desc)
{
    return Hyperparameters(metadata, desc).read();
}

} // namespace llmk::gguf
