// SPDX-License-Identifier: MIT
//
// SGEMM with turned inputs (kernels/turned_products.h): two vectors are one column of a panel.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/row_sums.h"
#include "kernels/turned_products.h"

namespace llmk::djiblas::avx2 {

namespace {

/// Lane 4h + j of four vectors, one behind the other, is half h of fours[j].
inline void turn_fours(const __m256* v, __m256 (&fours)[4])
{
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1]));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3]));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
    fours[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
    fours[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
    fours[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
    fours[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
}

struct Isa {
    using Floats = __m256;
    static constexpr size_t kLanes = avx2::kLanes;
    /// 12 accumulators, two inputs and a weight: 12 multiply-adds for eight loads.
    static constexpr size_t kTileRows = 6;
    static constexpr size_t kTallRows = 12;

    static void unpack(F16, float* out, const uint8_t* w, size_t n) { dequantize_f16(out, w, n); }
    static void unpack(Bf16, float* out, const uint8_t* w, size_t n) { dequantize_bf16(out, w, n); }
    static __m256 load(const float* p) { return _mm256_loadu_ps(p); }
    static __m256 load_some(const float* p, size_t n) { return _mm256_maskload_ps(p, lane_mask(n)); }
    static void store(float* p, __m256 v) { _mm256_storeu_ps(p, v); }
    static __m256 in_all_lanes(float x) { return _mm256_set1_ps(x); }
    static __m256 multiply_add(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

    static void transpose(__m256 (&v)[kLanes])
    {
        constexpr int kFirstHalves = 0x20;
        constexpr int kLastHalves = 0x31;
        __m256 fours[2][4];
        turn_fours(v, fours[0]);
        turn_fours(v + 4, fours[1]);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            v[j] = _mm256_permute2f128_ps(fours[0][j], fours[1][j], kFirstHalves);
            v[4 + j] = _mm256_permute2f128_ps(fours[0][j], fours[1][j], kLastHalves);
        }
    }

    [[gnu::always_inline]] static void put(const __m256* sums, float* y, size_t y_stride, size_t inputs)
    {
        __m256 fours[4];
        turn_fours(sums, fours);
        // Of the last two rows: inputs 0, 1, 4 and 5, and the others.
        const __m256 even = _mm256_unpacklo_ps(sums[4], sums[5]);
        const __m256 odd = _mm256_unpackhi_ps(sums[4], sums[5]);
        const auto store = [=](size_t input, __m128 four, __m128 two) {
            float* const at = y + input * y_stride;
            if (input < inputs) {
                _mm_storeu_ps(at, four);
                _mm_storel_epi64(reinterpret_cast<__m128i*>(at + 4), _mm_castps_si128(two));
            }
        };
        const auto store_half = [&](size_t first, auto half) {
            store(first, half(fours[0]), half(even));
            store(first + 1, half(fours[1]), _mm_movehl_ps(half(even), half(even)));
            store(first + 2, half(fours[2]), half(odd));
            store(first + 3, half(fours[3]), _mm_movehl_ps(half(odd), half(odd)));
        };
        store_half(0, [](__m256 v) { return _mm256_castps256_ps128(v); });
        store_half(4, [](__m256 v) { return _mm256_extractf128_ps(v, 1); });
    }
};

/// TurnedGemm::pays. A vector that is far from full takes the time of a full one; gemm_f32 takes inputs by threes.
bool pays(size_t batch)
{
    const size_t idle = (kLanes - batch % kLanes) % kLanes;
    return idle * 6 <= batch;
}

} // namespace

constinit const TurnedGemm kTurned = {turn<Isa>, product<Isa, F32>, product<Isa, F16>, product<Isa, Bf16>, pays};

} // namespace llmk::djiblas::avx2
