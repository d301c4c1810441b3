// SPDX-License-Identifier: MIT
//
// Unpacking of GGUF's tensor types, one value at a time and in the order of operations of the `gguf` package's
// quants.py: the results are its bits. Layouts are KernelSet's comments.
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas::scalar {

namespace {

uint16_t load_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

uint32_t load_u32(const uint8_t* p) { return load_u16(p) | static_cast<uint32_t>(load_u16(p + 2)) << 16; }

/// Two bits, the lowest at `shift`.
int pair(unsigned bits, size_t shift) { return static_cast<int>(bits >> shift & 3u); }

/// Four bits: `half` 0 is the lower ones.
int nibble(uint8_t byte, size_t half) { return byte >> 4 * half & 0xf; }

/// A binary16 has 5 exponent bits, biased by 15, and 10 of fraction: a binary32 8, biased by 127, and 23.
float widen_f16(uint16_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign == 0 ? magnitude : -magnitude;
    }
    const uint32_t widened = exponent == 0x1f ? 0xffu : exponent + 127 - 15;
    return __builtin_bit_cast(float, sign | widened << 23 | fraction << 13);
}

float load_f16(const uint8_t* p) { return widen_f16(load_u16(p)); }

/// Calls kBlock for each block of a tensor's part.
template <BlockShape kShape, void (*kBlock)(float* out, const uint8_t* block)>
void each_block(float* out, const uint8_t* blocks, size_t n)
{
    for (size_t i = 0; i < n; i += kShape.values, blocks += kShape.bytes) {
        kBlock(out + i, blocks);
    }
}

void block_f16(float* out, const uint8_t* block) { *out = load_f16(block); }

void block_bf16(float* out, const uint8_t* block)
{
    *out = __builtin_bit_cast(float, static_cast<uint32_t>(load_u16(block)) << 16);
}

void block_q8_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    for (size_t i = 0; i < 32; i++) {
        out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
    }
}

void block_q4_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * static_cast<float>(nibble(block[2 + i % 16], i / 16) - 8);
    }
}

void block_q4_1(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * static_cast<float>(nibble(block[4 + i % 16], i / 16)) + m;
    }
}

/// Value i of Q5_0 and Q5_1, from 0 to 31.
int five_bits(const uint8_t* codes, uint32_t fifth, size_t i)
{
    return nibble(codes[i % 16], i / 16) | static_cast<int>(fifth >> i & 1u) << 4;
}

void block_q5_0(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const uint32_t fifth = load_u32(block + 2);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * static_cast<float>(five_bits(block + 6, fifth, i) - 16);
    }
}

void block_q5_1(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float m = load_f16(block + 2);
    const uint32_t fifth = load_u32(block + 4);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * static_cast<float>(five_bits(block + 8, fifth, i)) + m;
    }
}

/// Value i of Q2_K, and the lower two bits of Q3_K's.
int two_bits(const uint8_t* codes, size_t i) { return pair(codes[i / 128 * 32 + i % 32], i / 32 % 4 * 2); }

void block_q2_k(float* out, const uint8_t* block)
{
    const uint8_t* scales = block;
    const uint8_t* codes = block + 16;
    const float d = load_f16(block + 80);
    const float dmin = load_f16(block + 82);
    for (size_t group = 0; group < 16; group++) {
        const float scale = d * static_cast<float>(nibble(scales[group], 0));
        const float min = dmin * static_cast<float>(nibble(scales[group], 1));
        for (size_t i = group * 16; i < (group + 1) * 16; i++) {
            out[i] = scale * static_cast<float>(two_bits(codes, i)) - min;
        }
    }
}

void block_q3_k(float* out, const uint8_t* block)
{
    const uint8_t* third = block;
    const uint8_t* codes = block + 32;
    const uint8_t* scales = block + 96;
    const float d = load_f16(block + 108);
    for (size_t group = 0; group < 16; group++) {
        const int packed = nibble(scales[group % 8], group / 8) | pair(scales[8 + group % 4], group / 4 * 2) << 4;
        const float scale = d * static_cast<float>(packed - 32);
        for (size_t i = group * 16; i < (group + 1) * 16; i++) {
            const int bit = third[i % 32] >> i / 32 & 1;
            out[i] = scale * static_cast<float>(two_bits(codes, i) - (bit == 0 ? 4 : 0));
        }
    }
}

