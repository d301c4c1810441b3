// SPDX-License-Identifier: MIT
//
// Float32 products: dot, GEMV, SGEMM.
//
// Tolerance: a sum of n products in any order, fused or not, is off by at most about n roundings of the sum of
// magnitudes; so |got - want| <= (n + 4) * 2^-24 * sum |a*b|, two sums' worth with the oracle's own error included.
#include "check.h"

#include <cmath>

namespace llmk::check {

namespace {

/// Past two rounds of SGEMM's widest loop (16 columns), every remainder included.
constexpr size_t kMaxColumns = 36;
/// Past two rounds of GEMV's (64 columns).
constexpr size_t kMaxDotColumns = 132;
/// Past two tiles of four rows.
constexpr size_t kMaxRows = 9;
/// Past two tiles of six.
constexpr size_t kMaxBatchTested = 13;

double sum_tolerance(const float* a, const float* b, size_t n)
{
    double magnitudes = 0.0;
    for (size_t i = 0; i < n; i++) {
        magnitudes += std::fabs(static_cast<double>(a[i]) * static_cast<double>(b[i]));
    }
    return 2.0 * static_cast<double>(n + 4) * kRounding * magnitudes;
}

class FloatCheck : public KernelCheck {
protected:
    void check_gemm(size_t rows, size_t cols, size_t batch, size_t offset, size_t y_gap, size_t x_gap)
    {
        const Input<float> w = input(rows * cols, offset);
        const Input<float> x = input(batch == 0 ? 0 : (batch - 1) * (cols + x_gap) + cols, (offset + 1) % 4);
        const size_t y_stride = rows + y_gap;
        Output<float> got(batch * y_stride, offset);
        Output<float> want(batch * y_stride, offset);
        set().gemm_f32(got.data(), y_stride, w.data(), x.data(), cols + x_gap, rows, cols, batch);
        oracle().gemm_f32(want.data(), y_stride, w.data(), x.data(), cols + x_gap, rows, cols, batch);
        ASSERT_TRUE(got.intact());
        for (size_t b = 0; b < batch; b++) {
            for (size_t r = 0; r < y_stride; r++) {
                const size_t i = b * y_stride + r;
                const double tolerance =
                    r < rows ? sum_tolerance(w.data() + r * cols, x.data() + b * (cols + x_gap), cols) : 0.0;
                ASSERT_TRUE(near(got[i], want[i], tolerance))
                    << got[i] << " for " << want[i] << " at row " << r << " batch " << b << " of " << rows << "x"
                    << cols << "x" << batch << " offset " << offset;
            }
        }
    }
};

TEST_P(FloatCheck, Dot)
{
    for (size_t n = 0; n <= 4 * kMaxColumns; n++) {
        for (size_t offset = 0; offset < 4; offset++) {
            const Input<float> a = input(n, offset);
            const Input<float> b = input(n, 3 - offset);
            ASSERT_TRUE(near(set().dot_f32(a.data(), b.data(), n), oracle().dot_f32(a.data(), b.data(), n),
                             sum_tolerance(a.data(), b.data(), n)))
                << n << " values, offset " << offset;
        }
    }
}

TEST_P(FloatCheck, Gemv)
{
    for (size_t rows = 0; rows <= kMaxRows; rows++) {
        for (size_t cols = 0; cols <= kMaxDotColumns; cols++) {
            const size_t offset = (rows + cols) % 4;
            const Input<float> w = input(rows * cols, offset);
            const Input<float> x = input(cols, 3 - offset);
            Output<float> got(rows, offset);
            Output<float> want(rows, offset);
            set().gemv_f32(got.data(), w.data(), x.data(), rows, cols);
            oracle().gemv_f32(want.data(), w.data(), x.data(), rows, cols);
            ASSERT_TRUE(got.intact()) << rows << "x" << cols;
            for (size_t r = 0; r < rows; r++) {
                ASSERT_TRUE(near(got[r], want[r], sum_tolerance(w.data() + r * cols, x.data(), cols)))
                    << rows << "x" << cols << " row " << r;
            }
        }
    }
}

/// To the bit, by fours and what is left of them, past several turns and every remainder.
TEST_P(FloatCheck, HowWeightsAreReadChangesNoBit)
{
    ASSERT_EQ(GetParam()->gemv_f32 == nullptr, GetParam()->gemv_f32_side_by_side == nullptr);
    ASSERT_EQ(GetParam()->gemv_f32 == nullptr, GetParam()->gemv_f32_in_places == nullptr);
    for (size_t rows = 0; rows <= kMaxRows; rows++) {
        for (size_t cols = 0; cols <= 2 * kMaxDotColumns; cols++) {
            const size_t offset = (rows + cols) % 4;
            const Input<float> w = input(rows * cols, offset);
            const Input<float> x = input(cols, 3 - offset);
            std::vector<float> want(rows);
            set().gemv_f32(want.data(), w.data(), x.data(), rows, cols);
            for (const auto gemv : {set().gemv_f32_side_by_side, set().gemv_f32_in_places}) {
                Output<float> got(rows, offset);
                gemv(got.data(), w.data(), x.data(), rows, cols);
                ASSERT_TRUE(got.intact()) << rows << "x" << cols;
                for (size_t r = 0; r < rows; r++) {
                    ASSERT_EQ(__builtin_bit_cast(uint32_t, got[r]), __builtin_bit_cast(uint32_t, want[r]))
                        << rows << "x" << cols << " row " << r;
                }
            }
        }
    }
}

TEST_P(FloatCheck, GemmOfAllRemainders)
{
    for (size_t rows = 0; rows <= kMaxRows; rows++) {
        for (size_t batch = 0; batch <= kMaxBatchTested; batch++) {
            for (size_t cols = 0; cols <= kMaxColumns; cols++) {
                ASSERT_NO_FATAL_FAILURE(check_gemm(rows, cols, batch, (rows + cols + batch) % 4, cols % 3, batch % 3));
            }
        }
    }
}

/// To the bit: what is accepted of a guess must be what would have been said without it.
TEST_P(FloatCheck, AnExactGemmHasTheBitsOfGemv)
{
    ASSERT_EQ(GetParam()->gemv_f32 == nullptr, GetParam()->gemm_f32_exact == nullptr);
    for (size_t rows = 0; rows <= kMaxRows; rows++) {
        for (size_t batch = 1; batch <= kMaxBatchTested + 1; batch++) {
            for (const size_t cols : {0, 1, 7, 8, 15, 16, 17, 31, 32, 40, 63, 64, 65, 100, 515, 1030}) {
                const size_t offset = (rows + batch) % 4;
                const size_t x_stride = cols + batch % 3;
                const size_t y_stride = rows + batch % 2;
                const Input<float> w = input(rows * cols, offset);
                const Input<float> x = input(batch * x_stride, 3 - offset);
                Output<float> got(batch * y_stride, offset);
                set().gemm_f32_exact(got.data(), y_stride, w.data(), x.data(), x_stride, rows, cols, batch);
                ASSERT_TRUE(got.intact());
                for (size_t b = 0; b < batch; b++) {
                    std::vector<float> want(rows);
                    set().gemv_f32(want.data(), w.data(), x.data() + b * x_stride, rows, cols);
                    for (size_t r = 0; r < rows; r++) {
                        ASSERT_EQ(__builtin_bit_cast(uint32_t, got[b * y_stride + r]),
                                  __builtin_bit_cast(uint32_t, want[r]))
                            << "row " << r << " batch " << b << " of " << rows << "x" << cols << "x" << batch;
                    }
                }
            }
        }
    }
}

/// Several blocks of columns and of batch, with remainders, and the widest batch.
TEST_P(FloatCheck, GemmAcrossBlocks)
{
    check_gemm(5, 511, 3, 1, 0, 0);
    check_gemm(5, 512, 3, 1, 0, 0);
    check_gemm(5, 513, 3, 1, 2, 1);
    check_gemm(6, 1541, 4, 3, 1, 3);
    for (const size_t batch : {10, 13}) { // whole rows at once, and in blocks
        check_gemm(5, 1024, batch, 1, 0, 0);
        check_gemm(5, 1025, batch, 1, 1, 2);
        check_gemm(6, 2085, batch, 2, 0, 1);
    }
    for (const size_t batch : {63, 64, 65, 66, 67, 131, 133}) {
        check_gemm(5, 17, batch, 2, 1, 1);
    }
    for (const size_t rows : {16, 47, 48, 79, 96, 241, 257}) { // whole vectors of rows, and rows left over
        for (const size_t cols : {47, 48, 49, 130}) {
            check_gemm(rows, cols, 11, 1, 0, 3);
            check_gemm(rows, cols, 23, 2, 1, 0);
        }
    }
    for (const size_t rows : {95, 96, 97, 99, 191, 193}) {
        check_gemm(rows, 37, 8, 1, 0, 3);
        check_gemm(rows, 37, 12, 1, 0, 3);
    }
    check_gemm(7, 530, 68, 0, 0, 0);
    check_gemm(3, 9, djiblas::kMaxBatch, 0, 0, 0);
}

/// A row's NaN must reach every output of that row, and no other: masked and padded columns are real zeros.
TEST_P(FloatCheck, NanAndInfinityStayInTheirOutputs)
{
    constexpr size_t kRows = 9;
    constexpr size_t kCols = 21;
    constexpr size_t kBatch = 5;
    for (const float poison : {NAN, INFINITY}) {
        Input<float> w = input(kRows * kCols, 0);
        const Input<float> x = input(kBatch * kCols, 0);
        w.set(4 * kCols + kCols - 1, poison);
        Output<float> y(kRows * kBatch, 0);
        set().gemm_f32(y.data(), kRows, w.data(), x.data(), kCols, kRows, kCols, kBatch);
        for (size_t b = 0; b < kBatch; b++) {
            for (size_t r = 0; r < kRows; r++) {
                EXPECT_EQ(std::isfinite(y[b * kRows + r]), r != 4) << r << " " << b;
            }
        }
        set().gemv_f32(y.data(), w.data(), x.data(), kRows, kCols);
        for (size_t r = 0; r < kRows; r++) {
            EXPECT_EQ(std::isfinite(y[r]), r != 4) << r;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, FloatCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
