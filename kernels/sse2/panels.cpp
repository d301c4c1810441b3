// SPDX-License-Identifier: MIT
//
// Products with panels by PMADDWD: bytes in even and in odd places become 16-bit numbers, and so does the input, once
// for all rows that it is multiplied with.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

#define LLMK_KERNEL_SET sse2

namespace llmk::djiblas::sse2 {

namespace {

struct Isa {
    using Words [[gnu::vector_size(16)]] = uint32_t;
    using Ints [[gnu::vector_size(16)]] = int32_t;
    using Floats [[gnu::vector_size(16)]] = float;
    /// Of each four values the first and third, and the second and fourth, in every lane.
    struct Input {
        __m128i even[kInputBlock / 4];
        __m128i odd[kInputBlock / 4];
    };
    static constexpr size_t kTokens = 2;
    static constexpr int kSignedBias = 0;
    static constexpr bool kScaledPairs = false;

    static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats halves(const uint8_t* p)
    {
        const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        return widen_f16(_mm_unpacklo_epi16(four, _mm_setzero_si128()));
    }
    static Words signed_codes(Words w) { return w; }
    /// Byte by byte: a shuffle by a register came with SSSE3.
    static Words lookup(Words w)
    {
        uint8_t bytes[sizeof w];
        __builtin_memcpy(bytes, &w, sizeof w);
        for (uint8_t& value : bytes) {
            value = static_cast<uint8_t>(kIq4Values[value]);
        }
        __builtin_memcpy(&w, bytes, sizeof w);
        return w;
    }
    static Input input(const int8_t* q)
    {
        Input out;
#pragma GCC unroll 4
        for (size_t i = 0; i < kInputBlock / 4; i += 2) {
            const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q + 4 * i));
            __m128i wide = _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
            wide = _mm_shufflelo_epi16(_mm_shufflehi_epi16(wide, _MM_SHUFFLE(3, 1, 2, 0)), _MM_SHUFFLE(3, 1, 2, 0));
            out.even[i] = _mm_shuffle_epi32(wide, _MM_SHUFFLE(0, 0, 0, 0));
            out.odd[i] = _mm_shuffle_epi32(wide, _MM_SHUFFLE(1, 1, 1, 1));
            out.even[i + 1] = _mm_shuffle_epi32(wide, _MM_SHUFFLE(2, 2, 2, 2));
            out.odd[i + 1] = _mm_shuffle_epi32(wide, _MM_SHUFFLE(3, 3, 3, 3));
        }
        return out;
    }

    template <int kMax, size_t kFirst, size_t kQuads> static Ints dot(const Words* codes, const Input& x)
    {
        __m128i sum = _mm_setzero_si128();
#pragma GCC unroll 8
        for (size_t i = kFirst; i < kFirst + kQuads; i++) {
            const __m128i w = reinterpret_cast<__m128i>(codes[i]);
            const __m128i even =
                kMax < 0 ? _mm_srai_epi16(_mm_slli_epi16(w, 8), 8) : _mm_and_si128(w, _mm_set1_epi16(0xff));
            const __m128i odd = kMax < 0 ? _mm_srai_epi16(w, 8) : _mm_srli_epi16(w, 8);
            sum = _mm_add_epi32(sum, _mm_madd_epi16(even, x.even[i]));
            sum = _mm_add_epi32(sum, _mm_madd_epi16(odd, x.odd[i]));
        }
        return reinterpret_cast<Ints>(sum);
    }
};

} // namespace

} // namespace llmk::djiblas::sse2

#include "kernels/panel_products.h"

namespace llmk::djiblas::sse2 {

constinit const PanelKernels kPanels = kPanelProducts<>;

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n)
{
    quantize_blocks<quantize_q8>(q, scales, x, n);
}

} // namespace llmk::djiblas::sse2
