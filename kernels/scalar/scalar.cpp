// SPDX-License-Identifier: MIT
//
// The oracle: every kernel in plain C++, one operation at a time, sums strictly in index order, two roundings for each
// multiply-add. That is the order of llama2.c's run.c and runq.c, so this set reproduces their texts, and the other
// sets are checked against it. Clarity before speed.
#include "kernels/scalar/scalar.h"
#include "kernels/scalar/elementary.h"

#include <cstdint>

namespace llmk::djiblas {

namespace {

float exp_f32(float x) { return static_cast<float>(scalar::exp(static_cast<double>(x))); }

float dot_f32(const float* a, const float* b, size_t n)
{
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        y[r] = dot_f32(w + r * cols, x, cols);
    }
}

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    for (size_t b = 0; b < batch; b++) {
        gemv_f32(y + b * y_stride, w, x + b * x_stride, rows, cols);
    }
}

/// The largest magnitude of a group; NaN if there is one in it. Magnitudes compare as their bit patterns do, and every
/// NaN is above infinity.
float peak_magnitude(const float* x, size_t n)
{
    uint32_t peak = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffffu;
        peak = magnitude > peak ? magnitude : peak;
    }
    return __builtin_bit_cast(float, peak);
}

/// Half away from zero, as C's round(). In double, where adding a half is exact. What a subnormal scale puts out of
/// range is clamped; a NaN (from an infinite or NaN scale, which itself spoils the product) becomes 0.
int8_t round_to_int8(float v)
{
    if (v != v) {
        return 0;
    }
    const float clamped = v > 127.0f ? 127.0f : v < -127.0f ? -127.0f : v;
    const double half = clamped < 0.0f ? -0.5 : 0.5;
    return static_cast<int8_t>(static_cast<double>(clamped) + half);
}

void quantize_q8(int8_t* q, float* scales, const float* x, size_t n, size_t group)
{
    for (size_t start = 0; start < n; start += group) {
        const float scale = peak_magnitude(x + start, group) / 127.0f;
        *scales++ = scale;
        for (size_t i = start; i < start + group; i++) {
            q[i] = scale == 0.0f ? int8_t{0} : round_to_int8(x[i] / scale);
        }
    }
}

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n)
{
    for (size_t i = 0; i < n; i += kInputBlock, scales++) {
        const float peak = peak_magnitude(x + i, kInputBlock);
        const float factor = input_factor(peak);
        int32_t pairs[2][2] = {};
        for (size_t j = 0; j < kInputBlock; j++) {
            q[i + j] = factor == 0.0f ? int8_t{0} : round_to_int8(x[i + j] * factor);
            pairs[j / (kInputBlock / 2)][j / 2 % 2] += q[i + j];
        }
        scales->set(peak, pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]);
    }
}

float dot_q8(const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales, size_t cols,
             size_t group)
{
    float sum = 0.0f;
    for (size_t g = 0; g < cols / group; g++) {
        int64_t products = 0; // a group of more than 2^17 values could pass 2^31
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            products += w[i] * x[i];
        }
        sum += static_cast<float>(products) * w_scales[g] * x_scales[g];
    }
    return sum;
}

void gemv_q8(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
             size_t rows, size_t cols, size_t group)
{
    const size_t groups = cols / group;
    for (size_t r = 0; r < rows; r++) {
        y[r] = dot_q8(w + r * cols, w_scales + r * groups, x, x_scales, cols, group);
    }
}

void gemm_q8(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
             const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch)
{
    const size_t groups = cols / group;
    for (size_t b = 0; b < batch; b++) {
        gemv_q8(y + b * y_stride, w, w_scales, x + b * cols, x_scales + b * groups, rows, cols, group);
    }
}

void softmax(float* x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        x[i] = exp_f32(x[i] - max);
        sum += x[i];
    }
    for (size_t i = 0; i < n; i++) {
        x[i] /= sum;
    }
}

void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon)
{
    const float mean = dot_f32(x, x, n) / static_cast<float>(n);
    const float inverse = 1.0f / __builtin_sqrtf(mean + epsilon);
    for (size_t i = 0; i < n; i++) {
        out[i] = weight[i] * (inverse * x[i]);
    }
}

