// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights. Tolerance: as for a sum of float32 products (float_check.cpp); unpacking
// is exact.
#include "packed_types.h"

#include <cmath>

namespace llmk::check {

namespace {

/// Past two rounds of the widest loop (64 columns), every remainder included.
constexpr size_t kMaxColumns = 132;
constexpr size_t kMaxRows = 5;

struct HalfType {
    const char* name;
    decltype(KernelSet::gemv_f16) KernelSet::*gemv;
    decltype(KernelSet::gemv_f16) KernelSet::*others[djiblas::kWeightReadings - 1]; ///< that read otherwise
    decltype(KernelSet::gemm_f16) KernelSet::*gemm;
    djiblas::Dequantize KernelSet::*dequantize;
};

constexpr HalfType kHalfTypes[] = {
    {"f16",
     &KernelSet::gemv_f16,
     {&KernelSet::gemv_f16_side_by_side, &KernelSet::gemv_f16_in_places},
     &KernelSet::gemm_f16,
     &KernelSet::dequantize_f16},
    {"bf16",
     &KernelSet::gemv_bf16,
     {&KernelSet::gemv_bf16_side_by_side, &KernelSet::gemv_bf16_in_places},
     &KernelSet::gemm_bf16,
     &KernelSet::dequantize_bf16},
};

/// The binary16 next to `value` towards zero.
uint16_t f16_bits(float value)
{
    const auto sign = static_cast<uint16_t>(bits_of(value) >> 16 & 0x8000u);
    const float magnitude = std::fabs(value);
    uint32_t bits = 0;
    if (std::isnan(value)) {
        bits = 0x7e00;
    } else if (magnitude >= 65536.0f) {
        bits = 0x7c00;
    } else if (magnitude < 0x1p-14f) {
        bits = static_cast<uint32_t>(magnitude * 0x1p24f);
    } else {
        bits = (bits_of(magnitude) - ((127 - 15) << 23)) >> 13;
    }
    return static_cast<uint16_t>(sign | bits);
}

uint16_t bits_of_value(const HalfType& type, float value)
{
    return type.gemv == &KernelSet::gemv_bf16 ? static_cast<uint16_t>(bits_of(value) >> 16) : f16_bits(value);
}

class HalfCheck : public KernelCheck {
protected:
    /// Weights of all magnitudes that a model has, subnormals and zeros among them, `offset` bytes off alignment.
    Input<uint16_t> weights(const HalfType& type, size_t count, size_t offset)
    {
        size_t i = 0;
        return Input<uint16_t>(count, offset, [this, &type, &i] {
            i++;
            const float scale = i % 7 == 0 ? 0x1p-16f : i % 11 == 0 ? 0.0f : i % 13 == 0 ? 300.0f : 1.0f;
            return bits_of_value(type, real() * scale);
        });
    }

