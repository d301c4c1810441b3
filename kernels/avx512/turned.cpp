// SPDX-License-Identifier: MIT
//
// SGEMM with turned inputs (kernels/turned_products.h): a vector is one column of a panel.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/row_products.h"
#include "kernels/turned_products.h"

namespace llmk::djiblas::avx512 {

namespace {

/// Lane 4q + j of four vectors, one behind the other, is quarter q of fours[j].
inline void turn_fours(const __m512* v, __m512 (&fours)[4])
{
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3]));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
    fours[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
    fours[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
    fours[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
    fours[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
}

struct Isa {
    using Floats = __m512;
    static constexpr size_t kLanes = avx512::kLanes;
    /// 16 accumulators, two inputs and a weight: 16 multiply-adds for ten loads.
    static constexpr size_t kTileRows = 8;
    /// Not more: 16 rows 8 KiB apart do not fit the first-level cache together.
    static constexpr size_t kTallRows = 8;

    template <class Type> static void unpack(Type, float* out, const uint8_t* w, size_t n)
    {
        for (size_t i = 0; i < n; i += kLanes) {
            const __mmask16 mask = lane_mask(n - i);
            _mm512_mask_storeu_ps(out + i, mask, Type::load(mask, w + i * Type::kBytes));
        }
    }
    static __m512 load(const float* p) { return _mm512_loadu_ps(p); }
    static __m512 load_some(const float* p, size_t n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
    static void store(float* p, __m512 v) { _mm512_storeu_ps(p, v); }
    static __m512 in_all_lanes(float x) { return _mm512_set1_ps(x); }
    static __m512 multiply_add(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }

    static void transpose(__m512 (&v)[kLanes])
    {
        __m512 fours[4][4]; // by fours of vectors, then as turn_fours has them
#pragma GCC unroll 4
        for (size_t g = 0; g < 4; g++) {
            turn_fours(v + 4 * g, fours[g]);
        }
        constexpr int kEven = 0x88; // quarters 0 and 2 of each of two vectors
        constexpr int kOdd = 0xdd;
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const __m512 even_first = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kEven);
            const __m512 even_last = _mm512_shuffle_f32x4(fours[2][j], fours[3][j], kEven);
            const __m512 odd_first = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kOdd);
            const __m512 odd_last = _mm512_shuffle_f32x4(fours[2][j], fours[3][j], kOdd);
            v[j] = _mm512_shuffle_f32x4(even_first, even_last, kEven);
            v[4 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kEven);
            v[8 + j] = _mm512_shuffle_f32x4(even_first, even_last, kOdd);
            v[12 + j] = _mm512_shuffle_f32x4(odd_first, odd_last, kOdd);
        }
    }

    [[gnu::always_inline]] static void put(const __m512* sums, float* y, size_t y_stride, size_t inputs)
    {
        constexpr int kFirstHalves = 0x44; // quarters 0 and 1 of each of two vectors
        constexpr int kLastHalves = 0xee;
        constexpr int kSwapMiddle = 0xd8;
        __m512 fours[2][4];
        turn_fours(sums, fours[0]);
        turn_fours(sums + 4, fours[1]);
        const auto store = [=](size_t input, __m256 eight) {
            if (input < inputs) {
                _mm256_storeu_ps(y + input * y_stride, eight);
            }
        };
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            const __m512 low = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kFirstHalves);
            const __m512 high = _mm512_shuffle_f32x4(fours[0][j], fours[1][j], kLastHalves);
            const __m512 first = _mm512_shuffle_f32x4(low, low, kSwapMiddle);
            const __m512 last = _mm512_shuffle_f32x4(high, high, kSwapMiddle);
            store(j, _mm512_castps512_ps256(first));
            store(4 + j, _mm512_extractf32x8_ps(first, 1));
            store(8 + j, _mm512_castps512_ps256(last));
            store(12 + j, _mm512_extractf32x8_ps(last, 1));
        }
    }
};

/// TurnedGemm::pays.
bool pays(size_t) { return true; }

} // namespace

constinit const TurnedGemm kTurned = {turn<Isa>, product<Isa, F32>, product<Isa, F16>, product<Isa, Bf16>, pays};

} // namespace llmk::djiblas::avx512
