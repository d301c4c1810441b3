// SPDX-License-Identifier: MIT
//
// Unpacking of GGUF's tensor types: the codes of sixteen values as bytes in one register, then sixteen products.
// Layouts are KernelSet's comments. All bits are scalar's: a minimum is subtracted as its negative is added, which is
// the same. IQ4_NL and IQ4_XS are scalar's own: looking up in a table of sixteen bytes came with SSSE3.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

inline __m128i load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

inline uint16_t load_u16(const uint8_t* p)
{
    uint16_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
}

inline float load_f16(const uint8_t* p) { return _mm_cvtss_f32(widen_f16(_mm_cvtsi32_si128(load_u16(p) << 16))); }

/// The lower and upper four bits of each byte.
inline __m128i low(__m128i bytes) { return _mm_and_si128(bytes, _mm_set1_epi8(0xf)); }
inline __m128i high(__m128i bytes) { return low(_mm_srli_epi16(bytes, 4)); }

/// Bits `shift` and `shift` + 1 of each byte.
inline __m128i pairs(__m128i bytes, int shift)
{
    return _mm_and_si128(_mm_srl_epi16(bytes, _mm_cvtsi32_si128(shift)), _mm_set1_epi8(3));
}

/// `value` in each byte whose bit of `mask` is set, 0 in the others.
inline __m128i where_set(__m128i bytes, __m128i mask, char value)
{
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(bytes, mask), mask), _mm_set1_epi8(value));
}

/// A byte for each of sixteen bits: `value` or 0.
inline __m128i spread_bits(uint16_t bits, char value)
{
    __m128i v = _mm_cvtsi32_si128(bits);
    v = _mm_unpacklo_epi8(v, v);
    v = _mm_shufflelo_epi16(v, _MM_SHUFFLE(1, 1, 0, 0));
    const __m128i eights = _mm_unpacklo_epi32(v, v); // the lower byte eight times, then the upper
    return where_set(eights, _mm_set1_epi64x(static_cast<int64_t>(0x8040201008040201u)), value);
}

/// Sixteen signed bytes as floats, four at a time.
struct Codes {
    __m128 parts[4];
};
inline Codes widen(__m128i codes)
{
    const __m128i first = _mm_unpacklo_epi8(codes, codes);
    const __m128i last = _mm_unpackhi_epi8(codes, codes);
    const auto to_float = [](__m128i copies) { return _mm_cvtepi32_ps(_mm_srai_epi32(copies, 24)); };
    return {{to_float(_mm_unpacklo_epi16(first, first)), to_float(_mm_unpackhi_epi16(first, first)),
             to_float(_mm_unpacklo_epi16(last, last)), to_float(_mm_unpackhi_epi16(last, last))}};
}

/// out[0, 16) = scale * codes.
inline void put(float* out, __m128i codes, float scale)
{
    const Codes wide = widen(codes);
    for (size_t i = 0; i < 4; i++) {
        _mm_storeu_ps(out + kLanes * i, _mm_mul_ps(_mm_set1_ps(scale), wide.parts[i]));
    }
}

/// out[0, 16) = scale * codes + offset.
inline void put(float* out, __m128i codes, float scale, float offset)
{
    const Codes wide = widen(codes);
    for (size_t i = 0; i < 4; i++) {
        const __m128 product = _mm_mul_ps(_mm_set1_ps(scale), wide.parts[i]);
        _mm_storeu_ps(out + kLanes * i, _mm_add_ps(product, _mm_set1_ps(offset)));
    }
}

/// Calls kBlock for each block of a tensor's part.
template <BlockShape kShape, void (*kBlock)(float* out, const uint8_t* block)>
inline void each_block(float* out, const uint8_t* blocks, size_t n)
{
    for (size_t i = 0; i < n; i += kShape.values, blocks += kShape.bytes) {
        kBlock(out + i, blocks);
    }
}

