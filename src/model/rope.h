// SPDX-License-Identifier: MIT
//
// Rotary positions (Su et al. 2021, arXiv:2104.09864): by which angle each pair of a head turns, with the ways in which
// models were stretched to longer contexts. Turning itself is the kernels'.
#pragma once

#include "model/model.h"

namespace llmk {

/// A pair i of a head turns by position * inverse[i]; sine and cosine are multiplied with `magnitude`.
struct RopeFrequencies {
    float* inverse = nullptr; ///< (pairs)
    size_t pairs = 0;
    float magnitude = 1.0f;

    /// cos and sin (pairs) of one position, without the magnitude: also of a difference of positions.
    void turn(float position, float* cos, float* sin) const;
    /// cos and sin (pairs) of one position.
    void row(float position, float* cos, float* sin) const;
};

/// Values of a head that turn; the rest stays as it is.
inline uint64_t rope_dimensions(const ModelDesc& desc)
{
    return desc.rope_dimension_count == 0 ? desc.head_dim : desc.rope_dimension_count;
}

/// Sees that the description asks for a scaling that is computed here.
Result<void> check_rope(const ModelDesc& desc);

/// base^(-2i / dimensions), less where the file stretches the context: by `factors` (null data: none) and by
/// rope_scaling: linear, yarn (Peng et al. 2023, arXiv:2309.00071), longrope (Ding et al. 2024, arXiv:2402.13753; its
/// numbers are the factors). Allocates the frequencies.
Result<RopeFrequencies> scaled_rope(const ModelDesc& desc, const Tensor& factors, Arena& arena);
/// The same without any scaling.
Result<RopeFrequencies> plain_rope(const ModelDesc& desc, float base, Arena& arena);
/// Bytes of the arena that each of them takes at most.
uint64_t rope_bytes(const ModelDesc& desc);

} // namespace llmk
