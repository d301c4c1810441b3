// SPDX-License-Identifier: MIT
//
// Products with panels by VPDPBUSD on 512 bits: unsigned codes times signed inputs, four products summed into 32 bits.
// Signed codes get 128 added, and the product loses 128 times the input's sum. All other kernels are AVX-512's.
#include "kernels/djiblas.h"

#include <immintrin.h>

#define LLMK_KERNEL_SET avx512_vnni

namespace llmk::djiblas::avx512_vnni {

namespace {

struct Isa {
    using Words [[gnu::vector_size(64)]] = uint32_t;
    using Ints [[gnu::vector_size(64)]] = int32_t;
    using Floats [[gnu::vector_size(64)]] = float;
    using Input = const int8_t*;
    static constexpr size_t kTokens = 8;
    static constexpr int kSignedBias = 128;
    static constexpr bool kByWord = false;
    static constexpr bool kScaledPairs = false;

    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats halves(const uint8_t* p)
    {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Words signed_codes(Words w) { return w ^ 0x80808080u; }
    static Words lookup(Words w)
    {
        const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values)));
        return reinterpret_cast<Words>(_mm512_shuffle_epi8(table, reinterpret_cast<__m512i>(w)));
    }
    static Input input(const int8_t* q) { return q; }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input q)
    {
        // Two sums hide half of the instruction's latency.
        __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            int32_t four;
            __builtin_memcpy(&four, q + 4 * (kFirst + i), sizeof four);
            const __m512i w = reinterpret_cast<__m512i>(codes[kFirst + i]);
            sums[i % 2] = _mm512_dpbusd_epi32(sums[i % 2], w, _mm512_set1_epi32(four));
        }
        return reinterpret_cast<Ints>(_mm512_add_epi32(sums[0], sums[1]));
    }
};

} // namespace

} // namespace llmk::djiblas::avx512_vnni

#include "kernels/panel_products.h"

namespace llmk::djiblas {

namespace avx512_vnni {

namespace {

constinit const PanelKernels kPanels = kPanelProducts<>;

} // namespace

} // namespace avx512_vnni

constinit const KernelSet kAvx512Vnni = {
    .name = "avx512_vnni",
    .title = "AVX-512+VNNI",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvx512 | kFeatureAvx512Vnni,
    .panels = &avx512_vnni::kPanels,
};

} // namespace llmk::djiblas
