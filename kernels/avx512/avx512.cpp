// SPDX-License-Identifier: MIT
//
// The AVX-512 set and its kernels over single vectors: softmax, norms, addition.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

/// The largest of n values, n >= 1. Which one comes out where there is a NaN does not matter to softmax.
float largest(const float* x, size_t n)
{
    __m512 lanes = _mm512_set1_ps(x[0]);
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        lanes = _mm512_mask_max_ps(lanes, mask, lanes, _mm512_maskz_loadu_ps(mask, x + i));
    }
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/// The sum of function(x[i]) over n values; beyond the last, of function's masked zeros.
template <class Function> float sum_of(const float* x, size_t n, Function function)
{
    __m512 even = _mm512_setzero_ps();
    __m512 odd = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        even = function(even, _mm512_loadu_ps(x + i), lane_mask(kLanes));
        odd = function(odd, _mm512_loadu_ps(x + i + kLanes), lane_mask(kLanes));
    }
    for (; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        even = function(even, _mm512_maskz_loadu_ps(mask, x + i), mask);
    }
    return sum_lanes(_mm512_add_ps(even, odd));
}

} // namespace

void softmax(float* x, size_t n)
{
    const __m512 max = _mm512_set1_ps(largest(x, n));
    __m512 sums = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        const __m512 e = exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), max));
        _mm512_mask_storeu_ps(x + i, mask, e);
        sums = _mm512_mask_add_ps(sums, mask, sums, e);
    }
    const __m512 divisor = _mm512_set1_ps(sum_lanes(sums));
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_div_ps(_mm512_maskz_loadu_ps(mask, x + i), divisor));
    }
}

void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon)
{
    const float mean = dot_f32(x, x, n) / static_cast<float>(n);
    const __m512 factor = _mm512_set1_ps(1.0f / __builtin_sqrtf(mean + epsilon));
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, weight + i), scaled));
    }
}

void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon)
{
    const float count = static_cast<float>(n);
    const float mean = sum_of(x, n, [](__m512 sum, __m512 v, __mmask16) { return _mm512_add_ps(sum, v); }) / count;
    const __m512 means = _mm512_set1_ps(mean);
    const float squares = sum_of(x, n, [means](__m512 sum, __m512 v, __mmask16 mask) {
        const __m512 centred = _mm512_maskz_sub_ps(mask, v, means);
        return _mm512_fmadd_ps(centred, centred, sum);
    });
    const __m512 factor = _mm512_set1_ps(1.0f / __builtin_sqrtf(squares / count + epsilon));
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        const __m512 scaled = _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), means), factor);
        const __m512 offset = bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, bias + i);
        const __m512 weights = _mm512_maskz_loadu_ps(mask, weight + i);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_fmadd_ps(scaled, weights, offset));
    }
}

void add(float* x, const float* y, size_t n)
{
    for (size_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = lane_mask(n - i);
        const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i));
        _mm512_mask_storeu_ps(x + i, mask, sum);
    }
}

} // namespace llmk::djiblas::avx512

namespace llmk::djiblas {

constinit const KernelSet kAvx512 = {
    .name = "avx512",
    .title = "AVX-512",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvx512,
    .dot_f32 = avx512::dot_f32,
    .gemv_f32 = avx512::gemv_f32,
    .gemv_f16 = avx512::gemv_f16,
    .gemv_bf16 = avx512::gemv_bf16,
    .gemm_f32 = avx512::gemm_f32,
    .gemm_f32_exact = avx512::gemm_f32_exact,
    .attention_f32 = avx512::attention_f32,
    .attention_f16 = avx512::attention_f16,
    .attention_q8_0 = avx512::attention_q8_0,
    .softmax = avx512::softmax,
    .rmsnorm = avx512::rmsnorm,
    .layernorm = avx512::layernorm,
    .swiglu = avx512::swiglu,
    .gelu_tanh = avx512::gelu_tanh,
    .gelu_erf = avx512::gelu_erf,
    .geglu = avx512::geglu,
    .softcap = avx512::softcap,
    .add = avx512::add,
    .quantize_input = avx512::quantize_input,
    .panels = &avx512::kPanels,
    .gemv_f32_side_by_side = avx512::gemv_f32_side_by_side,
    .gemv_f16_side_by_side = avx512::gemv_f16_side_by_side,
    .gemv_bf16_side_by_side = avx512::gemv_bf16_side_by_side,
    .panels_side_by_side = &avx512::kPanelsSideBySide,
    .gemv_f32_in_places = avx512::gemv_f32_in_places,
    .gemv_f16_in_places = avx512::gemv_f16_in_places,
    .gemv_bf16_in_places = avx512::gemv_bf16_in_places,
    .panels_in_places = &avx512::kPanelsInPlaces,
    .turned = &avx512::kTurned,
    .gemm_f16 = avx512::gemm_f16,
    .gemm_bf16 = avx512::gemm_bf16,
};

} // namespace llmk::djiblas
