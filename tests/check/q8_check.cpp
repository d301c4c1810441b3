// SPDX-License-Identifier: MIT
//
// Q8_0: quantizing must agree bit for bit; products must be exact in the integers, and after that be off by no more
// than their float additions: 2 * (groups + 8) * 2^-24 * the sum of the groups' magnitudes. (A set may add each 16 or
// 32 columns of a group on their own: those are counted too.)
#include "check.h"

#include <cmath>

namespace llmk::check {

namespace {

class Q8Check : public KernelCheck {
protected:
    void check_quantize(const std::vector<float>& values, size_t group, size_t offset)
    {
        Input<float> x(values.size(), offset * sizeof(float));
        for (size_t i = 0; i < values.size(); i++) {
            x.set(i, values[i]);
        }
        const size_t groups = values.size() / group;
        Output<int8_t> got(values.size(), offset);
        Output<int8_t> want(values.size(), offset);
        Output<float> got_scales(groups, offset);
        Output<float> want_scales(groups, offset);
        set().quantize_q8(got.data(), got_scales.data(), x.data(), values.size(), group);
        oracle().quantize_q8(want.data(), want_scales.data(), x.data(), values.size(), group);
        ASSERT_TRUE(got.intact());
        ASSERT_TRUE(got_scales.intact());
        for (size_t g = 0; g < groups; g++) {
            ASSERT_EQ(ulp_distance(got_scales[g], want_scales[g]), 0u) << got_scales[g] << " for " << want_scales[g];
        }
        for (size_t i = 0; i < values.size(); i++) {
            ASSERT_EQ(int{got[i]}, int{want[i]})
                << "value " << i << " of " << values.size() << ": " << values[i] << ", group " << group;
        }
    }

