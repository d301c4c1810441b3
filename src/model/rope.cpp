// SPDX-License-Identifier: MIT
#include "model/rope.h"

#include "base/math.h"
#include "model/ops.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr double kPi = 3.14159265358979323846;

/// Which pairs YaRN leaves as they are (those that turn often within the original context), which it slows down by the
/// whole factor, and which by a part of it.
class YarnRamp {
public:
    explicit YarnRamp(const ModelDesc& desc) : m_desc(desc)
    {
        m_low = whole(dimension_of(desc.yarn_beta_fast), 0.0);
        m_high = whole(dimension_of(desc.yarn_beta_slow), 1.0);
    }

    /// The frequency of pair i out of the unscaled one.
    float scaled(float frequency, uint64_t i) const
    {
        const float width = std::max(m_high - m_low, 0.001f);
        const float slow = std::clamp((static_cast<float>(i) - m_low) / width, 0.0f, 1.0f);
        const float kept = (1.0f - slow) * m_desc.yarn_ext_factor;
        return frequency / m_desc.rope_scaling_factor * (1.0f - kept) + frequency * kept;
    }

private:
    /// The dimension that turns `rotations` times within the original context.
    double dimension_of(float rotations) const
    {
        const uint64_t context =
            m_desc.rope_original_context_length == 0 ? m_desc.context_length : m_desc.rope_original_context_length;
        const double turns = static_cast<double>(context) / (static_cast<double>(rotations) * 2.0 * kPi);
        return static_cast<double>(rope_dimensions(m_desc)) * math::log(turns) /
               (2.0 * math::log(static_cast<double>(m_desc.rope_freq_base)));
    }
    /// Within the dimensions there are, rounded down (`up` 0) or up (1).
    float whole(double dimension, double up) const
    {
        const double last = static_cast<double>(rope_dimensions(m_desc) - 1);
        const double within = dimension > 0.0 ? std::min(dimension, last) : 0.0; // NaN is 0 too
        const auto below = static_cast<double>(static_cast<int64_t>(within));
        return static_cast<float>(below < within ? below + up : below);
    }

    const ModelDesc& m_desc;
    float m_low, m_high;
};

Result<RopeFrequencies> empty_rope(const ModelDesc& desc, Arena& arena)
{
    RopeFrequencies rope;
    rope.pairs = rope_dimensions(desc) / 2;
    rope.inverse = TRY(arena.alloc_array<float>(rope.pairs));
    return rope;
}

float plain_frequency(float base, uint64_t i, uint64_t pairs)
{
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * pairs);
    return 1.0f / math::powf(base, exponent);
}

} // namespace

void RopeFrequencies::turn(float position, float* cos, float* sin) const
{
    // The angle is a float32 product, as in the programs that the models were trained and published with; its sine and
    // cosine are exact to the last place.
    for (size_t i = 0; i < pairs; ++i) {
        const float angle = position * inverse[i];
        double sine = 0.0;
        double cosine = 0.0;
        math::sincos(static_cast<double>(angle), sine, cosine);
        cos[i] = static_cast<float>(cosine);
        sin[i] = static_cast<float>(sine);
    }
}

void RopeFrequencies::row(float position, float* cos, float* sin) const
{
    turn(position, cos, sin);
    if (magnitude != 1.0f) {
        for (size_t i = 0; i < pairs; ++i) {
            cos[i] *= magnitude;
            sin[i] *= magnitude;
        }
    }
}

Result<void> check_rope(const ModelDesc& desc)
{
    constexpr std::string_view kKnown[] = {"", "linear", "yarn", "longrope"};
    const uint64_t dimensions = rope_dimensions(desc);
    if (desc.head_dim % 2 != 0) {
        return fail(Status::bad_format, "{}: '{}.attention.key_length' is {}: RoPE needs an even number", desc.path,
                    desc.architecture, desc.head_dim);
    }
    if (dimensions % 2 != 0 || dimensions > desc.head_dim) {
        return fail(Status::bad_format,
                    "{}: '{}.rope.dimension_count' is {}, expected an even number up to the {} values of a head",
                    desc.path, desc.architecture, dimensions, desc.head_dim);
    }
    if (std::find(std::begin(kKnown), std::end(kKnown), desc.rope_scaling.view()) == std::end(kKnown)) {
        return fail(Status::unsupported, "{}: '{}.rope.scaling.type' is '{}', known are: none, linear, yarn, longrope",
                    desc.path, desc.architecture, desc.rope_scaling);
    }
    return success();
}

Result<RopeFrequencies> scaled_rope(const ModelDesc& desc, const Tensor& factors, Arena& arena)
{
    RopeFrequencies rope = TRY(empty_rope(desc, arena));
    const std::string_view scaling = desc.rope_scaling;
    if (factors.data != nullptr) {
        Ops::read_row(rope.inverse, factors, 0);
    }
    const YarnRamp ramp(desc);
    for (uint64_t i = 0; i < rope.pairs; ++i) {
        float frequency = plain_frequency(desc.rope_freq_base, i, rope.pairs);
        if (factors.data != nullptr) {
            frequency /= rope.inverse[i];
        }
        if (scaling == "linear") {
            frequency /= desc.rope_scaling_factor;
        } else if (scaling == "yarn") {
            frequency = ramp.scaled(frequency, i);
        }
        rope.inverse[i] = frequency;
    }
    rope.magnitude = desc.rope_attn_factor;
    if (scaling == "yarn" && desc.yarn_ext_factor != 0.0f && desc.rope_scaling_factor > 1.0f) {
        rope.magnitude *= 1.0f + 0.1f * math::logf(desc.rope_scaling_factor);
    }
    return rope;
}

Result<RopeFrequencies> plain_rope(const ModelDesc& desc, float base, Arena& arena)
{
    RopeFrequencies rope = TRY(empty_rope(desc, arena));
    for (uint64_t i = 0; i < rope.pairs; ++i) {
        rope.inverse[i] = plain_frequency(base, i, rope.pairs);
    }
    return rope;
}

uint64_t rope_bytes(const ModelDesc& desc)
{
    // Learned positions leave rope.dimension_count unchecked.
    return std::min(rope_dimensions(desc), desc.head_dim) / 2 * sizeof(float) + Arena::kAlignment;
}

} // namespace llmk
