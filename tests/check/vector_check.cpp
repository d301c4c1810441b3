// SPDX-License-Identifier: MIT
//
// Kernels over single vectors: softmax, norms, addition, RoPE. Each test states its tolerance.
#include "check.h"

#include <algorithm>
#include <cmath>

namespace llmk::check {

namespace {

/// Past four rounds of eight lanes.
constexpr size_t kMaxLength = 36;

class VectorCheck : public KernelCheck {
protected:
    /// Two products and a sum, fused or not: two roundings of the magnitudes each. What does not turn stays as it is.
    void check_rope(decltype(KernelSet::rope_pairs) KernelSet::*rope)
    {
        for (size_t head_dim = 2; head_dim <= kMaxLength; head_dim += 2) {
            for (size_t rope_dim = 0; rope_dim <= head_dim; rope_dim += 2) {
                const size_t heads = (head_dim + rope_dim / 2) % 4;
                const size_t n = heads * head_dim;
                const size_t offset = (heads + head_dim / 2) % 4;
                const Input<float> x = input(n, 0);
                const Input<float> cos = input(rope_dim / 2, offset);
                const Input<float> sin = input(rope_dim / 2, 3 - offset);
                Output<float> got(n, offset);
                Output<float> want(n, offset);
                copy(got, x);
                copy(want, x);
                (set().*rope)(got.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
                (oracle().*rope)(want.data(), cos.data(), sin.data(), heads, head_dim, rope_dim);
                ASSERT_TRUE(got.intact());
                for (size_t i = 0; i < n; i++) {
                    const double tolerance = i % head_dim < rope_dim ? 8.0 * kRounding : 0.0;
                    ASSERT_TRUE(near(got[i], want[i], tolerance))
                        << "value " << i << " of " << heads << " heads of " << head_dim << ", " << rope_dim << " turn";
                }
            }
        }
    }
};

/// Exponential 2 ulp, division half, and the error of the sum, at most n roundings; and the oracle's own.
/// Subnormal results: two of the least.
TEST_P(VectorCheck, Softmax)
{
    for (size_t n = 1; n <= kMaxLength + 3; n++) {
        for (const float scale : {0.1f, 10.0f, 150.0f}) {
            const Input<float> x = input(n, n % 4, scale);
            Output<float> got(n, n % 4);
            Output<float> want(n, n % 4);
            copy(got, x);
            copy(want, x);
            set().softmax(got.data(), n);
            oracle().softmax(want.data(), n);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < n; i++) {
                const double tolerance = 2.0 * static_cast<double>(n + 8) * kRounding * static_cast<double>(want[i]);
                ASSERT_TRUE(near(got[i], want[i], tolerance + 0x1p-148)) << got[i] << " for " << want[i] << " n " << n;
            }
        }
    }
}

/// Beside a 0 of weight 1, values below -20 add nothing to the sum: what comes out is the exponential itself. 2 ulp
/// (of the least subnormals too); the scalar one within 1 ulp.
TEST_P(VectorCheck, ExponentialToTheLastUnit)
{
    const uint32_t limit = GetParam() == &djiblas::kScalar ? 1 : 2;
    constexpr size_t kLength = 9;
    for (float start = -105.0f; start < -21.0f; start += 0.00173f) {
        float x[kLength] = {0.0f};
        for (size_t i = 1; i < kLength; i++) {
            x[i] = start + 0.0002f * static_cast<float>(i);
        }
        float got[kLength];
        std::copy(std::begin(x), std::end(x), got);
        set().softmax(got, kLength);
        ASSERT_EQ(got[0], 1.0f);
        for (size_t i = 1; i < kLength; i++) {
            const float want = static_cast<float>(std::exp(static_cast<double>(x[i])));
            ASSERT_LE(ulp_distance(got[i], want), limit) << "exp(" << x[i] << ")";
        }
    }
}

TEST_P(VectorCheck, SoftmaxOfStrangeValues)
{
    for (size_t n = 1; n <= kMaxLength; n++) {
        for (size_t at = 0; at < n; at++) {
            // One finite value among -infinity is a one.
            std::vector<float> x(n, -INFINITY);
            x[at] = -3.0f;
            set().softmax(x.data(), n);
            for (size_t i = 0; i < n; i++) {
                ASSERT_EQ(x[i], i == at ? 1.0f : 0.0f) << n << " " << at << " " << i;
            }
            // A NaN anywhere, or +infinity, or nothing but -infinity spoils all.
            for (const float poison : {NAN, -NAN, INFINITY}) {
                std::vector<float> y(n, 0.25f);
                y[at] = poison;
                set().softmax(y.data(), n);
                ASSERT_TRUE(std::isnan(y[at])) << n << " " << at;
                if (std::isnan(poison)) {
                    ASSERT_TRUE(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }))
                        << n << " " << at;
                }
            }
        }
        std::vector<float> none(n, -INFINITY);
        set().softmax(none.data(), n);
        ASSERT_TRUE(std::all_of(none.begin(), none.end(), [](float v) { return std::isnan(v); }));
        // Equal values, however large, share alike.
        std::vector<float> equal(n, 3e38f);
        set().softmax(equal.data(), n);
        for (const float share : equal) {
            ASSERT_NEAR(share, 1.0f / static_cast<float>(n), 1e-7f);
        }
    }
}

