// SPDX-License-Identifier: MIT
//
// The SSE2 set and its kernels over single vectors: softmax, norms, addition, RoPE.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

/// The largest of n values, n >= 1. Which one comes out where there is a NaN does not matter to softmax.
float largest(const float* x, size_t n)
{
    float max = x[0];
    size_t i = 0;
    if (n >= kLanes) {
        __m128 lanes = _mm_loadu_ps(x);
        for (i = kLanes; i + kLanes <= n; i += kLanes) {
            lanes = _mm_max_ps(lanes, _mm_loadu_ps(x + i));
        }
        lanes = _mm_max_ps(lanes, _mm_movehl_ps(lanes, lanes));
        lanes = _mm_max_ss(lanes, _mm_shuffle_ps(lanes, lanes, _MM_SHUFFLE(1, 1, 1, 1)));
        max = _mm_cvtss_f32(lanes);
    }
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

/// The sum of n values.
float sum(const float* x, size_t n)
{
    __m128 even = _mm_setzero_ps();
    __m128 odd = _mm_setzero_ps();
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        even = _mm_add_ps(even, _mm_loadu_ps(x + i));
        odd = _mm_add_ps(odd, _mm_loadu_ps(x + i + kLanes));
    }
    float total = sum_lanes(_mm_add_ps(even, odd));
    for (; i < n; i++) {
        total += x[i];
    }
    return total;
}

/// The sum of (x[i] - mean)^2 over n values.
float sum_of_squares(const float* x, size_t n, float mean)
{
    const __m128 means = _mm_set1_ps(mean);
    __m128 even = _mm_setzero_ps();
    __m128 odd = _mm_setzero_ps();
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const __m128 first = _mm_sub_ps(_mm_loadu_ps(x + i), means);
        const __m128 second = _mm_sub_ps(_mm_loadu_ps(x + i + kLanes), means);
        even = _mm_add_ps(_mm_mul_ps(first, first), even);
        odd = _mm_add_ps(_mm_mul_ps(second, second), odd);
    }
    float total = sum_lanes(_mm_add_ps(even, odd));
    for (; i < n; i++) {
        total += (x[i] - mean) * (x[i] - mean);
    }
    return total;
}

} // namespace

void softmax(float* x, size_t n)
{
    const __m128 max = _mm_set1_ps(largest(x, n));
    __m128 sums = _mm_setzero_ps();
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m128 e = exp(_mm_sub_ps(_mm_loadu_ps(x + i), max));
        _mm_storeu_ps(x + i, e);
        sums = _mm_add_ps(sums, e);
    }
    float sum = sum_lanes(sums);
    const size_t left = n - i;
    if (left != 0) {
        const __m128 e = exp(_mm_sub_ps(load_tail(x + i, left), max));
        store_tail(x + i, e, left);
        for (size_t k = i; k < n; k++) {
            sum += x[k];
        }
    }
    const __m128 divisor = _mm_set1_ps(sum);
    for (i = 0; i + kLanes <= n; i += kLanes) {
        _mm_storeu_ps(x + i, _mm_div_ps(_mm_loadu_ps(x + i), divisor));
    }
    for (; i < n; i++) {
        x[i] /= sum;
    }
}

void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon)
{
    const float mean = dot_f32(x, x, n) / static_cast<float>(n);
    const float inverse = 1.0f / __builtin_sqrtf(mean + epsilon);
    const __m128 factor = _mm_set1_ps(inverse);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m128 scaled = _mm_mul_ps(_mm_loadu_ps(x + i), factor);
        _mm_storeu_ps(out + i, _mm_mul_ps(_mm_loadu_ps(weight + i), scaled));
    }
    for (; i < n; i++) {
        out[i] = weight[i] * (inverse * x[i]);
    }
}

void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon)
{
    const float count = static_cast<float>(n);
    const float mean = sum(x, n) / count;
    const float inverse = 1.0f / __builtin_sqrtf(sum_of_squares(x, n, mean) / count + epsilon);
    const __m128 means = _mm_set1_ps(mean);
    const __m128 factor = _mm_set1_ps(inverse);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m128 scaled = _mm_mul_ps(_mm_sub_ps(_mm_loadu_ps(x + i), means), factor);
        const __m128 offset = bias == nullptr ? _mm_setzero_ps() : _mm_loadu_ps(bias + i);
        _mm_storeu_ps(out + i, _mm_add_ps(_mm_mul_ps(scaled, _mm_loadu_ps(weight + i)), offset));
    }
    for (; i < n; i++) {
        out[i] = (x[i] - mean) * inverse * weight[i] + (bias == nullptr ? 0.0f : bias[i]);
    }
}

void add(float* x, const float* y, size_t n)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm_storeu_ps(x + i, _mm_add_ps(_mm_loadu_ps(x + i), _mm_loadu_ps(y + i)));
    }
    for (; i < n; i++) {
        x[i] += y[i];
    }
}

