// SPDX-License-Identifier: MIT
//
// Attention (kernels/attention_blocks.h) with four floats at a time.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

#define LLMK_KERNEL_SET sse2

namespace llmk::djiblas::sse2 {

namespace {

inline const __m128i* vector_at(const uint8_t* p) { return reinterpret_cast<const __m128i*>(p); }

inline uint16_t load_u16(const uint8_t* p)
{
    uint16_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
}

/// Four binary16, in the upper half of each lane, to float. Without kSpecial infinities and NaN become large numbers.
/// Exponent and fraction go to their places as they are; what is missing of the bias is a factor, by which subnormals
/// come out right as well.
template <bool kSpecial> inline __m128 widen_f16(__m128i halves)
{
    const __m128i bits = _mm_and_si128(_mm_srai_epi32(halves, 3), _mm_set1_epi32(static_cast<int>(0x8fffe000u)));
    const __m128 value = _mm_mul_ps(_mm_castsi128_ps(bits), _mm_set1_ps(0x1p112f));
    if constexpr (kSpecial) {
        const __m128i magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7fffffff));
        const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32((0x1f << 23) - 1));
        return _mm_or_ps(value, _mm_castsi128_ps(_mm_and_si128(special, _mm_set1_epi32(0x7f800000))));
    }
    return value;
}

struct RowF32 {
    using Careful = RowF32;
    static bool plain(const uint8_t*, size_t) { return true; }
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static __m128 load(const uint8_t* row, size_t i)
    {
        return _mm_castsi128_ps(_mm_loadu_si128(vector_at(row + i * sizeof(float))));
    }
    static __m128 tail(const uint8_t* row, size_t i, size_t n)
    {
        uint8_t last[kLanes * sizeof(float)] = {};
        __builtin_memcpy(last, row + i * sizeof(float), n * sizeof(float));
        return load(last, 0);
    }
};

template <bool kSpecial> struct RowHalf {
    using Careful = RowHalf<true>;
    /// Whether all halves of so many bytes are finite.
    static bool plain(const uint8_t* rows, size_t bytes)
    {
        __m128i special = _mm_setzero_si128();
        size_t i = 0;
        for (; i + sizeof(__m128i) <= bytes; i += sizeof(__m128i)) {
            const __m128i magnitudes = _mm_and_si128(_mm_loadu_si128(vector_at(rows + i)), _mm_set1_epi16(0x7fff));
            special = _mm_or_si128(special, _mm_cmpgt_epi16(magnitudes, _mm_set1_epi16(0x7bff)));
        }
        bool finite = _mm_movemask_epi8(special) == 0;
        for (; i < bytes; i += kBlockF16.bytes) {
            finite = finite && (load_u16(rows + i) & 0x7fff) <= 0x7bff;
        }
        return finite;
    }
    static size_t bytes(size_t head_dim) { return head_dim * kBlockF16.bytes; }
    static __m128 load(const uint8_t* row, size_t i)
    {
        const __m128i halves = _mm_loadl_epi64(vector_at(row + i * kBlockF16.bytes));
        return widen_f16<kSpecial>(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
    }
    static __m128 tail(const uint8_t* row, size_t i, size_t n)
    {
        uint8_t last[kLanes * kBlockF16.bytes] = {};
        __builtin_memcpy(last, row + i * kBlockF16.bytes, n * kBlockF16.bytes);
        return load(last, 0);
    }
};
using RowF16 = RowHalf<false>;

template <bool kSpecial> struct RowCodes {
    using Careful = RowCodes<true>;
    /// Whether all scales of so many bytes are finite.
    static bool plain(const uint8_t* rows, size_t bytes)
    {
        bool finite = true;
        for (size_t i = 0; i < bytes; i += kBlockQ80.bytes) {
            finite = finite && (load_u16(rows + i) & 0x7fff) <= 0x7bff;
        }
        return finite;
    }
    static size_t bytes(size_t head_dim) { return head_dim / kBlockQ80.values * kBlockQ80.bytes; }
    static __m128 load(const uint8_t* row, size_t i)
    {
        const uint8_t* const block = row + i / kBlockQ80.values * kBlockQ80.bytes;
        const __m128 scale = widen_f16<kSpecial>(_mm_set1_epi32(load_u16(block) << 16));
        int32_t four;
        __builtin_memcpy(&four, block + sizeof(uint16_t) + i % kBlockQ80.values, sizeof four);
        __m128i codes = _mm_cvtsi32_si128(four);
        codes = _mm_unpacklo_epi8(codes, codes);
        codes = _mm_srai_epi32(_mm_unpacklo_epi16(codes, codes), 24);
        return _mm_mul_ps(_mm_cvtepi32_ps(codes), scale);
    }
    static __m128 tail(const uint8_t*, size_t, size_t) { return _mm_setzero_ps(); } // there is none
};
using RowQ80 = RowCodes<false>;

struct Isa {
    using Floats [[gnu::vector_size(16)]] = float;
    using Ints [[gnu::vector_size(16)]] = int32_t;
    static constexpr size_t kKeys = 2;
    static constexpr size_t kStraight = 16;
    static constexpr size_t kSums = 8;
    static constexpr size_t kSummed = 4;
    using F32 = RowF32;
    using F16 = RowF16;
    using Q80 = RowQ80;

    static Floats splat(float x) { return _mm_set1_ps(x); }
    static Floats load(const float* p) { return _mm_loadu_ps(p); }
    static Floats load_once(const float* p) { return load(p); }
    static void store(float* p, Floats v) { _mm_storeu_ps(p, v); }
    static Floats load_tail(const float* p, size_t n) { return sse2::load_tail(p, n); }
    static void store_tail(float* p, Floats v, size_t n) { sse2::store_tail(p, v, n); }
    static Floats fma(Floats a, Floats b, Floats c) { return c + a * b; }
    static Floats max(Floats a, Floats b) { return _mm_max_ps(a, b); }
};

} // namespace

} // namespace llmk::djiblas::sse2

#include "kernels/attention_blocks.h"

namespace llmk::djiblas::sse2 {

void attention_f32(const AttentionTask& task) { attention<Isa::F32>(task); }

void attention_f16(const AttentionTask& task) { attention<Isa::F16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<Isa::Q80>(task); }

void attention_merge(float* out, const float* partial, const float* peaks, const float* sums, size_t parts, size_t rows,
                     size_t head_dim)
{
    for (size_t r = 0; r < rows; r++) {
        float max = peaks[r];
        for (size_t p = 1; p < parts; p++) {
            max = peaks[p * rows + r] > max ? peaks[p * rows + r] : max;
        }
        float* const row = out + r * head_dim;
        __builtin_memset(row, 0, head_dim * sizeof(float));
        float total = 0.0f;
        for (size_t p = 0; p < parts; p++) {
            const float weight = _mm_cvtss_f32(exp(_mm_set1_ps(peaks[p * rows + r] - max)));
            const float* const part = partial + (p * rows + r) * head_dim;
            total += weight * sums[p * rows + r];
            for (size_t i = 0; i < head_dim; i++) {
                row[i] += weight * part[i];
            }
        }
        for (size_t i = 0; i < head_dim; i++) {
            row[i] /= total;
        }
    }
}

} // namespace llmk::djiblas::sse2
