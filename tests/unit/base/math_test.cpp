// SPDX-License-Identifier: MIT
//
// src/base/math against the C library's double functions: float results within 1 ulp of the correctly rounded one over
// every exponent (in practice nearly all are equal), double results within what the header promises.
#include "base/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace {

namespace math = llmk::math;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kReduceLimit = 0x1p30; ///< as far as sincos reduces

float from_bits(uint32_t bits)
{
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// Places of two floats on the line of all floats.
int64_t place(float value)
{
    int32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? int64_t{INT32_MIN} - bits : int64_t{bits};
}

uint64_t ulps(float a, float b)
{
    if (std::isnan(a) || std::isnan(b)) {
        return std::isnan(a) == std::isnan(b) ? 0 : UINT64_MAX;
    }
    return static_cast<uint64_t>(std::abs(place(a) - place(b)));
}

using FloatFunction = float (*)(float);
using DoubleFunction = double (*)(double);

/// A step that is prime to 2^32 meets every exponent, both signs and all kinds of mantissas.
void sweep(FloatFunction ours, DoubleFunction exact, float limit)
{
    constexpr uint64_t kStep = 5003;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += kStep) {
        const float x = from_bits(static_cast<uint32_t>(bits));
        if (std::fabs(x) > limit) {
            continue;
        }
        ASSERT_LE(ulps(ours(x), static_cast<float>(exact(static_cast<double>(x)))), 1u) << "at " << x;
    }
}

/// Where most values of a model lie.
void sweep_range(FloatFunction ours, DoubleFunction exact, float from, float to)
{
    constexpr int kSteps = 200'000;
    for (int i = 0; i <= kSteps; i++) {
        const float x = from + (to - from) * (static_cast<float>(i) / kSteps);
        ASSERT_LE(ulps(ours(x), static_cast<float>(exact(static_cast<double>(x)))), 1u) << "at " << x;
    }
}

TEST(Math, Expf)
{
    sweep(math::expf, std::exp, kInfinity);
    sweep_range(math::expf, std::exp, -104.0f, 89.0f);
    EXPECT_EQ(math::expf(0.0f), 1.0f);
    EXPECT_EQ(math::expf(-kInfinity), 0.0f);
    EXPECT_EQ(math::expf(kInfinity), kInfinity);
    EXPECT_EQ(math::expf(88.73f), kInfinity);
    EXPECT_EQ(math::expf(-103.0f), from_bits(1)); // subnormal
    EXPECT_TRUE(std::isnan(math::expf(kNaN)));
}

TEST(Math, Logf)
{
    sweep(math::logf, std::log, kInfinity);
    sweep_range(math::logf, std::log, 0.5f, 2.0f);
    EXPECT_EQ(math::logf(1.0f), 0.0f);
    EXPECT_EQ(math::logf(0.0f), -kInfinity);
    EXPECT_EQ(math::logf(-0.0f), -kInfinity);
    EXPECT_EQ(math::logf(kInfinity), kInfinity);
    EXPECT_TRUE(std::isnan(math::logf(-1.0f)));
    EXPECT_TRUE(std::isnan(math::logf(kNaN)));
}

TEST(Math, SineAndCosine)
{
    constexpr float kLimit = static_cast<float>(kReduceLimit);
    sweep(math::sinf, std::sin, kLimit);
    sweep(math::cosf, std::cos, kLimit);
    // Near multiples of pi/2 the result is all remainder.
    for (int k = 1; k < 200'000; k += 7) {
        const float x = static_cast<float>(k * 1.5707963267948966);
        ASSERT_LE(ulps(math::sinf(x), static_cast<float>(std::sin(static_cast<double>(x)))), 1u) << x;
        ASSERT_LE(ulps(math::cosf(x), static_cast<float>(std::cos(static_cast<double>(x)))), 1u) << x;
    }
    EXPECT_EQ(math::sinf(0.0f), 0.0f);
    EXPECT_EQ(math::cosf(0.0f), 1.0f);
    EXPECT_TRUE(std::isnan(math::sinf(kInfinity)));
    EXPECT_TRUE(std::isnan(math::cosf(kNaN)));
    EXPECT_TRUE(std::isnan(math::sinf(2.0f * kLimit))); // no answer is better than a wrong one
}

