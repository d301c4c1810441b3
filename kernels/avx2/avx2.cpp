// SPDX-License-Identifier: MIT
//
// The AVX2+FMA set and its kernels over single vectors: softmax, norms, addition, RoPE.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vector.h"

namespace llmk::djiblas::avx2 {

namespace {

/// The largest of n values, n >= 1. Which one comes out where there is a NaN does not matter to softmax.
float largest(const float* x, size_t n)
{
    float max = x[0];
    size_t i = 0;
    if (n >= kLanes) {
        __m256 lanes = _mm256_loadu_ps(x);
        for (i = kLanes; i + kLanes <= n; i += kLanes) {
            lanes = _mm256_max_ps(lanes, _mm256_loadu_ps(x + i));
        }
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        max = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

/// The sum of n values.
float sum(const float* x, size_t n)
{
    __m256 even = _mm256_setzero_ps();
    __m256 odd = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        even = _mm256_add_ps(even, _mm256_loadu_ps(x + i));
        odd = _mm256_add_ps(odd, _mm256_loadu_ps(x + i + kLanes));
    }
    float total = sum_lanes(_mm256_add_ps(even, odd));
    for (; i < n; i++) {
        total += x[i];
    }
    return total;
}

/// The sum of (x[i] - mean)^2 over n values.
float sum_of_squares(const float* x, size_t n, float mean)
{
    const __m256 means = _mm256_set1_ps(mean);
    __m256 even = _mm256_setzero_ps();
    __m256 odd = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const __m256 first = _mm256_sub_ps(_mm256_loadu_ps(x + i), means);
        const __m256 second = _mm256_sub_ps(_mm256_loadu_ps(x + i + kLanes), means);
        even = _mm256_fmadd_ps(first, first, even);
        odd = _mm256_fmadd_ps(second, second, odd);
    }
    float total = sum_lanes(_mm256_add_ps(even, odd));
    for (; i < n; i++) {
        total += (x[i] - mean) * (x[i] - mean);
    }
    return total;
}

} // namespace

void softmax(float* x, size_t n)
{
    const __m256 max = _mm256_set1_ps(largest(x, n));
    __m256 sums = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m256 e = exp(_mm256_sub_ps(_mm256_loadu_ps(x + i), max));
        _mm256_storeu_ps(x + i, e);
        sums = _mm256_add_ps(sums, e);
    }
    const __m256i mask = lane_mask(n - i);
    if (i < n) {
        const __m256 e = exp(_mm256_sub_ps(_mm256_maskload_ps(x + i, mask), max));
        _mm256_maskstore_ps(x + i, mask, e);
        sums = _mm256_add_ps(sums, _mm256_and_ps(e, _mm256_castsi256_ps(mask)));
    }
    const __m256 divisor = _mm256_set1_ps(sum_lanes(sums));
    for (i = 0; i + kLanes <= n; i += kLanes) {
        _mm256_storeu_ps(x + i, _mm256_div_ps(_mm256_loadu_ps(x + i), divisor));
    }
    if (i < n) {
        _mm256_maskstore_ps(x + i, mask, _mm256_div_ps(_mm256_maskload_ps(x + i, mask), divisor));
    }
}

void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon)
{
    const float mean = dot_f32(x, x, n) / static_cast<float>(n);
    const float inverse = 1.0f / __builtin_sqrtf(mean + epsilon);
    const __m256 factor = _mm256_set1_ps(inverse);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), factor);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_loadu_ps(weight + i), scaled));
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
    const __m256 means = _mm256_set1_ps(mean);
    const __m256 factor = _mm256_set1_ps(inverse);
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), means), factor);
        const __m256 offset = bias == nullptr ? _mm256_setzero_ps() : _mm256_loadu_ps(bias + i);
        _mm256_storeu_ps(out + i, _mm256_fmadd_ps(scaled, _mm256_loadu_ps(weight + i), offset));
    }
    for (; i < n; i++) {
        out[i] = (x[i] - mean) * inverse * weight[i] + (bias == nullptr ? 0.0f : bias[i]);
    }
}

void add(float* x, const float* y, size_t n)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm256_storeu_ps(x + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    }
    for (; i < n; i++) {
        x[i] += y[i];
    }
}

