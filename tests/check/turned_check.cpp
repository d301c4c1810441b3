// SPDX-License-Identifier: MIT
//
// SGEMM with turned inputs, by weights of all float types. Tolerance: as for a sum of float32 products
// (float_check.cpp), against scalar's SGEMM of the unpacked weights; unpacking is exact.
#include "check.h"

#include <algorithm>
#include <cmath>

namespace llmk::check {

namespace {

using djiblas::TurnedGemm;
using djiblas::TurnedInput;

/// Past two passes over rows (96, or 30 or 32 that are unpacked) and one over columns (256).
constexpr size_t kManyRows = 2 * 96 + 8 + 3;
constexpr size_t kManyColumns = 256 + 16 + 5;
/// Past three panels of sixteen.
constexpr size_t kMaxBatchTested = 49;

struct FloatType {
    const char* name;
    djiblas::TurnedProduct TurnedGemm::*product;
    void (*pack)(uint8_t* out, const float* x, size_t n);
    djiblas::Dequantize unpack;
    size_t bytes;
};

void pack_f32(uint8_t* out, const float* x, size_t n)
{
    std::copy_n(reinterpret_cast<const uint8_t*>(x), n * sizeof(float), out);
}
void unpack_f32(float* out, const uint8_t* blocks, size_t n)
{
    std::copy_n(blocks, n * sizeof(float), reinterpret_cast<uint8_t*>(out));
}
/// The upper half of each; the rest of a NaN's bits does not matter.
void pack_bf16(uint8_t* out, const float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        std::copy_n(reinterpret_cast<const uint8_t*>(x + i) + 2, 2, out + 2 * i);
    }
}

const FloatType kFloatTypes[] = {
    {"f32", &TurnedGemm::f32, pack_f32, unpack_f32, 4},
    {"f16", &TurnedGemm::f16, djiblas::kScalar.pack_f16, djiblas::kScalar.dequantize_f16, 2},
    {"bf16", &TurnedGemm::bf16, pack_bf16, djiblas::kScalar.dequantize_bf16, 2},
};

class TurnedCheck : public KernelCheck {
protected:
    void SetUp() override
    {
        KernelCheck::SetUp();
        if (IsSkipped()) {
            return;
        }
        ASSERT_EQ(set().turned != nullptr, (set().features & djiblas::kFeatureAvx2) != 0);
    }

    /// All rows of x, a panel at a time, into memory that is guarded.
    Output<float> turned(const Input<float>& x, size_t x_stride, size_t batch, size_t cols) const
    {
        Output<float> panels(TurnedInput::floats(batch, cols), 0);
        for (size_t b = 0; b < batch; b += TurnedInput::kRows) {
            set().turned->turn(panels.data(), x.data(), x_stride, b, batch, cols);
        }
        EXPECT_TRUE(panels.intact());
        return panels;
    }