/// In double, rounded once: other programs add up a row in various orders, and this is near all of them.
void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon)
{
    const double count = static_cast<double>(n);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += static_cast<double>(x[i]);
    }
    const double mean = sum / count;
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double difference = static_cast<double>(x[i]) - mean;
        squares += difference * difference;
    }
    const double root = __builtin_sqrt(squares / count + static_cast<double>(epsilon));
    for (size_t i = 0; i < n; i++) {
        const double normed = (static_cast<double>(x[i]) - mean) / root * static_cast<double>(weight[i]);
        out[i] = static_cast<float>(bias == nullptr ? normed : normed + static_cast<double>(bias[i]));
    }
}

void swiglu(float* gate, const float* up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float sigmoid = 1.0f / (1.0f + exp_f32(-gate[i]));
        gate[i] = gate[i] * sigmoid * up[i];
    }
}

void add(float* x, const float* y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] += y[i];
    }
}

void rope_pairs(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    for (size_t head = 0; head < heads; head++, x += head_dim) {
        for (size_t i = 0; i < rope_dim / 2; i++) {
            const float a = x[2 * i];
            const float b = x[2 * i + 1];
            x[2 * i] = a * cos[i] - b * sin[i];
            x[2 * i + 1] = a * sin[i] + b * cos[i];
        }
    }
}

void rope_halves(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    const size_t half = rope_dim / 2;
    for (size_t head = 0; head < heads; head++, x += head_dim) {
        for (size_t i = 0; i < half; i++) {
            const float a = x[i];
            const float b = x[i + half];
            x[i] = a * cos[i] - b * sin[i];
            x[i + half] = a * sin[i] + b * cos[i];
        }
    }
}

} // namespace

constinit const KernelSet kScalar = {
    .name = "scalar",
    .title = "Scalar",
    .features = 0,
    .dot_f32 = dot_f32,
    .gemv_f32 = gemv_f32,
    .gemv_f16 = scalar::gemv_f16,
    .gemv_bf16 = scalar::gemv_bf16,
    .gemm_f32 = gemm_f32,
    .gemm_f32_exact = gemm_f32,
    .quantize_q8 = quantize_q8,
    .gemv_q8 = gemv_q8,
    .gemm_q8 = gemm_q8,
    .attention_f32 = scalar::attention_f32,
    .attention_f16 = scalar::attention_f16,
    .attention_q8_0 = scalar::attention_q8_0,
    .attention_merge = scalar::attention_merge,
    .softmax = softmax,
    .rmsnorm = rmsnorm,
    .layernorm = layernorm,
    .swiglu = swiglu,
    .gelu_tanh = scalar::gelu_tanh,
    .gelu_erf = scalar::gelu_erf,
    .geglu = scalar::geglu,
    .softcap = scalar::softcap,
    .add = add,
    .rope_pairs = rope_pairs,
    .rope_halves = rope_halves,
    .pack_f16 = scalar::pack_f16,
    .pack_q8_0 = scalar::pack_q8_0,
    .dequantize_f16 = scalar::dequantize_f16,
    .dequantize_bf16 = scalar::dequantize_bf16,
    .dequantize_q8_0 = scalar::dequantize_q8_0,
    .dequantize_q4_0 = scalar::dequantize_q4_0,
    .dequantize_q4_1 = scalar::dequantize_q4_1,
    .dequantize_q5_0 = scalar::dequantize_q5_0,
    .dequantize_q5_1 = scalar::dequantize_q5_1,
    .dequantize_q2_k = scalar::dequantize_q2_k,
    .dequantize_q3_k = scalar::dequantize_q3_k,
    .dequantize_q4_k = scalar::dequantize_q4_k,
    .dequantize_q5_k = scalar::dequantize_q5_k,
    .dequantize_q6_k = scalar::dequantize_q6_k,
    .dequantize_iq4_nl = scalar::dequantize_iq4_nl,
    .dequantize_iq4_xs = scalar::dequantize_iq4_xs,
    .quantize_input = quantize_input,
    .panels = &scalar::kPanels,
    .gemv_f32_side_by_side = gemv_f32,
    .gemv_f16_side_by_side = scalar::gemv_f16,
    .gemv_bf16_side_by_side = scalar::gemv_bf16,
    .panels_side_by_side = &scalar::kPanels,
    .gemv_f32_in_places = gemv_f32,
    .gemv_f16_in_places = scalar::gemv_f16,
    .gemv_bf16_in_places = scalar::gemv_bf16,
    .panels_in_places = &scalar::kPanels,
};

} // namespace llmk::djiblas