/// The angles of RoPE: position * theta^(-2i/d), at positions up to ten million.
TEST(Math, RopeAngles)
{
    for (uint64_t position = 0; position < 10'000'000; position = position * 3 / 2 + 1) {
        for (int i = 0; i < 32; i++) {
            const double angle = static_cast<double>(position) * std::pow(10000.0, -2.0 * i / 64.0);
            double sine = 0.0;
            double cosine = 0.0;
            math::sincos(angle, sine, cosine);
            ASSERT_NEAR(sine, std::sin(angle), 1e-15) << angle;
            ASSERT_NEAR(cosine, std::cos(angle), 1e-15) << angle;
        }
    }
    double sine = 0.0;
    double cosine = 0.0;
    math::sincos(kReduceLimit, sine, cosine);
    EXPECT_NEAR(sine, std::sin(kReduceLimit), 1e-13);
    EXPECT_NEAR(cosine, std::cos(kReduceLimit), 1e-13);
    math::sincos(-1e9, sine, cosine);
    EXPECT_NEAR(sine, std::sin(-1e9), 1e-13);
    EXPECT_NEAR(cosine, std::cos(-1e9), 1e-13);
}

TEST(Math, Tanhf)
{
    sweep(math::tanhf, std::tanh, kInfinity);
    sweep_range(math::tanhf, std::tanh, -10.0f, 10.0f);
    EXPECT_EQ(math::tanhf(kInfinity), 1.0f);
    EXPECT_EQ(math::tanhf(-kInfinity), -1.0f);
    EXPECT_EQ(math::tanhf(0.0f), 0.0f);
    EXPECT_TRUE(std::isnan(math::tanhf(kNaN)));
}

TEST(Math, Erff)
{
    sweep(math::erff, std::erf, kInfinity);
    sweep_range(math::erff, std::erf, -6.5f, 6.5f);
    EXPECT_EQ(math::erff(kInfinity), 1.0f);
    EXPECT_EQ(math::erff(-kInfinity), -1.0f);
    EXPECT_EQ(math::erff(0.0f), 0.0f);
    EXPECT_TRUE(std::isnan(math::erff(kNaN)));
    for (double x = -7.0; x < 7.0; x += 0.001) {
        ASSERT_NEAR(math::erf(x), std::erf(x), 1e-13) << x;
    }
}

TEST(Math, Powf)
{
    // RoPE's frequencies, Adam's corrections, anything between.
    for (float base = 1e-6f; base < 2e6f; base *= 1.37f) {
        for (float exponent = -9.0f; exponent < 9.0f; exponent += 0.0371f) {
            const float exact = static_cast<float>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
            ASSERT_LE(ulps(math::powf(base, exponent), exact), 1u) << base << "^" << exponent;
        }
    }
    EXPECT_EQ(math::powf(10000.0f, 0.5f), 100.0f);
    EXPECT_EQ(math::powf(2.0f, 10.0f), 1024.0f);
    EXPECT_EQ(math::powf(0.0f, 2.0f), 0.0f);
    EXPECT_EQ(math::powf(0.0f, -1.0f), kInfinity);
    EXPECT_EQ(math::powf(kInfinity, -1.0f), 0.0f);
    EXPECT_EQ(math::powf(kNaN, 0.0f), 1.0f);
    EXPECT_EQ(math::powf(1.0f, kNaN), 1.0f);
    EXPECT_TRUE(std::isnan(math::powf(-2.0f, 0.5f)));
    EXPECT_TRUE(std::isnan(math::powf(kNaN, 1.0f)));
}

TEST(Math, DoublesAreAsGoodAsPromised)
{
    for (double x = -745.0; x < 709.0; x += 0.0137) {
        const double exact = std::exp(x);
        // Below the normal range half a unit of the least subnormal is all there is.
        ASSERT_NEAR(math::exp(x), exact, 1e-13 * exact + 0x1p-1074) << x;
    }
    for (int exponent = -1074; exponent <= 1023; exponent++) {
        const double x = std::ldexp(1.37, exponent);
        const double exact = std::log(x);
        ASSERT_NEAR(math::log(x), exact, 1e-13 * std::fabs(exact)) << x;
    }
    for (double x = 0.5; x < 2.0; x += 1e-5) {
        const double exact = std::log(x);
        ASSERT_NEAR(math::log(x), exact, 1e-13 * std::fabs(exact)) << x;
    }
    EXPECT_EQ(math::exp(709.9), std::numeric_limits<double>::infinity());
    EXPECT_EQ(math::exp(-746.0), 0.0);
    EXPECT_NEAR(math::pow(10000.0, -2.0 / 48.0), std::pow(10000.0, -2.0 / 48.0), 1e-14);
    for (double x = -30.0; x < 30.0; x += 0.0013) {
        ASSERT_NEAR(math::tanh(x), std::tanh(x), 1e-15) << x;
    }
}

TEST(Math, Sqrtf)
{
    EXPECT_EQ(math::sqrtf(2.0f), std::sqrt(2.0f));
    EXPECT_EQ(math::sqrtf(0.0f), 0.0f);
    EXPECT_TRUE(std::isnan(math::sqrtf(-1.0f)));
}

} // namespace