/// The sum of squares is off by at most n roundings, halved by the root; five operations after it.
TEST_P(VectorCheck, Rmsnorm)
{
    for (size_t n = 1; n <= 2 * kMaxLength; n++) {
        for (const float scale : {1e-4f, 1.0f, 1e4f}) {
            const Input<float> x = input(n, n % 4, scale);
            const Input<float> weight = input(n, 3 - n % 4);
            Output<float> got(n, n % 4);
            Output<float> want(n, n % 4);
            set().rmsnorm(got.data(), x.data(), weight.data(), n, 1e-5f);
            oracle().rmsnorm(want.data(), x.data(), weight.data(), n, 1e-5f);
            ASSERT_TRUE(got.intact());
            Output<float> in_place(n, n % 4);
            copy(in_place, x);
            set().rmsnorm(in_place.data(), in_place.data(), weight.data(), n, 1e-5f);
            for (size_t i = 0; i < n; i++) {
                const double tolerance =
                    static_cast<double>(n + 10) * kRounding * std::fabs(static_cast<double>(want[i]));
                ASSERT_TRUE(near(got[i], want[i], tolerance)) << got[i] << " for " << want[i] << " n " << n;
                ASSERT_EQ(got[i], in_place[i]);
            }
        }
    }
}

/// The mean is off by at most n roundings of the largest value, and that shows in every difference and once more in the
/// root; the root's own sum as in RMSNorm; six operations after it.
TEST_P(VectorCheck, Layernorm)
{
    for (size_t n = 1; n <= 2 * kMaxLength; n++) {
        for (const float scale : {1e-4f, 1.0f, 1e4f}) {
            const Input<float> x = input(n, n % 4, scale);
            const Input<float> weight = input(n, 3 - n % 4);
            const Input<float> bias_values = input(n, (n + 1) % 4);
            const float* bias = n % 3 == 0 ? nullptr : bias_values.data();
            Output<float> got(n, n % 4);
            Output<float> want(n, n % 4);
            set().layernorm(got.data(), x.data(), weight.data(), bias, n, 1e-5f);
            oracle().layernorm(want.data(), x.data(), weight.data(), bias, n, 1e-5f);
            ASSERT_TRUE(got.intact());
            Output<float> in_place(n, n % 4);
            copy(in_place, x);
            set().layernorm(in_place.data(), in_place.data(), weight.data(), bias, n, 1e-5f);
            double variance = 1e-5;
            double mean = 0.0;
            for (size_t i = 0; i < n; i++) {
                mean += static_cast<double>(x.get(i)) / static_cast<double>(n);
            }
            for (size_t i = 0; i < n; i++) {
                variance += std::pow(static_cast<double>(x.get(i)) - mean, 2.0) / static_cast<double>(n);
            }
            for (size_t i = 0; i < n; i++) {
                const double of_mean = static_cast<double>(scale) / std::sqrt(variance);
                const double offset = bias == nullptr ? 0.0 : std::fabs(static_cast<double>(bias[i]));
                const double tolerance =
                    kRounding *
                    (static_cast<double>(n + 10) * (of_mean + std::fabs(static_cast<double>(want[i]))) + offset);
                ASSERT_TRUE(near(got[i], want[i], tolerance))
                    << got[i] << " for " << want[i] << ", n " << n << ", scale " << scale;
                ASSERT_EQ(got[i], in_place[i]);
            }
        }
    }
}

