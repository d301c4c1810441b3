// SPDX-License-Identifier: MIT
//
// Unpacking of GGUF's tensor types: every set gives scalar's bits, whatever the bytes and wherever they lie, and
// touches nothing else. That scalar's are the right ones is quant_fixture_test.cpp's to show, and for F16 and BF16 this
// file's.
#include "packed_types.h"

#include <cmath>

namespace llmk::check {

namespace {

/// Past two rounds of sixteen values where a block is one value; five blocks of the others.
size_t most_blocks(const PackedType& type) { return type.block.values == 1 ? 36 : 5; }

class DequantizeCheck : public KernelCheck {
protected:
    Input<uint8_t> bytes(size_t count, size_t offset)
    {
        return Input<uint8_t>(count, offset, [this] { return static_cast<uint8_t>(byte()); });
    }
};

TEST_P(DequantizeCheck, TheSetAskedForIsTheOneThatRuns)
{
    for (const PackedType& type : kPackedTypes) {
        const djiblas::Dequantize own = GetParam()->*type.dequantize;
        EXPECT_NE(set().*type.dequantize, nullptr) << type.name;
        EXPECT_TRUE(own == nullptr || own == set().*type.dequantize) << type.name;
    }
}

/// Random bytes in every field, so scales are of all kinds: subnormal, infinite, NaN.
TEST_P(DequantizeCheck, AllLengthsAtAllAddresses)
{
    for (const PackedType& type : kPackedTypes) {
        for (size_t blocks = 0; blocks <= most_blocks(type); blocks++) {
            for (size_t offset = 0; offset < 17; offset++) {
                const size_t n = blocks * type.block.values;
                const Input<uint8_t> packed = bytes(blocks * type.block.bytes, offset);
                Output<float> got(n, offset % 4);
                Output<float> want(n, 0);
                (set().*type.dequantize)(got.data(), packed.data(), n);
                (djiblas::kScalar.*type.dequantize)(want.data(), packed.data(), n);
                ASSERT_TRUE(got.intact()) << type.name << ", " << blocks << " blocks";
                ASSERT_TRUE(want.intact()) << type.name << ", " << blocks << " blocks";
                for (size_t i = 0; i < n; i++) {
                    const bool same = bits_of(got[i]) == bits_of(want[i]) || (got[i] != got[i] && want[i] != want[i]);
                    ASSERT_TRUE(same) << type.name << ", value " << i << " of " << n << ": " << got[i] << " for "
                                      << want[i];
                }
            }
        }
    }
}

/// Blocks of one byte over and over, for all 256 of them: every code in every place.
TEST_P(DequantizeCheck, AllCodesInAllPlaces)
{
    for (const PackedType& type : kPackedTypes) {
        Output<float> got(type.block.values, 0);
        Output<float> want(type.block.values, 0);
        for (int value = 0; value < 256; value++) {
            const Input<uint8_t> packed(type.block.bytes, 0, [value] { return static_cast<uint8_t>(value); });
            (set().*type.dequantize)(got.data(), packed.data(), type.block.values);
            (djiblas::kScalar.*type.dequantize)(want.data(), packed.data(), type.block.values);
            for (size_t i = 0; i < type.block.values; i++) {
                ASSERT_EQ(ulp_distance(got[i], want[i]), 0u) << type.name << ", byte " << value << ", value " << i;
            }
        }
    }
}

/// Each of the 2^16 patterns, by the definition of the format. Sixteen at a time: the wide loops; NaN keeps its
/// payload.
TEST_P(DequantizeCheck, EveryBinary16)
{
    constexpr size_t kCount = 65536;
    Input<uint8_t> packed(2 * kCount, 1);
    for (size_t i = 0; i < kCount; i++) {
        packed.set(2 * i, static_cast<uint8_t>(i & 0xff));
        packed.set(2 * i + 1, static_cast<uint8_t>(i >> 8));
    }
    std::vector<float> f16(kCount);
    std::vector<float> bf16(kCount);
    set().dequantize_f16(f16.data(), packed.data(), kCount);
    set().dequantize_bf16(bf16.data(), packed.data(), kCount);
    for (size_t i = 0; i < kCount; i++) {
        const auto pattern = static_cast<uint32_t>(i);
        ASSERT_EQ(bits_of(bf16[i]), pattern << 16) << i;
        const int exponent = static_cast<int>(pattern >> 10 & 0x1f);
        const double fraction = static_cast<double>(pattern & 0x3ff);
        const uint32_t sign = (pattern & 0x8000) << 16;
        if (exponent == 0x1f) {
            ASSERT_EQ(bits_of(f16[i]), sign | 0x7f800000u | (pattern & 0x3ff) << 13) << i;
        } else {
            const double magnitude =
                exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
            ASSERT_EQ(bits_of(f16[i]), sign | bits_of(static_cast<float>(magnitude))) << i;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, DequantizeCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