/// Scale and minimum of a group of Q4_K and Q5_K.
struct ScaleMin {
    float scale;
    float min;
};
ScaleMin scale_min(const uint8_t* scales, size_t group, float d, float dmin)
{
    int scale = scales[group] & 0x3f;
    int min = scales[group + 4] & 0x3f;
    if (group >= 4) {
        scale = nibble(scales[group + 4], 0) | pair(scales[group - 4], 6) << 4;
        min = nibble(scales[group + 4], 1) | pair(scales[group], 6) << 4;
    }
    return {d * static_cast<float>(scale), dmin * static_cast<float>(min)};
}

void block_q4_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    const uint8_t* codes = block + 16;
    for (size_t group = 0; group < 8; group++, out += 32) {
        const ScaleMin part = scale_min(block + 4, group, d, dmin);
        for (size_t j = 0; j < 32; j++) {
            const int q = nibble(codes[group / 2 * 32 + j], group % 2);
            out[j] = part.scale * static_cast<float>(q) - part.min;
        }
    }
}

void block_q5_k(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const float dmin = load_f16(block + 2);
    const uint8_t* fifth = block + 16;
    const uint8_t* codes = block + 48;
    for (size_t group = 0; group < 8; group++, out += 32) {
        const ScaleMin part = scale_min(block + 4, group, d, dmin);
        for (size_t j = 0; j < 32; j++) {
            const int q = nibble(codes[group / 2 * 32 + j], group % 2) | (fifth[j] >> group & 1) << 4;
            out[j] = part.scale * static_cast<float>(q) - part.min;
        }
    }
}

void block_q6_k(float* out, const uint8_t* block)
{
    const uint8_t* codes = block;
    const uint8_t* upper = block + 128;
    const uint8_t* scales = block + 192;
    const float d = load_f16(block + 208);
    for (size_t group = 0; group < 16; group++) {
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[group]));
        for (size_t i = group * 16; i < (group + 1) * 16; i++) {
            const int low = nibble(codes[i / 128 * 64 + i % 64], i / 64 % 2);
            const int q = low | pair(upper[i / 128 * 32 + i % 32], i / 32 % 4 * 2) << 4;
            out[i] = scale * static_cast<float>(q - 32);
        }
    }
}

void block_iq4_nl(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    for (size_t i = 0; i < 32; i++) {
        out[i] = d * static_cast<float>(kIq4Values[nibble(block[2 + i % 16], i / 16)]);
    }
}

void block_iq4_xs(float* out, const uint8_t* block)
{
    const float d = load_f16(block);
    const uint16_t upper = load_u16(block + 2);
    const uint8_t* lower = block + 4;
    const uint8_t* codes = block + 8;
    for (size_t group = 0; group < 8; group++, out += 32, codes += 16) {
        const int packed = nibble(lower[group / 2], group % 2) | pair(upper, 2 * group) << 4;
        const float scale = d * static_cast<float>(packed - 32);
        for (size_t j = 0; j < 32; j++) {
            out[j] = scale * static_cast<float>(kIq4Values[nibble(codes[j % 16], j / 16)]);
        }
    }
}

} // namespace

void dequantize_f16(float* out, const uint8_t* blocks, size_t n) { each_block<kBlockF16, block_f16>(out, blocks, n); }

void dequantize_bf16(float* out, const uint8_t* blocks, size_t n)
{
    each_block<kBlockBf16, block_bf16>(out, blocks, n);
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

void dequantize_iq4_nl(float* out, const uint8_t* blocks, size_t n)
{
    each_block<kBlockIq4Nl, block_iq4_nl>(out, blocks, n);
}

void dequantize_iq4_xs(float* out, const uint8_t* blocks, size_t n)
{
    each_block<kBlockIq4Xs, block_iq4_xs>(out, blocks, n);
}

} // namespace llmk::djiblas::scalar
