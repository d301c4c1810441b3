// SPDX-License-Identifier: MIT
//
// Elementary functions from their series: reduce the argument to where a Taylor polynomial or continued fraction is
// exact to the last bits of a double, evaluate, undo the reduction. Slower than a table, and nothing to get wrong in
// it. The float forms round the double result once.
#include "base/math.h"

#include <cstddef>
#include <cstdint>

namespace llmk::math {

namespace {

constexpr double kInfinity = __builtin_inf();
constexpr double kNaN = __builtin_nan("");

/// ln 2 in two parts: the first has its last 21 bits zero, so that k * kLn2High is exact for every exponent k.
constexpr double kLn2High = 0x1.62e42feep-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;

/// pi/2 in three parts. The first two have at most 23 bits, so that k * part is exact for |k| < 2^30.
constexpr double kHalfPi1 = 0x1.921fb4p+0;
constexpr double kHalfPi2 = 0x1.4442dp-24;
constexpr double kHalfPi3 = 0x1.8469898cc5170p-48;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kSincosLimit = 0x1p30;

/// The nearest integer; |x| < 2^62.
int64_t nearest(double x) { return static_cast<int64_t>(x + (x < 0.0 ? -0.5 : 0.5)); }

/// 2^k for a normal result, k in [-1022, 1023].
double power_of_two(int64_t k) { return __builtin_bit_cast(double, static_cast<uint64_t>(k + 1023) << 52); }

/// Coefficients from the highest power down to the constant (Horner).
template <size_t N> double polynomial(const double (&coefficients)[N], double x)
{
    double sum = 0.0;
    for (const double coefficient : coefficients) {
        sum = sum * x + coefficient;
    }
    return sum;
}

/// 1/n! for n = 14 .. 0. On |r| <= ln2/2 the first term left out is below 2^-64.
constexpr double kExpSeries[] = {1.0 / 87178291200,
                                 1.0 / 6227020800,
                                 1.0 / 479001600,
                                 1.0 / 39916800,
                                 1.0 / 3628800,
                                 1.0 / 362880,
                                 1.0 / 40320,
                                 1.0 / 5040,
                                 1.0 / 720,
                                 1.0 / 120,
                                 1.0 / 24,
                                 1.0 / 6,
                                 1.0 / 2,
                                 1.0,
                                 1.0};

/// (-1)^n / (2n+1)! and (-1)^n / (2n)!, as polynomials in r^2. On |r| <= pi/4 the first terms left out are below 2^-58.
constexpr double kSineSeries[] = {1.0 / 355687428096000,
                                  -1.0 / 1307674368000,
                                  1.0 / 6227020800,
                                  -1.0 / 39916800,
                                  1.0 / 362880,
                                  -1.0 / 5040,
                                  1.0 / 120,
                                  -1.0 / 6,
                                  1.0};
constexpr double kCosineSeries[] = {1.0 / 20922789888000,
                                    -1.0 / 87178291200,
                                    1.0 / 479001600,
                                    -1.0 / 3628800,
                                    1.0 / 40320,
                                    -1.0 / 720,
                                    1.0 / 24,
                                    -1.0 / 2,
                                    1.0};

/// 1/(2n+1) for n = 12 .. 0: atanh(s)/s in s^2. On s <= 3 - 2*sqrt(2) the first term left out is below 2^-70.
constexpr double kAtanhSeries[] = {1.0 / 25, 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                   1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};

} // namespace

double exp(double x)
{
    if (x != x) {
        return x;
    }
    if (x > 709.79) {
        return kInfinity;
    }
    if (x < -745.2) {
        return 0.0;
    }
    const int64_t k = nearest(x * kLog2E);
    const double exponent = static_cast<double>(k);
    const double r = (x - exponent * kLn2High) - exponent * kLn2Low;
    // In two steps: k can be 1024 or, for subnormal results, below -1022.
    const int64_t half = k / 2;
    return polynomial(kExpSeries, r) * power_of_two(half) * power_of_two(k - half);
}

double log(double x)
{
    if (x != x || x == kInfinity) {
        return x;
    }
    if (x < 0.0) {
        return kNaN;
    }
    if (x == 0.0) {
        return -kInfinity;
    }
    int64_t k = 0;
    if (x < 0x1p-1022) { // subnormal: no leading one to find the exponent by
        x *= 0x1p54;
        k = -54;
    }
    constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
    const uint64_t bits = __builtin_bit_cast(uint64_t, x);
    k += static_cast<int64_t>(bits >> 52) - 1023;
    double m = __builtin_bit_cast(double, (bits & kMantissa) | (uint64_t{1023} << 52)); // [1, 2)
    if (m > 0x1.6a09e667f3bcdp+0) { // sqrt(2): around 1 on both sides, so that k is 0 for x near 1
        m *= 0.5;
        k++;
    }
    // log m = 2 atanh((m - 1) / (m + 1)).
    const double s = (m - 1.0) / (m + 1.0);
    const double exponent = static_cast<double>(k);
    return exponent * kLn2High + (2.0 * s * polynomial(kAtanhSeries, s * s) + exponent * kLn2Low);
}

void sincos(double x, double& sine, double& cosine)
{
    if (!(x >= -kSincosLimit && x <= kSincosLimit)) { // infinities and NaN too
        sine = cosine = kNaN;
        return;
    }
    const int64_t k = nearest(x * kTwoOverPi);
    const double quarters = static_cast<double>(k);
    const double r = ((x - quarters * kHalfPi1) - quarters * kHalfPi2) - quarters * kHalfPi3;
    const double square = r * r;
    const double s = r * polynomial(kSineSeries, square);
    const double c = polynomial(kCosineSeries, square);
    switch (k & 3) {
    case 0:
        sine = s;
        cosine = c;
        break;
    case 1:
        sine = c;
        cosine = -s;
        break;
    case 2:
        sine = -s;
        cosine = -c;
        break;
    default:
        sine = -c;
        cosine = s;
        break;
    }
}

double pow(double x, double y)
{
    if (y == 0.0 || x == 1.0) { // C says so, whatever the other one is; log(0) * 0 would be NaN
        return 1.0;
    }
    return exp(y * log(x));
}

double tanh(double x)
{
    const double magnitude = x < 0.0 ? -x : x;
    if (magnitude < 1.0) {
        // Lambert's continued fraction x / (1 + x^2 / (3 + x^2 / (5 + ...))), from the inside out. Good near 0, where
        // the exponential form would cancel.
        double fraction = 23.0;
        for (double odd = 21.0; odd > 0.0; odd -= 2.0) {
            fraction = odd + x * x / fraction;
        }
        return x / fraction;
    }
    const double result = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    return x < 0.0 ? -result : result;
}

double erf(double x)
{
    const double magnitude = x < 0.0 ? -x : x;
    if (magnitude > 6.0) { // 1 - erf(6) is below 2^-55
        return x < 0.0 ? -1.0 : 1.0;
    }
    // 2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (2n+1)!!: all terms have one sign, so nothing cancels.
    constexpr double kTwoOverSqrtPi = 0x1.20dd750429b6dp+0;
    double term = magnitude;
    double sum = magnitude;
    for (double odd = 3.0; term > sum * 0x1p-56; odd += 2.0) {
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    const double result = kTwoOverSqrtPi * exp(-x * x) * sum;
    return x < 0.0 ? -result : result;
}

float expf(float x) { return static_cast<float>(exp(static_cast<double>(x))); }

float logf(float x) { return static_cast<float>(log(static_cast<double>(x))); }

float sinf(float x)
{
    double sine = 0.0;
    double cosine = 0.0;
    sincos(static_cast<double>(x), sine, cosine);
    return static_cast<float>(sine);
}

float cosf(float x)
{
    double sine = 0.0;
    double cosine = 0.0;
    sincos(static_cast<double>(x), sine, cosine);
    return static_cast<float>(cosine);
}

float powf(float x, float y) { return static_cast<float>(pow(static_cast<double>(x), static_cast<double>(y))); }

float tanhf(float x) { return static_cast<float>(tanh(static_cast<double>(x))); }

float erff(float x) { return static_cast<float>(erf(static_cast<double>(x))); }

} // namespace llmk::math