    void check(const FloatType& type, size_t rows, size_t cols, size_t batch)
    {
        const size_t offset = (rows + cols + batch) % 4;
        const size_t x_stride = cols + offset;
        const size_t y_stride = rows + 3 - offset;
        const Input<float> chosen = input(rows * cols, 0);
        const Input<float> x = input(batch * x_stride, offset);
        // A float at least lies at a multiple of its size; halves at any even byte.
        Output<uint8_t> packed(rows * cols * type.bytes, offset * type.bytes);
        type.pack(packed.data(), chosen.data(), rows * cols);
        std::vector<float> w(rows * cols);
        type.unpack(w.data(), packed.data(), rows * cols);

        Output<float> got(batch * y_stride, offset);
        Output<float> want(batch * y_stride, offset);
        Output<float> panels = turned(x, x_stride, batch, cols);
        (set().turned->*type.product)(got.data(), y_stride, packed.data(), rows, {panels.data(), batch, cols});
        djiblas::kScalar.gemm_f32(want.data(), y_stride, w.data(), x.data(), x_stride, rows, cols, batch);
        ASSERT_TRUE(got.intact());
        for (size_t i = 0; i < batch * y_stride; i++) {
            const size_t row = i % y_stride;
            double magnitudes = 0.0; // stays 0 between the rows of y: nothing is written there
            for (size_t c = 0; row < rows && c < cols; c++) {
                magnitudes += std::fabs(static_cast<double>(w[row * cols + c]) *
                                        static_cast<double>(x.get(i / y_stride * x_stride + c)));
            }
            const double tolerance = 2.0 * static_cast<double>(cols + 4) * kRounding * magnitudes;
            ASSERT_TRUE(near(got[i], want[i], tolerance))
                << got[i] << " for " << want[i] << " at row " << row << " of input " << i / y_stride << "; "
                << type.name << ", " << rows << "x" << cols << "x" << batch;
        }
    }
};

/// Blocks of 256 columns, in them panels of sixteen rows, in them columns.
TEST_P(TurnedCheck, PanelsHoldColumns)
{
    for (const size_t cols : {1, 15, 16, 17, 50, 256, 531}) {
        for (size_t batch = 1; batch <= 33; batch++) {
            const size_t stride = cols + 2;
            const Input<float> x = input(batch * stride, batch % 4);
            Output<float> panels = turned(x, stride, batch, cols);
            size_t at = 0;
            for (size_t first = 0; first < cols; first += 256) {
                for (size_t panel = 0; panel < batch; panel += 16) {
                    for (size_t i = 0; i < 16 * std::min<size_t>(256, cols - first); i++, at++) {
                        const size_t b = panel + i % 16;
                        const size_t c = first + i / 16;
                        ASSERT_EQ(panels[at], b < batch ? x.get(b * stride + c) : 0.0f)
                            << "column " << c << " of " << cols << ", row " << b << " of " << batch;
                    }
                }
            }
            ASSERT_EQ(at, panels.size());
        }
    }
}

TEST_P(TurnedCheck, AllBatches)
{
    for (const FloatType& type : kFloatTypes) {
        for (size_t batch = 1; batch <= kMaxBatchTested; batch++) {
            for (const size_t cols : {1, 15, 16, 17, 40}) {
                ASSERT_NO_FATAL_FAILURE(check(type, 8 + batch % 9, cols, batch));
                ASSERT_NO_FATAL_FAILURE(check(type, 8 + batch % 17, cols, batch));
            }
        }
    }
}

TEST_P(TurnedCheck, AllRowsAndColumns)
{
    for (const FloatType& type : kFloatTypes) {
        for (size_t rows = 0; rows <= 25; rows++) {
            for (const size_t cols : {0, 1, 31, 32, 33}) {
                for (const size_t batch : {3, 35, 43}) { // the last vector of AVX2 is of a tile of one or of two
                    ASSERT_NO_FATAL_FAILURE(check(type, rows, cols, batch));
                }
            }
        }
    }
}

TEST_P(TurnedCheck, ManyOfEach)
{
    for (const FloatType& type : kFloatTypes) {
        ASSERT_NO_FATAL_FAILURE(check(type, kManyRows, kManyColumns, 37));
        ASSERT_NO_FATAL_FAILURE(check(type, 96, 512, 24));
        ASSERT_NO_FATAL_FAILURE(check(type, 192, 512, 32));
        // More inputs than a pass takes (128 and more).
        ASSERT_NO_FATAL_FAILURE(check(type, 11, kManyColumns, djiblas::kMaxBatch));
        ASSERT_NO_FATAL_FAILURE(check(type, 103, 2 * kManyColumns, 205));
    }
}

TEST_P(TurnedCheck, FullVectorsPay)
{
    for (size_t batch = TurnedInput::kRows; batch <= djiblas::kMaxBatch; batch += TurnedInput::kRows) {
        EXPECT_TRUE(set().turned->pays(batch)) << batch;
    }
}

/// That of an input reaches all outputs of it and no other's; that of a row of weights likewise.
TEST_P(TurnedCheck, NanAndInfinityStayInTheirOutputs)
{
    constexpr size_t kRows = 9;
    constexpr size_t kCols = 21;
    constexpr size_t kBatch = 19;
    for (const float poison : {NAN, INFINITY}) {
        for (const size_t bad_input : {0, 15, 17}) {
            for (const size_t bad_row : {3, 8}) {
                Input<float> w = input(kRows * kCols, 0);
                Input<float> x = input(kBatch * kCols, 0);
                w.set(bad_row * kCols + kCols - 1, poison);
                x.set(bad_input * kCols + kCols - 2, poison);
                Output<float> panels = turned(x, kCols, kBatch, kCols);
                Output<float> y(kRows * kBatch, 0);
                set().turned->f32(y.data(), kRows, reinterpret_cast<const uint8_t*>(w.data()), kRows,
                                  {panels.data(), kBatch, kCols});
                for (size_t i = 0; i < kBatch * kRows; i++) {
                    EXPECT_EQ(std::isfinite(y[i]), i % kRows != bad_row && i / kRows != bad_input) << i;
                }
            }
        }
    }
}

/// Sets that have no such products of their own or from below take gemm_f32's.
std::vector<const KernelSet*> turning_sets()
{
    std::vector<const KernelSet*> sets = all_sets();
    std::erase_if(sets, [](const KernelSet* set) { return (set->features & djiblas::kFeatureAvx2) == 0; });
    return sets;
}

INSTANTIATE_TEST_SUITE_P(Sets, TurnedCheck, testing::ValuesIn(turning_sets()), set_name);

} // namespace

} // namespace llmk::check
