// SPDX-License-Identifier: MIT
//
// Products with panels by VPMADDUBSW: unsigned codes times signed inputs, pairs summed in 16 bits, as many of them as
// cannot overflow before they are widened.
#include "kernels/avx2/avx2.h"

#include <immintrin.h>

#define LLMK_KERNEL_SET avx2

#include "kernels/panel_vectors_256.h"

namespace llmk::djiblas::avx2 {

namespace {

struct Isa : Vectors256 {
    using Shorts [[gnu::vector_size(32)]] = uint16_t;
    struct Input {
        const int8_t* q;
        const InputScale* scale;
    };
    static constexpr int kSignedBias = 0;
    static constexpr bool kByWord = true;
    static constexpr bool kScaledPairs = true;

    static Input input(const int8_t* q, const InputScale& scale) { return {q, &scale}; }
    static Words signed_codes(Words w) { return w; }
    static Words twice(Words w, size_t i)
    {
        const Words first = {0, 4, 8, 12, 0, 4, 8, 12};
        const Words places = (first + static_cast<uint32_t>(i)) * 0x00010001u | 0x80008000u;
        return reinterpret_cast<Words>(
            _mm256_shuffle_epi8(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(places)));
    }
    static Words signed_twice(Words w, size_t i)
    {
        const Words first = {0, 4, 8, 12, 0, 4, 8, 12};
        const Words places = (first + static_cast<uint32_t>(i)) * 0x01000100u | 0x00800080u;
        const __m256i upper = _mm256_shuffle_epi8(reinterpret_cast<__m256i>(w), reinterpret_cast<__m256i>(places));
        return reinterpret_cast<Words>(_mm256_srai_epi16(upper, 8));
    }
    template <int kMax> static Shorts pairs(Words codes, Words four)
    {
        const __m256i w = reinterpret_cast<__m256i>(codes);
        const __m256i x = reinterpret_cast<__m256i>(four);
        if constexpr (kMax < 0) {
            return reinterpret_cast<Shorts>(_mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
        }
        return reinterpret_cast<Shorts>(_mm256_maddubs_epi16(w, x));
    }
    static Shorts in_all_lanes(const PairSums& pair)
    {
        uint32_t both;
        __builtin_memcpy(&both, &pair, sizeof both);
        return reinterpret_cast<Shorts>(Words{} + both);
    }
    static Ints widen(Shorts pairs, Words scale)
    {
        return reinterpret_cast<Ints>(
            _mm256_madd_epi16(reinterpret_cast<__m256i>(pairs), reinterpret_cast<__m256i>(scale)));
    }
};

} // namespace

} // namespace llmk::djiblas::avx2

#include "kernels/panel_inputs.h"
#include "kernels/panel_products.h"

namespace llmk::djiblas::avx2 {

constinit const PanelKernels kPanels = kPanelProducts<>;
constinit const PanelKernels kPanelsSideBySide = kPanelProducts<SideBySideLoops>;
constinit const PanelKernels kPanelsInPlaces = kPanelProducts<InPlacesLoops>;

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n) { quantize_blocks(q, scales, x, n); }

} // namespace llmk::djiblas::avx2