inline void block_q8_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    put(out, load(block + 2), d);
    put(out + 16, load(block + 18), d);
}

inline void block_q4_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const __m128i codes = load(block + 2);
    put(out, _mm_sub_epi8(low(codes), _mm_set1_epi8(8)), d);
    put(out + 16, _mm_sub_epi8(high(codes), _mm_set1_epi8(8)), d);
}

inline void block_q4_1(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    const __m128i codes = load(block + 4);
    put(out, low(codes), d, m);
    put(out + 16, high(codes), d, m);
}

inline void block_q5_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const __m128i codes = load(block + 6);
    // 16 is taken off where the fifth bit does not add it.
    const __m128i first = _mm_or_si128(low(codes), spread_bits(load_u16(block + 2), 16));
    const __m128i last = _mm_or_si128(high(codes), spread_bits(load_u16(block + 4), 16));
    put(out, _mm_sub_epi8(first, _mm_set1_epi8(16)), d);
    put(out + 16, _mm_sub_epi8(last, _mm_set1_epi8(16)), d);
}

inline void block_q5_1(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    const __m128i codes = load(block + 8);
    put(out, _mm_or_si128(low(codes), spread_bits(load_u16(block + 4), 16)), d, m);
    put(out + 16, _mm_or_si128(high(codes), spread_bits(load_u16(block + 6), 16)), d, m);
}

inline void block_q2_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block + 80);
    const float dmin = load_f16(block + 82);
    for (size_t group = 0; group < 16; group++, out += 16) {
        const uint8_t packed = block[group];
        const __m128i codes = load(block + 16 + group / 8 * 32 + group % 2 * 16);
        put(out, pairs(codes, static_cast<int>(group / 2 % 4 * 2)), d * static_cast<float>(packed & 0xf),
            -(dmin * static_cast<float>(packed >> 4)));
    }
}

/// The sixteen scales of Q3_K, with their 32 taken off.
inline void unpack_scales(int8_t* scales, const uint8_t* packed)
{
    for (size_t group = 0; group < 16; group++) {
        const int lower = packed[group % 8] >> group / 8 * 4 & 0xf;
        const int upper = packed[8 + group % 4] >> group / 4 * 2 & 3;
        scales[group] = static_cast<int8_t>((lower | upper << 4) - 32);
    }
}

inline void block_q3_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block + 108);
    int8_t scales[16];
    unpack_scales(scales, block + 96);
    for (size_t group = 0; group < 16; group++, out += 16) {
        const size_t part = group % 2 * 16;
        const __m128i lower = pairs(load(block + 32 + group / 8 * 32 + part), static_cast<int>(group / 2 % 4 * 2));
        const __m128i bit = _mm_set1_epi8(static_cast<char>(1 << group / 2));
        const __m128i codes = _mm_or_si128(lower, where_set(load(block + part), bit, 4));
        put(out, _mm_sub_epi8(codes, _mm_set1_epi8(4)), d * static_cast<float>(scales[group]));
    }
}

/// Scale and minimum of a group of Q4_K and Q5_K, the minimum with its sign turned.
struct ScaleMin {
    float scale;
    float offset;
};
inline ScaleMin scale_min(const uint8_t* scales, size_t group, float d, float dmin)
{
    int scale = scales[group] & 0x3f;
    int min = scales[group + 4] & 0x3f;
    if (group >= 4) {
        scale = (scales[group + 4] & 0xf) | scales[group - 4] >> 6 << 4;
        min = scales[group + 4] >> 4 | scales[group] >> 6 << 4;
    }
    return {d * static_cast<float>(scale), -(dmin * static_cast<float>(min))};
}

