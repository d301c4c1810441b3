// SPDX-License-Identifier: MIT
//
// Activations: SwiGLU, GELU in both forms, GeGLU, the soft cap. Lengths and addresses against the oracle; then each
// function of one value against the C library over all floats, in steps. Each test states its tolerance.
#include "check.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace llmk::check {

namespace {

/// Past four rounds of eight lanes.
constexpr size_t kMaxLength = 36;
/// Results around the least floats, as in SwiGLU: there an exponential may already be infinite.
constexpr double kTiny = 1e-35;

double gelu_tanh(double v)
{
    // In the form that does not cancel: (1 + tanh(u)) / 2 = 1 / (1 + e^(-2u)).
    return v / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v)));
}

double gelu_erf(double v) { return v / 2.0 * std::erfc(-v * M_SQRT1_2); }

/// Both GELU end in e^(-v^2/2) or thereabouts: roundings of its argument count as often as it is large.
double gelu_tolerance(double v, double want) { return (8.0 + 3.0 * v * v) * kRounding * std::fabs(want) + kTiny; }

class ActivationCheck : public KernelCheck {
protected:
    using InPlace = std::function<void(const KernelSet&, float*, size_t)>;
    using Tolerance = double (*)(double x, double want);

    /// All lengths, at all addresses, in several magnitudes.
    void check_lengths(const InPlace& run, Tolerance tolerance)
    {
        for (size_t n = 0; n <= kMaxLength; n++) {
            for (const float scale : {0.01f, 1.0f, 5.0f, 100.0f, 1e20f}) {
                const Input<float> x = input(n, n % 4, scale);
                Output<float> got(n, n % 4);
                Output<float> want(n, n % 4);
                copy(got, x);
                copy(want, x);
                run(set(), got.data(), n);
                run(oracle(), want.data(), n);
                ASSERT_TRUE(got.intact());
                for (size_t i = 0; i < n; i++) {
                    const double limit = tolerance(static_cast<double>(x.get(i)), static_cast<double>(want[i]));
                    ASSERT_TRUE(near(got[i], want[i], limit))
                        << got[i] << " for " << want[i] << " of " << x.get(i) << ", n " << n;
                }
            }
        }
    }

    /// Floats of all exponents and both signs against `function` in double.
    void check_all_floats(const InPlace& run, double (*function)(double), uint32_t scalar_ulp, Tolerance tolerance)
    {
        constexpr uint32_t kInfinity = 0x7f800000;
        constexpr uint32_t kStep = 16381; // prime, so that all kinds of mantissas come up
        std::vector<float> x;
        for (uint32_t bits = 0; bits < kInfinity; bits += kStep) {
            x.push_back(__builtin_bit_cast(float, bits));
            x.push_back(-x.back());
        }
        std::vector<float> got = x;
        run(set(), got.data(), got.size());
        for (size_t i = 0; i < x.size(); i++) {
            const double v = static_cast<double>(x[i]);
            const float want = static_cast<float>(function(v));
            if (GetParam() == &djiblas::kScalar) {
                ASSERT_LE(ulp_distance(got[i], want), scalar_ulp) << got[i] << " for " << want << " of " << x[i];
            } else {
                ASSERT_TRUE(near(got[i], want, tolerance(v, static_cast<double>(want))))
                    << got[i] << " for " << want << " of " << x[i];
            }
        }
    }

    /// A NaN in one place is a NaN there and nowhere else.
    void check_nan(const InPlace& run)
    {
        for (size_t n = 1; n <= kMaxLength; n++) {
            for (const float poison : {NAN, -NAN}) {
                std::vector<float> x(n, 0.75f);
                x[n / 2] = poison;
                run(set(), x.data(), n);
                for (size_t i = 0; i < n; i++) {
                    ASSERT_EQ(std::isnan(x[i]), i == n / 2) << n << " " << i;
                }
            }
        }
    }
};

/// Exponential 2 ulp and four operations, twice. Where the exponential is near the largest float the result is near
/// 1e-36: there 1e-35 is allowed, since one of two may already be infinite.
TEST_P(ActivationCheck, Swiglu)
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

TEST_P(ActivationCheck, SwigluKeepsNan)
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

void run_gelu_tanh(const KernelSet& set, float* x, size_t n) { set.gelu_tanh(x, n); }
void run_gelu_erf(const KernelSet& set, float* x, size_t n) { set.gelu_erf(x, n); }

TEST_P(ActivationCheck, GeluTanh)
{
    check_lengths(run_gelu_tanh, gelu_tolerance);
    check_all_floats(run_gelu_tanh, gelu_tanh, 1, gelu_tolerance);
    check_nan(run_gelu_tanh);
}

TEST_P(ActivationCheck, GeluErf)
{
    check_lengths(run_gelu_erf, gelu_tolerance);
    check_all_floats(run_gelu_erf, gelu_erf, 1, gelu_tolerance);
    check_nan(run_gelu_erf);
}

