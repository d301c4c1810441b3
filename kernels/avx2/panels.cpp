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

/// Shuffles that take one byte of each lane, by its number.
class Picks {
public:
    /// To the bytes that are zero in `rest`; those that have their uppermost bit set become zero.
    constexpr Picks(uint32_t places, uint32_t rest) : m_words()
    {
        for (uint32_t i = 0; i < kBytes; i++) {
            for (uint32_t lane = 0; lane < kLanes; lane++) {
                const uint32_t first = lane % (kLanes / 2) * kBytes; // shuffles are of half a vector
                m_words[i][lane] = (first + i) * places | rest;
            }
        }
    }
    const uint32_t* operator[](size_t i) const { return m_words[i]; }

private:
    static constexpr uint32_t kBytes = 4;
    static constexpr uint32_t kLanes = 8;
    alignas(32) uint32_t m_words[kBytes][kLanes];
};

constexpr Picks kByte(0x00000001u, 0x80808000u);
constexpr Picks kTwice(0x00010001u, 0x80008000u);
constexpr Picks kTwiceAbove(0x01000100u, 0x00800080u);

inline Vectors256::Words pick(Vectors256::Words w, const uint32_t* places)
{
    const __m256i shuffle = _mm256_load_si256(reinterpret_cast<const __m256i*>(places));
    return reinterpret_cast<Vectors256::Words>(_mm256_shuffle_epi8(reinterpret_cast<__m256i>(w), shuffle));
}

struct Isa : Vectors256 {
    using Shorts [[gnu::vector_size(32)]] = uint16_t;
    struct Input {
        const int8_t* q;
        const InputScale* scale;
    };
    static constexpr int kSignedBias = 0;
    static constexpr size_t kTileParts = 2;
    static constexpr size_t kWordParts = 2; // or to load the input is a fifth of the work for Q8_0
    static constexpr bool kScaledPairs = true;

    static Input input(const int8_t* q, const InputScale& scale) { return {q, &scale}; }
    static Words signed_codes(Words w) { return w; }
    static Words byte(Words w, size_t i) { return pick(w, kByte[i]); }
    static Words twice(Words w, size_t i) { return pick(w, kTwice[i]); }
    static Words signed_twice(Words w, size_t i)
    {
        return reinterpret_cast<Words>(_mm256_srai_epi16(reinterpret_cast<__m256i>(pick(w, kTwiceAbove[i])), 8));
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