    void check_gemv(const HalfType& type, size_t rows, size_t cols, size_t offset)
    {
        const Input<uint16_t> packed = weights(type, rows * cols, offset);
        const auto* w = reinterpret_cast<const uint8_t*>(packed.data());
        const Input<float> x = input(cols, offset % 4);
        Output<float> got(rows, offset % 4);
        Output<float> want(rows, 0);
        (set().*type.gemv)(got.data(), w, x.data(), rows, cols);
        (oracle().*type.gemv)(want.data(), w, x.data(), rows, cols);
        ASSERT_TRUE(got.intact()) << type.name << ", " << rows << "x" << cols;
        for (const auto other : type.others) {
            Output<float> same(rows, offset % 4);
            (set().*other)(same.data(), w, x.data(), rows, cols);
            ASSERT_TRUE(same.intact()) << type.name << ", " << rows << "x" << cols;
            for (size_t r = 0; r < rows; r++) {
                ASSERT_EQ(bits_of(same[r]), bits_of(got[r]))
                    << type.name << ", " << rows << "x" << cols << " row " << r;
            }
        }
        std::vector<float> values(rows * cols);
        (djiblas::kScalar.*type.dequantize)(values.data(), w, rows * cols);
        for (size_t r = 0; r < rows; r++) {
            double magnitudes = 0.0;
            for (size_t c = 0; c < cols; c++) {
                magnitudes += std::fabs(static_cast<double>(values[r * cols + c]) * static_cast<double>(x.get(c)));
            }
            const double tolerance = 2.0 * static_cast<double>(cols + 4) * kRounding * magnitudes;
            ASSERT_TRUE(near(got[r], want[r], tolerance))
                << type.name << ", " << rows << "x" << cols << " row " << r << ": " << got[r] << " for " << want[r];
        }
    }
};

/// Where a set has them: more of rows, columns and inputs than any block of theirs, with what is left over.
TEST_P(HalfCheck, Batches)
{
    constexpr size_t kMaxBatch = 19;
    constexpr size_t kRows = 48 + 16 + 3;
    ASSERT_EQ(set().gemm_f16 != nullptr, (set().features & djiblas::kFeatureAvx512) != 0);
    ASSERT_EQ(set().gemm_f16 == nullptr, set().gemm_bf16 == nullptr);
    for (const HalfType& type : kHalfTypes) {
        for (size_t batch = 2; batch <= kMaxBatch && set().*type.gemm != nullptr; batch++) {
            for (const size_t cols : {0, 1, 16, 31, 32, 33, 47, 48, 49, 109}) {
                const size_t rows = kRows - batch;
                const size_t x_stride = cols + 3;
                const size_t y_stride = rows + 5;
                const Input<uint16_t> packed = weights(type, rows * cols, 2 * (batch % 4));
                const auto* w = reinterpret_cast<const uint8_t*>(packed.data());
                const Input<float> x = input(batch * x_stride, batch % 4);
                Output<float> y(batch * y_stride, batch % 4);
                (set().*type.gemm)(y.data(), y_stride, w, x.data(), x_stride, rows, cols, batch);
                ASSERT_TRUE(y.intact()) << type.name << ", " << cols << " columns, batch " << batch;
                std::vector<float> values(rows * cols);
                (djiblas::kScalar.*type.dequantize)(values.data(), w, rows * cols);
                for (size_t i = 0; i < batch * rows; i++) {
                    double sum = 0.0;
                    double magnitudes = 0.0;
                    for (size_t c = 0; c < cols; c++) {
                        const double product = static_cast<double>(values[i % rows * cols + c]) *
                                               static_cast<double>(x.get(i / rows * x_stride + c));
                        sum += product;
                        magnitudes += std::fabs(product);
                    }
                    const double tolerance = static_cast<double>(cols + 4) * kRounding * magnitudes;
                    ASSERT_NEAR(y[i / rows * y_stride + i % rows], sum, tolerance)
                        << type.name << ", " << cols << " columns, row " << i % rows << " of input " << i / rows
                        << " of " << batch;
                }
            }
        }
    }
}

TEST_P(HalfCheck, AllLengths)
{
    for (const HalfType& type : kHalfTypes) {
        for (size_t rows = 0; rows <= kMaxRows; rows++) {
            for (size_t cols = 0; cols <= kMaxColumns; cols++) {
                ASSERT_NO_FATAL_FAILURE(check_gemv(type, rows, cols, 2 * ((rows + cols) % 4)));
            }
        }
    }
}

/// Where rows are so wide that two are taken at once, every remainder of both.
TEST_P(HalfCheck, WideRows)
{
    for (const HalfType& type : kHalfTypes) {
        for (size_t rows = 1; rows <= 4; rows++) {
            for (const size_t cols : {4095, 4096, 4097, 4103, 4104, 4128, 4133}) {
                ASSERT_NO_FATAL_FAILURE(check_gemv(type, rows, cols, 2 * (cols % 4)));
            }
        }
    }
}

/// Files place tensors, and so rows, at any even byte; the contract says any byte.
TEST_P(HalfCheck, AllAddresses)
{
    for (const HalfType& type : kHalfTypes) {
        for (size_t offset = 0; offset < 65; offset++) {
            ASSERT_NO_FATAL_FAILURE(check_gemv(type, 3, 77, offset));
        }
    }
}

/// One weight at a time, in every place, over all its patterns: the product with 1 is the weight itself.
TEST_P(HalfCheck, EveryPattern)
{
    for (const HalfType& type : kHalfTypes) {
        for (uint32_t pattern = 0; pattern < 65536; pattern++) {
            const size_t cols = 1 + pattern % 41;
            const size_t place = pattern * 7 % cols;
            std::vector<uint16_t> packed(cols, 0);
            packed[place] = static_cast<uint16_t>(pattern);
            const std::vector<float> x(cols, 1.0f);
            float got;
            float want;
            (set().*type.gemv)(&got, reinterpret_cast<const uint8_t*>(packed.data()), x.data(), 1, cols);
            (djiblas::kScalar.*type.dequantize)(&want, reinterpret_cast<const uint8_t*>(&packed[place]), 1);
            ASSERT_EQ(ulp_distance(got, want), 0u) << type.name << ", pattern " << pattern << " at " << place << " of "
                                                   << cols << ": " << got << " for " << want;
        }
    }
}

/// A row's NaN or infinity must reach its output and no other's.
TEST_P(HalfCheck, NanAndInfinityStayInTheirRow)
{
    constexpr size_t kRows = 3;
    for (const HalfType& type : kHalfTypes) {
        for (const size_t cols : {7, 8, 21, 40, 67}) {
            for (const uint16_t poison : {bits_of_value(type, NAN), bits_of_value(type, INFINITY)}) {
                for (size_t at = 0; at < cols; at++) {
                    Input<uint16_t> packed = weights(type, kRows * cols, 0);
                    packed.set(cols + at, poison);
                    const Input<float> x = input(cols, 0);
                    Output<float> y(kRows, 0);
                    (set().*type.gemv)(y.data(), reinterpret_cast<const uint8_t*>(packed.data()), x.data(), kRows,
                                       cols);
                    for (size_t r = 0; r < kRows; r++) {
                        ASSERT_EQ(std::isfinite(y[r]), r != 1) << type.name << ", row " << r << ", column " << at;
                    }
                }
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, HalfCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
