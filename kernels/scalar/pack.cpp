// SPDX-License-Identifier: MIT
//
// Packing, the other way of dequantize.cpp, for what the program itself keeps packed.
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas::scalar {

namespace {

/// To nearest, ties to even.
uint16_t narrow_f16(float x)
{
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    constexpr uint32_t kInfinity = 0x7f800000u;
    constexpr uint32_t kTooLarge = 0x477ff000u;       // 65520, halfway from the largest to what would come next
    constexpr uint32_t kSmallestNormal = 0x38800000u; // 2^-14
    if (magnitude > kInfinity) {
        return static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    }
    if (magnitude >= kTooLarge) {
        return static_cast<uint16_t>(sign | 0x7c00u);
    }
    if (magnitude < kSmallestNormal) {
        // In 2^-24ths; adding 2^23 to such a small number rounds it to a whole one.
        const float units = __builtin_bit_cast(float, magnitude) * 0x1p24f + 0x1p23f;
        return static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, units) - 0x4b000000u));
    }
    // The bias goes from 127 to 15; a carry out of the fraction is a step of the exponent, as it should be.
    const uint32_t odd = magnitude >> 13 & 1u;
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

void store_u16(uint8_t* out, uint16_t value)
{
    out[0] = static_cast<uint8_t>(value);
    out[1] = static_cast<uint8_t>(value >> 8);
}

/// |x| may be a little above 127. In double, where adding a half is exact.
int8_t round_away(float x)
{
    const double rounded = static_cast<double>(x) + (x < 0.0f ? -0.5 : 0.5);
    return static_cast<int8_t>(rounded > 127.0 ? 127.0 : rounded < -127.0 ? -127.0 : rounded);
}

} // namespace

void pack_f16(uint8_t* out, const float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        store_u16(out + 2 * i, narrow_f16(x[i]));
    }
}

void pack_q8_0(uint8_t* out, const float* x, size_t n)
{
    for (size_t start = 0; start < n; start += kBlockQ80.values, out += kBlockQ80.bytes) {
        // Magnitudes compare as their bits do, and every NaN is above infinity.
        uint32_t bits = 0;
        for (size_t i = start; i < start + kBlockQ80.values; i++) {
            const uint32_t magnitude = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffffu;
            bits = magnitude > bits ? magnitude : bits;
        }
        const float d = __builtin_bit_cast(float, bits) / 127.0f;
        const bool finite = bits < 0x7f800000u;
        store_u16(out, narrow_f16(d));
        for (size_t i = 0; i < kBlockQ80.values; i++) {
            out[2 + i] = static_cast<uint8_t>(d == 0.0f || !finite ? int8_t{0} : round_away(x[start + i] / d));
        }
    }
}

} // namespace llmk::djiblas::scalar
