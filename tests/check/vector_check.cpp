// SPDX-License-Identifier: MIT
//
// Kernels over single vectors: softmax, RMSNorm, SwiGLU, addition, RoPE. Each test states its tolerance.
#include "check.h"

#include <algorithm>
#include <cmath>

namespace llmk::check {

namespace {

/// Past four rounds of eight lanes.
constexpr size_t kMaxLength = 36;

class VectorCheck : public KernelCheck {
protected:
    Input<float> input(size_t count, size_t offset, float scale = 1.0f)
    {
        return Input<float>(count, offset * sizeof(float), [this, scale] { return real() * scale; });
    }
    static void copy(Output<float>& to, const Input<float>& from)
    {
        std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
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

/// Exponential 2 ulp and four operations, twice. Where the exponential is near the largest float the result is near
/// 1e-36: there 1e-35 is allowed, since one of two may already be infinite.
TEST_P(VectorCheck, Swiglu)
{
    for (size_t n = 0; n <= kMaxLength; n++) {
        for (const float scale : {0.01f, 1.0f, 20.0f, 200.0f}) {
            const Input<float> gate = input(n, n % 4, scale);
            const Input<float> up = input(n, 3 - n % 4);
            Output<float> got(n, n % 4);
            Output<float> want(n, n % 4);
            copy(got, gate);
            copy(want, gate);
            set().swiglu(got.data(), up.data(), n);
            oracle().swiglu(want.data(), up.data(), n);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < n; i++) {
                const double tolerance = 16.0 * kRounding * std::fabs(static_cast<double>(want[i])) + 1e-35;
                ASSERT_TRUE(near(got[i], want[i], tolerance)) << got[i] << " for " << want[i];
            }
        }
    }
}

TEST_P(VectorCheck, SwigluKeepsNan)
{
    for (size_t n = 1; n <= kMaxLength; n++) {
        std::vector<float> gate(n, 1.0f);
        const std::vector<float> up(n, 1.0f);
        gate[n - 1] = NAN;
        set().swiglu(gate.data(), up.data(), n);
        for (size_t i = 0; i < n; i++) {
            ASSERT_EQ(std::isnan(gate[i]), i == n - 1);
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

/// Two products and a sum, fused or not: two roundings of the magnitudes each.
TEST_P(VectorCheck, RopePairs)
{
    for (size_t head_dim = 2; head_dim <= kMaxLength; head_dim += 2) {
        for (size_t heads = 0; heads <= 3; heads++) {
            const size_t n = heads * head_dim;
            const size_t offset = (heads + head_dim / 2) % 4;
            const Input<float> x = input(n, 0);
            const Input<float> cos = input(head_dim / 2, offset);
            const Input<float> sin = input(head_dim / 2, 3 - offset);
            Output<float> got(n, offset);
            Output<float> want(n, offset);
            copy(got, x);
            copy(want, x);
            set().rope_pairs(got.data(), cos.data(), sin.data(), heads, head_dim, head_dim);
            oracle().rope_pairs(want.data(), cos.data(), sin.data(), heads, head_dim, head_dim);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < n; i++) {
                ASSERT_TRUE(near(got[i], want[i], 8.0 * kRounding)) << head_dim << " " << heads << " " << i;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, VectorCheck, testing::ValuesIn(runnable_sets()), set_name);

} // namespace

} // namespace llmk::check
