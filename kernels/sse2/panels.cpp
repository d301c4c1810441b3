// SPDX-License-Identifier: MIT
//
// Products with panels by PMADDWD: of bytes in odd places and of those in even ones, with inputs that are made ready
// once for all rows that they are multiplied with.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

#define LLMK_KERNEL_SET sse2

namespace llmk::djiblas::sse2 {

namespace {

struct Isa {
    using Words [[gnu::vector_size(16)]] = uint32_t;
    using Ints [[gnu::vector_size(16)]] = int32_t;
    using Floats [[gnu::vector_size(16)]] = float;
    /// Of each four values (a, b, c, d): `odd` is (b, d) and `rest` is (256 * a - b, 256 * c - d), in every lane.
    struct Input {
        __m128i rest[kInputBlock / 4];
        __m128i odd[kInputBlock / 4];
        Ints signed_first; ///< -128 * 256 times the sum of all a and c
    };
    static constexpr size_t kTokens = 4;
    static constexpr size_t kUnpackTokens = kTokens; // inputs that are made ready take their room
    static constexpr size_t kTileParts = 4;
    static constexpr int kSignedBias = 0;
    static constexpr size_t kWordParts = 1;
    static constexpr bool kScaledPairs = false;
    static constexpr bool kFloatSums = false;

    static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats halves(const uint8_t* p)
    {
        const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        return widen_f16(_mm_unpacklo_epi16(_mm_setzero_si128(), four));
    }
    static Words signed_codes(Words w) { return w; }
    /// Value by value: a shuffle by a register came with SSSE3.
    static Words lookup(Words w)
    {
        using Bytes [[gnu::vector_size(16)]] = int8_t;
        const Bytes codes = reinterpret_cast<Bytes>(w);
        Bytes values = {};
#pragma GCC unroll 16
        for (int8_t code = 0; code < 16; code++) {
            values |= (codes == code) & kIq4Values[code];
        }
        return reinterpret_cast<Words>(values);
    }
    static Input input(const int8_t* q, const InputScale&)
    {
        Input out;
        __m128i sum = _mm_setzero_si128();
#pragma GCC unroll 2
        for (size_t i = 0; i < kInputBlock / 4; i += 4) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q + 4 * i));
            const __m128i odd = _mm_srai_epi16(bytes, 8);
            const __m128i even = _mm_slli_epi16(bytes, 8);
            const __m128i rest = _mm_sub_epi16(even, odd);
            sum = _mm_add_epi32(sum, _mm_madd_epi16(even, _mm_set1_epi16(-128)));
            out.rest[i] = _mm_shuffle_epi32(rest, _MM_SHUFFLE(0, 0, 0, 0));
            out.rest[i + 1] = _mm_shuffle_epi32(rest, _MM_SHUFFLE(1, 1, 1, 1));
            out.rest[i + 2] = _mm_shuffle_epi32(rest, _MM_SHUFFLE(2, 2, 2, 2));
            out.rest[i + 3] = _mm_shuffle_epi32(rest, _MM_SHUFFLE(3, 3, 3, 3));
            out.odd[i] = _mm_shuffle_epi32(odd, _MM_SHUFFLE(0, 0, 0, 0));
            out.odd[i + 1] = _mm_shuffle_epi32(odd, _MM_SHUFFLE(1, 1, 1, 1));
            out.odd[i + 2] = _mm_shuffle_epi32(odd, _MM_SHUFFLE(2, 2, 2, 2));
            out.odd[i + 3] = _mm_shuffle_epi32(odd, _MM_SHUFFLE(3, 3, 3, 3));
        }
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
        out.signed_first = reinterpret_cast<Ints>(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2))));
        return out;
    }

    /// The sum of words of codes times input, 256 times over. Half a word is 256 * odd + even, so one product with the
    /// odd inputs takes both codes as they lie; another, of the even codes and `rest`, makes up for what is wrong with
    /// that. Even codes get 128 added if they are signed, and the sum begins with what that comes to.
    template <int kMax> struct WordSum {
        Ints sum;
        void add(Words codes, const Input& x, size_t i, bool is_first)
        {
            if (is_first) {
                sum = kMax < 0 ? x.signed_first : Ints{};
            }
            const Words w = kMax < 0 ? codes ^ 0x00800080u : codes;
            const __m128i even = reinterpret_cast<__m128i>(w & 0x00ff00ffu);
            sum += reinterpret_cast<Ints>(_mm_madd_epi16(reinterpret_cast<__m128i>(w), x.odd[i]));
            sum += reinterpret_cast<Ints>(_mm_madd_epi16(even, x.rest[i]));
            asm("" : "+x"(sum)); // in this order, or there are not enough registers
        }
        Ints total() const { return sum >> 8; }
    };
};

} // namespace

} // namespace llmk::djiblas::sse2

#include "kernels/panel_inputs.h"
#include "kernels/panel_products.h"

namespace llmk::djiblas::sse2 {

constinit const PanelKernels kPanels = kPanelProducts<>;
constinit const PanelKernels kPanelsSideBySide = kPanelProducts<SideBySideLoops>;
constinit const PanelKernels kPanelsInPlaces = kPanelProducts<InPlacesLoops>;

void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n) { quantize_blocks(q, scales, x, n); }

} // namespace llmk::djiblas::sse2