/// The formulas as they are written, from the C library's tanh and erf: their own cancellation is 2^-53.
TEST_P(ActivationCheck, GeluIsWhatItsFormulaSays)
{
    for (float x = -12.0f; x < 12.0f; x += 0.01f) {
        const double v = static_cast<double>(x);
        const double by_tanh = 0.5 * v * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v)));
        const double by_erf = 0.5 * v * (1.0 + std::erf(v / std::sqrt(2.0)));
        float got[] = {x, x};
        set().gelu_tanh(got, 1);
        set().gelu_erf(got + 1, 1);
        ASSERT_NEAR(static_cast<double>(got[0]), by_tanh, gelu_tolerance(v, by_tanh) + 1e-14) << x;
        ASSERT_NEAR(static_cast<double>(got[1]), by_erf, gelu_tolerance(v, by_erf) + 1e-14) << x;
    }
}

TEST_P(ActivationCheck, GeluAtTheEnds)
{
    const auto run = [this](void (*gelu)(const KernelSet&, float*, size_t), float x) {
        gelu(set(), &x, 1);
        return x;
    };
    for (const auto gelu : {run_gelu_tanh, run_gelu_erf}) {
        EXPECT_EQ(run(gelu, INFINITY), INFINITY);
        EXPECT_TRUE(std::isnan(run(gelu, -INFINITY)));
        EXPECT_EQ(run(gelu, 3e38f), 3e38f);
        EXPECT_EQ(run(gelu, 10.0f), 10.0f);
        EXPECT_EQ(run(gelu, -3e38f), 0.0f);
        EXPECT_EQ(run(gelu, -50.0f), 0.0f);
        EXPECT_EQ(run(gelu, 0.0f), 0.0f);
        EXPECT_TRUE(std::signbit(run(gelu, -0.0f)));
    }
}

/// GELU and a product.
TEST_P(ActivationCheck, Geglu)
{
    for (size_t n = 0; n <= kMaxLength; n++) {
        for (const float scale : {0.01f, 1.0f, 5.0f, 200.0f}) {
            const Input<float> gate = input(n, n % 4, scale);
            const Input<float> up = input(n, 3 - n % 4);
            Output<float> got(n, n % 4);
            Output<float> want(n, n % 4);
            copy(got, gate);
            copy(want, gate);
            set().geglu(got.data(), up.data(), n);
            oracle().geglu(want.data(), up.data(), n);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < n; i++) {
                const double limit = gelu_tolerance(static_cast<double>(gate.get(i)), static_cast<double>(want[i]));
                ASSERT_TRUE(near(got[i], want[i], limit)) << got[i] << " for " << want[i] << " of " << gate.get(i);
            }
        }
    }
    check_nan([](const KernelSet& kernels, float* x, size_t n) {
        const std::vector<float> up(n, 2.0f);
        kernels.geglu(x, up.data(), n);
    });
}

/// tanh within 2 ulp; a division before it and a product after it, half each, twice, when the cap is not a power of 2.
TEST_P(ActivationCheck, Softcap)
{
    for (const float cap : {1.0f, 30.0f, 50.0f, 0.1f}) {
        check_lengths([cap](const KernelSet& kernels, float* x, size_t n) { kernels.softcap(x, n, cap); },
                      [](double, double want) { return 6.0 * 2.0 * kRounding * std::fabs(want) + 0x1p-148; });
    }
}

TEST_P(ActivationCheck, TanhToTheLastUnits)
{
    const uint32_t limit = GetParam() == &djiblas::kScalar ? 1 : 2;
    std::vector<float> x;
    for (uint32_t bits = 0; bits < 0x7f800000; bits += 16381) {
        x.push_back(__builtin_bit_cast(float, bits));
        x.push_back(-x.back());
    }
    // So few are not enough where the two forms meet.
    for (float v = 0.99f; v < 1.01f; v = std::nextafter(v, 2.0f)) {
        x.push_back(v);
    }
    std::vector<float> got = x;
    set().softcap(got.data(), got.size(), 1.0f);
    for (size_t i = 0; i < x.size(); i++) {
        const float want = static_cast<float>(std::tanh(static_cast<double>(x[i])));
        ASSERT_LE(ulp_distance(got[i], want), limit) << got[i] << " for tanh(" << x[i] << ") = " << want;
        ASSERT_LE(std::fabs(got[i]), 1.0f) << x[i];
        ASSERT_EQ(std::signbit(got[i]), std::signbit(x[i])) << x[i];
    }
}

TEST_P(ActivationCheck, SoftcapOfStrangeValues)
{
    check_nan([](const KernelSet& kernels, float* x, size_t n) { kernels.softcap(x, n, 30.0f); });
    for (size_t n = 2; n <= kMaxLength; n++) {
        std::vector<float> x(n, INFINITY);
        x[n - 2] = -INFINITY;
        x[n - 1] = -0.0f;
        set().softcap(x.data(), n, 30.0f);
        for (size_t i = 0; i + 2 < n; i++) {
            ASSERT_EQ(x[i], 30.0f);
        }
        ASSERT_EQ(x[n - 2], -30.0f);
        ASSERT_TRUE(x[n - 1] == 0.0f && std::signbit(x[n - 1]));
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, ActivationCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
