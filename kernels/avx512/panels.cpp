// SPDX-License-Identifier: MIT
//
// Products with panels by VPMADDUBSW on 512 bits: as AVX2's (kernels/avx2/panels.cpp), with more rows of input a tile.
#include "kernels/avx512/avx512.h"
#include "kernels/panel_vectors_512.h"

#include <immintrin.h>

#define LLMK_KERNEL_SET avx512

namespace llmk::djiblas::avx512 {

namespace {

struct Isa : Vectors512 {
    using Input = const int8_t*;
    static constexpr size_t kTokens = 8;
    static constexpr int kSignedBias = 0;
    static constexpr bool kFloatSums = false;

    static Input input(const int8_t* q, const InputScale&) { return q; }

    static Words signed_codes(Words w) { return w; }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, Input q)
    {
        const __m512i ones = _mm512_set1_epi16(1);
        // Sums of pairs that fit in 16 bits before they are widened; signed codes reach 128 * 127 * 2 at once.
        constexpr size_t kSafe = kMax < 0 ? 1 : 32767 / (kMax * 127 * 2);
        __m512i sum = _mm512_setzero_si512();
        __m512i pairs = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (size_t i = 0; i < kQuads; i++) {
            auto x = reinterpret_cast<__m512i>(broadcast(q + 4 * (kFirst + i)));
            __m512i w = reinterpret_cast<__m512i>(codes[kFirst + i]);
            if constexpr (kMax < 0) { // the sign goes to the input
                x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
                w = _mm512_abs_epi8(w);
            }
            const __m512i products = _mm512_maddubs_epi16(w, x);
            pairs = i % kSafe == 0 ? products : _mm512_add_epi16(pairs, products);
            if (i % kSafe == kSafe - 1 || i + 1 == kQuads) {
                const __m512i wide = _mm512_madd_epi16(pairs, ones);
                sum = i < kSafe ? wide : _mm512_add_epi32(sum, wide);
            }
        }
        return reinterpret_cast<Ints>(sum);
    }
};

} // namespace

} // namespace llmk::djiblas::avx512

#include "kernels/panel_inputs.h"
#include "kernels/panel_products.h"

namespace llmk::djiblas::avx512 {

constinit const PanelKernels kPanels = kPanelProducts<>;
constinit const PanelKernels kPanelsSideBySide = kPanelProducts<SideBySideLoops>;
constinit const PanelKernels kPanelsInPlaces = kPanelProducts<InPlacesLoops>;

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n) { quantize_blocks(q, scales, x, n); }

} // namespace llmk::djiblas::avx512