/// A variance far below the square of the mean: the mean of squares less the squared mean would have nothing left of
/// it. 4096 and 4096 +- 0.25 are exact, and so is their mean.
TEST_P(VectorCheck, LayernormAroundALargeMean)
{
    for (size_t n = 2; n <= 2 * kMaxLength; n += 2) {
        std::vector<float> x(n);
        for (size_t i = 0; i < n; i++) {
            x[i] = i % 2 == 0 ? 4096.25f : 4095.75f;
        }
        const std::vector<float> weight(n, 2.0f);
        const std::vector<float> bias(n, 10.0f);
        set().layernorm(x.data(), x.data(), weight.data(), bias.data(), n, 0.0f);
        for (size_t i = 0; i < n; i++) {
            ASSERT_NEAR(x[i], i % 2 == 0 ? 12.0f : 8.0f, 1e-5f) << n << " " << i;
        }
    }
}

/// A NaN spoils the mean and so the row; equal values are nothing but epsilon's doing.
TEST_P(VectorCheck, LayernormOfStrangeValues)
{
    for (size_t n = 1; n <= kMaxLength; n++) {
        const std::vector<float> weight(n, 1.0f);
        const std::vector<float> bias(n, 0.5f);
        std::vector<float> equal(n, 3.0f);
        set().layernorm(equal.data(), equal.data(), weight.data(), bias.data(), n, 1e-5f);
        std::vector<float> spoilt(n, 1.0f);
        spoilt[n / 2] = NAN;
        set().layernorm(spoilt.data(), spoilt.data(), weight.data(), bias.data(), n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            ASSERT_EQ(equal[i], 0.5f) << n << " " << i;
            ASSERT_TRUE(std::isnan(spoilt[i])) << n << " " << i;
        }
    }
}

/// One operation: exact.
TEST_P(VectorCheck, Add)
{
    for (size_t n = 0; n <= kMaxLength; n++) {
        for (size_t offset = 0; offset < 4; offset++) {
            const Input<float> x = input(n, 0);
            const Input<float> y = input(n, 3 - offset);
            Output<float> got(n, offset);
            Output<float> want(n, offset);
            copy(got, x);
            copy(want, x);
            set().add(got.data(), y.data(), n);
            oracle().add(want.data(), y.data(), n);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < n; i++) {
                ASSERT_EQ(got[i], want[i]);
            }
        }
    }
}

TEST_P(VectorCheck, RopePairs) { check_rope(&KernelSet::rope_pairs); }

TEST_P(VectorCheck, RopeHalves) { check_rope(&KernelSet::rope_halves); }

/// Which values are a pair, and which way it turns: by a quarter turn (a, b) becomes (-b, a).
TEST_P(VectorCheck, RopeLayouts)
{
    const float cos[] = {0.0f, 0.0f};
    const float sin[] = {1.0f, 1.0f};
    std::vector<float> pairs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    std::vector<float> halves = pairs;
    set().rope_pairs(pairs.data(), cos, sin, 2, 5, 4);
    set().rope_halves(halves.data(), cos, sin, 2, 5, 4);
    EXPECT_EQ(pairs, (std::vector<float>{-2, 1, -4, 3, 5, -7, 6, -9, 8, 10}));
    EXPECT_EQ(halves, (std::vector<float>{-3, -4, 1, 2, 5, -8, -9, 6, 7, 10}));
}

INSTANTIATE_TEST_SUITE_P(Sets, VectorCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