void rope_pairs(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    constexpr size_t kPairs = kLanes / 2;
    const size_t pairs = rope_dim / 2;
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    for (size_t head = 0; head < heads; head++, x += head_dim) {
        size_t i = 0;
        for (; i + kPairs <= pairs; i += kPairs) {
            // (a, b) * cos -/+ (b, a) * sin: fmaddsub subtracts in even lanes and adds in odd ones.
            const __m256 pair = _mm256_loadu_ps(x + 2 * i);
            const __m256 swapped = _mm256_permute_ps(pair, _MM_SHUFFLE(2, 3, 0, 1));
            const __m256 c = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cos + i)), twice);
            const __m256 s = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sin + i)), twice);
            _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(pair, c, _mm256_mul_ps(swapped, s)));
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
            const __m256 a = _mm256_loadu_ps(x + i);
            const __m256 b = _mm256_loadu_ps(upper + i);
            const __m256 c = _mm256_loadu_ps(cos + i);
            const __m256 s = _mm256_loadu_ps(sin + i);
            _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
            _mm256_storeu_ps(upper + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
        }
        for (; i < half; i++) {
            const float a = x[i];
            const float b = upper[i];
            x[i] = a * cos[i] - b * sin[i];
            upper[i] = a * sin[i] + b * cos[i];
        }
    }
}

} // namespace llmk::djiblas::avx2

namespace llmk::djiblas {

constinit const KernelSet kAvx2 = {
    .name = "avx2",
    .title = "AVX2+FMA",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c,
    .dot_f32 = avx2::dot_f32,
    .gemv_f32 = avx2::gemv_f32,
    .gemv_f16 = avx2::gemv_f16,
    .gemv_bf16 = avx2::gemv_bf16,
    .gemm_f32 = avx2::gemm_f32,
    .gemm_f32_exact = avx2::gemm_f32_exact,
    .quantize_q8 = avx2::quantize_q8,
    .gemv_q8 = avx2::gemv_q8,
    .gemm_q8 = avx2::gemm_q8,
    .attention_f32 = avx2::attention_f32,
    .attention_f16 = avx2::attention_f16,
    .attention_q8_0 = avx2::attention_q8_0,
    .softmax = avx2::softmax,
    .rmsnorm = avx2::rmsnorm,
    .layernorm = avx2::layernorm,
    .swiglu = avx2::swiglu,
    .gelu_tanh = avx2::gelu_tanh,
    .gelu_erf = avx2::gelu_erf,
    .geglu = avx2::geglu,
    .softcap = avx2::softcap,
    .add = avx2::add,
    .rope_pairs = avx2::rope_pairs,
    .rope_halves = avx2::rope_halves,
    .pack_f16 = avx2::pack_f16,
    .dequantize_f16 = avx2::dequantize_f16,
    .dequantize_bf16 = avx2::dequantize_bf16,
    .dequantize_q8_0 = avx2::dequantize_q8_0,
    .dequantize_q4_0 = avx2::dequantize_q4_0,
    .dequantize_q4_1 = avx2::dequantize_q4_1,
    .dequantize_q5_0 = avx2::dequantize_q5_0,
    .dequantize_q5_1 = avx2::dequantize_q5_1,
    .dequantize_q2_k = avx2::dequantize_q2_k,
    .dequantize_q3_k = avx2::dequantize_q3_k,
    .dequantize_q4_k = avx2::dequantize_q4_k,
    .dequantize_q5_k = avx2::dequantize_q5_k,
    .dequantize_q6_k = avx2::dequantize_q6_k,
    .dequantize_iq4_nl = avx2::dequantize_iq4_nl,
    .dequantize_iq4_xs = avx2::dequantize_iq4_xs,
    .quantize_input = avx2::quantize_input,
    .panels = &avx2::kPanels,
    .gemv_f32_side_by_side = avx2::gemv_f32_side_by_side,
    .gemv_f16_side_by_side = avx2::gemv_f16_side_by_side,
    .gemv_bf16_side_by_side = avx2::gemv_bf16_side_by_side,
    .panels_side_by_side = &avx2::kPanelsSideBySide,
    .gemv_f32_in_places = avx2::gemv_f32_in_places,
    .gemv_f16_in_places = avx2::gemv_f16_in_places,
    .gemv_bf16_in_places = avx2::gemv_bf16_in_places,
    .panels_in_places = &avx2::kPanelsInPlaces,
    .turned = &avx2::kTurned,
};

} // namespace llmk::djiblas