inline void block_q4_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    for (size_t group = 0; group < 8; group += 2, out += 64) {
        const ScaleMin even = scale_min(block + 4, group, d, dmin);
        const ScaleMin odd = scale_min(block + 4, group + 1, d, dmin);
        for (size_t part = 0; part < 32; part += 16) {
            const __m128i codes = load(block + 16 + group * 16 + part);
            put(out + part, low(codes), even.scale, even.offset);
            put(out + 32 + part, high(codes), odd.scale, odd.offset);
        }
    }
}

inline void block_q5_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    for (size_t group = 0; group < 8; group += 2, out += 64) {
        const ScaleMin even = scale_min(block + 4, group, d, dmin);
        const ScaleMin odd = scale_min(block + 4, group + 1, d, dmin);
        const __m128i even_bit = _mm_set1_epi8(static_cast<char>(1 << group));
        const __m128i odd_bit = _mm_set1_epi8(static_cast<char>(2 << group));
        for (size_t part = 0; part < 32; part += 16) {
            const __m128i codes = load(block + 48 + group * 16 + part);
            const __m128i fifth = load(block + 16 + part);
            put(out + part, _mm_or_si128(low(codes), where_set(fifth, even_bit, 16)), even.scale, even.offset);
            put(out + 32 + part, _mm_or_si128(high(codes), where_set(fifth, odd_bit, 16)), odd.scale, odd.offset);
        }
    }
}

inline void block_q6_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block + 208);
    for (size_t group = 0; group < 16; group++, out += 16) {
        const __m128i bytes = load(block + group / 8 * 64 + group % 4 * 16);
        const __m128i lower = group % 8 < 4 ? low(bytes) : high(bytes);
        const __m128i upper =
            pairs(load(block + 128 + group / 8 * 32 + group % 2 * 16), static_cast<int>(group / 2 % 4 * 2));
        const __m128i codes = _mm_or_si128(lower, _mm_slli_epi16(upper, 4));
        put(out, _mm_sub_epi8(codes, _mm_set1_epi8(32)),
            d * static_cast<float>(static_cast<int8_t>(block[192 + group])));
    }
}

} // namespace

void dequantize_f16(float* out, const uint8_t* blocks, size_t n)
{
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const __m128i halves = load(blocks + 2 * i);
        _mm_storeu_ps(out + i, widen_f16(_mm_unpacklo_epi16(_mm_setzero_si128(), halves)));
        _mm_storeu_ps(out + i + kLanes, widen_f16(_mm_unpackhi_epi16(_mm_setzero_si128(), halves)));
    }
    for (; i < n; i++) {
        out[i] = load_f16(blocks + 2 * i);
    }
}

void dequantize_bf16(float* out, const uint8_t* blocks, size_t n)
{
    size_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        const __m128i halves = load(blocks + 2 * i);
        _mm_storeu_ps(out + i, _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), halves)));
        _mm_storeu_ps(out + i + kLanes, _mm_castsi128_ps(_mm_unpackhi_epi16(_mm_setzero_si128(), halves)));
    }
    for (; i < n; i++) {
        out[i] = __builtin_bit_cast(float, static_cast<uint32_t>(load_u16(blocks + 2 * i)) << 16);
    }
}

void dequantize_q8_0(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ80, block_q8_0>(out, blocks, n); }

void dequantize_q4_0(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ40, block_q4_0>(out, blocks, n); }

void dequantize_q4_1(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ41, block_q4_1>(out, blocks, n); }

void dequantize_q5_0(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ50, block_q5_0>(out, blocks, n); }

void dequantize_q5_1(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ51, block_q5_1>(out, blocks, n); }

void dequantize_q2_k(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ2K, block_q2_k>(out, blocks, n); }

void dequantize_q3_k(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ3K, block_q3_k>(out, blocks, n); }

void dequantize_q4_k(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ4K, block_q4_k>(out, blocks, n); }

void dequantize_q5_k(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ5K, block_q5_k>(out, blocks, n); }

void dequantize_q6_k(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockQ6K, block_q6_k>(out, blocks, n); }

} // namespace llmk::djiblas::sse2