    void check_product(size_t rows, size_t cols, size_t group, size_t batch, size_t offset)
    {
        const size_t groups = cols / group;
        const Input<int8_t> w(rows * cols, offset, [this] { return byte(); });
        const Input<int8_t> x(batch * cols, 3 - offset, [this] { return byte(); });
        const Input<float> w_scales(rows * groups, offset, [this] { return std::fabs(real()) * 0.01f; });
        const Input<float> x_scales(batch * groups, offset * sizeof(float), [this] { return std::fabs(real()); });
        const size_t y_stride = rows + offset;
        Output<float> got(batch * y_stride, offset);
        Output<float> want(batch * y_stride, offset);
        set().gemm_q8(got.data(), y_stride, w.data(), w_scales.unaligned(), x.data(), x_scales.data(), rows, cols,
                      group, batch);
        oracle().gemm_q8(want.data(), y_stride, w.data(), w_scales.unaligned(), x.data(), x_scales.data(), rows, cols,
                         group, batch);
        ASSERT_TRUE(got.intact());
        for (size_t b = 0; b < batch; b++) {
            for (size_t r = 0; r < y_stride; r++) {
                double magnitudes = 0.0;
                for (size_t c = 0; r < rows && c < cols; c++) {
                    magnitudes += std::fabs(static_cast<double>(w.get(r * cols + c) * x.get(b * cols + c)) *
                                            static_cast<double>(w_scales.get(r * groups + c / group)) *
                                            static_cast<double>(x_scales.get(b * groups + c / group)));
                }
                const size_t additions = groups + cols / 16 + 8;
                ASSERT_TRUE(near(got[b * y_stride + r], want[b * y_stride + r],
                                 2.0 * static_cast<double>(additions) * kRounding * magnitudes))
                    << rows << "x" << cols << " group " << group << " batch " << b << " row " << r;
            }
        }
        if (batch > 0) { // the GEMV of the same
            Output<float> single(rows, offset);
            set().gemv_q8(single.data(), w.data(), w_scales.unaligned(), x.data(), x_scales.data(), rows, cols, group);
            ASSERT_TRUE(single.intact());
            for (size_t r = 0; r < rows; r++) {
                ASSERT_EQ(ulp_distance(single[r], got[r]), 0u) << rows << "x" << cols << " group " << group;
            }
        }
    }
};

TEST_P(Q8Check, Quantize)
{
    for (const size_t group : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 96}) {
        for (size_t groups = 0; groups <= 3; groups++) {
            std::vector<float> values(group * groups);
            for (float& value : values) {
                value = real() * 3.0f;
            }
            ASSERT_NO_FATAL_FAILURE(check_quantize(values, group, (group + groups) % 4));
        }
    }
}

/// A peak of 127 makes the scale 1: the values are the quotients. Ties go away from zero, and the float just below a
/// tie does not.
TEST_P(Q8Check, QuantizeTies)
{
    std::vector<float> values = {127.0f, 0.5f, -0.5f, 0.49999997f, -0.49999997f, 1.5f, -1.5f, 2.5f, -2.5f};
    for (int i = -126; i < 126; i++) {
        const float tie = static_cast<float>(i) + 0.5f;
        values.insert(values.end(), {tie, std::nextafterf(tie, 0.0f), std::nextafterf(tie, 200.0f)});
    }
    check_quantize(values, values.size(), 0);
    Output<int8_t> q(9, 0);
    Output<float> scale(1, 0);
    set().quantize_q8(q.data(), scale.data(), values.data(), 9, 9);
    const int want[] = {127, 1, -1, 0, 0, 2, -2, 3, -3};
    for (size_t i = 0; i < 9; i++) {
        EXPECT_EQ(int{q[i]}, want[i]) << values[i];
    }
}

TEST_P(Q8Check, QuantizeStrangeValues)
{
    constexpr float kTiny = 1e-45f; // the least subnormal: the scale rounds to zero
    for (const size_t size : {4, 8, 11}) {
        std::vector<float> values(size, 0.0f);
        check_quantize(values, size, 0);
        values[1] = kTiny;
        check_quantize(values, size, 1);
        values[1] = 100 * kTiny; // the scale rounds up to the least subnormal
        check_quantize(values, size, 1);
        values[2] = 190 * kTiny; // beyond 127 times the scale
        check_quantize(values, size, 2);
        values[3] = -3e38f;
        check_quantize(values, size, 3);
        values[0] = INFINITY;
        check_quantize(values, size, 0);
        values[size - 1] = NAN;
        check_quantize(values, size, 0);
    }
}

TEST_P(Q8Check, ProductsOfAllGroups)
{
    for (const size_t group : {1, 2, 3, 4, 5, 8, 12, 16, 20, 31, 32, 33, 48, 64, 96}) {
        for (size_t groups = 0; groups <= 9; groups++) {
            for (size_t rows = 0; rows <= 9; rows += 1 + groups % 2) {
                ASSERT_NO_FATAL_FAILURE(
                    check_product(rows, group * groups, group, (rows + groups) % 4, (rows + groups) % 4));
            }
        }
    }
}

TEST_P(Q8Check, ProductsOfOneGroupARow)
{
    for (size_t cols = 1; cols <= 100; cols++) {
        ASSERT_NO_FATAL_FAILURE(check_product(5, cols, cols, 3, cols % 4));
    }
    check_product(6, 288, 32, 7, 1);
    check_product(6, 288, 288, 7, 1);
    check_product(5, 768, 64, 5, 3);
    check_product(5, 768, 4, 5, 3);
}

/// With scales of 1 and sums below 2^24 nothing rounds: the result is the integer.
TEST_P(Q8Check, ProductsAreExact)
{
    for (const size_t group : {1, 3, 4, 8, 16, 32, 48, 64, 960}) {
        constexpr size_t kCols = 960;
        for (const int extreme : {0, -128, 127}) {
            const auto make = [&] { return extreme == 0 ? byte() : static_cast<int8_t>(extreme); };
            const Input<int8_t> w(5 * kCols, 1, make);
            const Input<int8_t> x(3 * kCols, 0, make);
            const Input<float> scales(5 * kCols / group, 0, [] { return 1.0f; });
            if (kCols % group != 0) {
                continue;
            }
            Output<float> y(15, 0);
            set().gemm_q8(y.data(), 5, w.data(), scales.unaligned(), x.data(), scales.data(), 5, kCols, group, 3);
            for (size_t b = 0; b < 3; b++) {
                for (size_t r = 0; r < 5; r++) {
                    int exact = 0;
                    for (size_t c = 0; c < kCols; c++) {
                        exact += w.get(r * kCols + c) * x.get(b * kCols + c);
                    }
                    ASSERT_EQ(y[b * 5 + r], static_cast<float>(exact)) << "group " << group << " of " << extreme;
                }
            }
        }
    }
}

/// A group whose sum is past int32: no file of llama2.c's has one, but a file may say so.
TEST_P(Q8Check, AHugeGroupDoesNotOverflow)
{
    for (const size_t cols : {262144, 262145, 262159}) {
        const std::vector<int8_t> values(cols, -128);
        const float scale = 1.0f;
        float y = 0.0f;
        set().gemv_q8(&y, values.data(), &scale, values.data(), &scale, 1, cols, cols);
        EXPECT_EQ(y, static_cast<float>(cols) * 16384.0f);
    }
}

TEST_P(Q8Check, NanScalesShow)
{
    for (const size_t group : {1, 4, 16, 32}) {
        const std::vector<int8_t> zeros(32, 0);
        std::vector<float> scales(32 / group, 1.0f);
        const std::vector<float> ones(32 / group, 1.0f);
        scales.back() = NAN;
        float y = 0.0f;
        set().gemv_q8(&y, zeros.data(), ones.data(), zeros.data(), scales.data(), 1, 32, group);
        EXPECT_TRUE(std::isnan(y)) << group;
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, Q8Check, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