void rope_pairs(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    const size_t pairs = rope_dim / 2;
    for (size_t head = 0; head < heads; head++, x += head_dim) {
        size_t i = 0;
        for (; i + kLanes <= pairs; i += kLanes) {
            // Four pairs: the firsts to a, the seconds to b, and back.
            const __m128 low = _mm_loadu_ps(x + 2 * i);
            const __m128 high = _mm_loadu_ps(x + 2 * i + kLanes);
            const __m128 a = _mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0));
            const __m128 b = _mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1));
            const __m128 c = _mm_loadu_ps(cos + i);
            const __m128 s = _mm_loadu_ps(sin + i);
            const __m128 turned_a = _mm_sub_ps(_mm_mul_ps(a, c), _mm_mul_ps(b, s));
            const __m128 turned_b = _mm_add_ps(_mm_mul_ps(a, s), _mm_mul_ps(b, c));
            _mm_storeu_ps(x + 2 * i, _mm_unpacklo_ps(turned_a, turned_b));
            _mm_storeu_ps(x + 2 * i + kLanes, _mm_unpackhi_ps(turned_a, turned_b));
        }
        for (; i < pairs; i++) {
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
        float* const upper = x + half;
        size_t i = 0;
        for (; i + kLanes <= half; i += kLanes) {
            const __m128 a = _mm_loadu_ps(x + i);
            const __m128 b = _mm_loadu_ps(upper + i);
            const __m128 c = _mm_loadu_ps(cos + i);
            const __m128 s = _mm_loadu_ps(sin + i);
            _mm_storeu_ps(x + i, _mm_sub_ps(_mm_mul_ps(a, c), _mm_mul_ps(b, s)));
            _mm_storeu_ps(upper + i, _mm_add_ps(_mm_mul_ps(a, s), _mm_mul_ps(b, c)));
        }
        for (; i < half; i++) {
            const float a = x[i];
            const float b = upper[i];
            x[i] = a * cos[i] - b * sin[i];
            upper[i] = a * sin[i] + b * cos[i];
        }
    }
}

} // namespace llmk::djiblas::sse2

namespace llmk::djiblas {

constinit const KernelSet kSse2 = {
    .name = "sse2",
    .title = "SSE2",
    .features = kFeatureSse2,
    .dot_f32 = sse2::dot_f32,
    .gemv_f32 = sse2::gemv_f32,
    .gemv_f16 = sse2::gemv_f16,
    .gemv_bf16 = sse2::gemv_bf16,
    .gemm_f32 = sse2::gemm_f32,
    .gemm_f32_exact = sse2::gemm_f32_exact,
    .quantize_q8 = sse2::quantize_q8,
    .gemv_q8 = sse2::gemv_q8,
    .gemm_q8 = sse2::gemm_q8,
    .attention_f32 = sse2::attention_f32,
    .attention_f16 = sse2::attention_f16,
    .attention_q8_0 = sse2::attention_q8_0,
    .attention_merge = sse2::attention_merge,
    .softmax = sse2::softmax,
    .rmsnorm = sse2::rmsnorm,
    .layernorm = sse2::layernorm,
    .swiglu = sse2::swiglu,
    .gelu_tanh = sse2::gelu_tanh,
    .gelu_erf = sse2::gelu_erf,
    .geglu = sse2::geglu,
    .softcap = sse2::softcap,
    .add = sse2::add,
    .rope_pairs = sse2::rope_pairs,
    .rope_halves = sse2::rope_halves,
    .dequantize_f16 = sse2::dequantize_f16,
    .dequantize_bf16 = sse2::dequantize_bf16,
    .dequantize_q8_0 = sse2::dequantize_q8_0,
    .dequantize_q4_0 = sse2::dequantize_q4_0,
    .dequantize_q4_1 = sse2::dequantize_q4_1,
    .dequantize_q5_0 = sse2::dequantize_q5_0,
    .dequantize_q5_1 = sse2::dequantize_q5_1,
    .dequantize_q2_k = sse2::dequantize_q2_k,
    .dequantize_q3_k = sse2::dequantize_q3_k,
    .dequantize_q4_k = sse2::dequantize_q4_k,
    .dequantize_q5_k = sse2::dequantize_q5_k,
    .dequantize_q6_k = sse2::dequantize_q6_k,
    .quantize_input = sse2::quantize_input,
    .panels = &sse2::kPanels,
    .gemv_f32_side_by_side = sse2::gemv_f32_side_by_side,
    .gemv_f16_side_by_side = sse2::gemv_f16,
    .gemv_bf16_side_by_side = sse2::gemv_bf16,
    .panels_side_by_side = &sse2::kPanelsSideBySide,
    .gemv_f32_in_places = sse2::gemv_f32_in_places,
    .gemv_f16_in_places = sse2::gemv_f16,
    .gemv_bf16_in_places = sse2::gemv_bf16,
    .panels_in_places = &sse2::kPanelsInPlaces,
};

} // namespace llmk::djiblas
