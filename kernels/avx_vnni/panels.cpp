// SPDX-License-Identifier: MIT
//
// Products with panels by VPDPBUSD on 256 bits: unsigned codes times signed inputs, four products summed into 32 bits.
// Signed codes get 128 added, and the product loses 128 times the input's sum. All other kernels are AVX2's.
#include "kernels/djiblas.h"

#include <immintrin.h>

#define LLMK_KERNEL_SET avx_vnni

namespace llmk::djiblas::avx_vnni {

namespace {

struct Isa {
    using Words [[gnu::vector_size(32)]] = uint32_t;
    using Ints [[gnu::vector_size(32)]] = int32_t;
    using Floats [[gnu::vector_size(32)]] = float;
    using Input = const int8_t*;
    static constexpr size_t kTokens = 4;
    static constexpr int kSignedBias = 128;
    static constexpr bool kScaledPairs = false;

    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats halves(const uint8_t* p)
    {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Words signed_codes(Words w) { return w ^ 0x80808080u; }
    static Words lookup(Words w)
    {
        const __m256i table =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(kIq4Values)));
        return reinterpret_cast<Words>(_mm256_shuffle_epi8(table, reinterpret_cast<__m256i>(w)));
    }
    static Input input(const int8_t* q) { return q; }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input q)
    {
        // Two sums hide half of the instruction's latency.
        __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            int32_t four;
            __builtin_memcpy(&four, q + 4 * (kFirst + i), sizeof four);
            const __m256i w = reinterpret_cast<__m256i>(codes[kFirst + i]);
            sums[i % 2] = _mm256_dpbusd_avx_epi32(sums[i % 2], w, _mm256_set1_epi32(four));
        }
        return reinterpret_cast<Ints>(_mm256_add_epi32(sums[0], sums[1]));
    }
};

} // namespace

} // namespace llmk::djiblas::avx_vnni

#include "kernels/panel_products.h"

namespace llmk::djiblas {

namespace avx_vnni {

namespace {

constinit const PanelKernels kPanels = kPanelProducts<>;

} // namespace

} // namespace avx_vnni

constinit const KernelSet kAvxVnni = {
    .name = "avx_vnni",
    .title = "AVX-VNNI",
    .features = kFeatureSse2 | kFeatureAvx2 | kFeatureFma | kFeatureF16c | kFeatureAvxVnni,
    .panels = &avx_vnni::kPanels,
};

} // namespace llmk::djiblas
