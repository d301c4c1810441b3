// SPDX-License-Identifier: MIT
//
// Each function from a series or continued fraction that needs no fitted constants.
#include "kernels/scalar/elementary.h"

#include <cstdint>

namespace llmk::djiblas::scalar {

namespace {

/// erf(x) for |x| <= 2: 2/sqrt(pi) * e^(-x^2) * sum of 2^n x^(2n+1) / (2n+1)!!, whose terms all have one sign.
double erf_series(double x)
{
    constexpr double kTwoOverSqrtPi = 1.1283791670955125739;
    double term = 1.0;
    double sum = 1.0;
    for (double odd = 3.0; term > sum * 0x1p-56; odd += 2.0) {
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    return kTwoOverSqrtPi * exp(-x * x) * x * sum;
}

} // namespace

/// x = k*ln2 + r, and a Taylor polynomial of r. A float rounded from it is the right one but for about one in 10^8.
double exp(double x)
{
    if (x != x) {
        return x;
    }
    if (x > 709.0) {
        return __builtin_inf();
    }
    if (x < -708.0) {
        return 0.0;
    }
    constexpr double kLog2E = 1.4426950408889634074;
    constexpr double kLn2 = 0.69314718055994530942;
    const double scaled = x * kLog2E;
    const int k = static_cast<int>(scaled + (scaled < 0.0 ? -0.5 : 0.5));
    const double r = x - k * kLn2; // |r| <= ln2/2
    // 1/n! for n = 11 .. 0: the first term left out is 0.35^12 / 12! < 1e-14.
    constexpr double kFactors[] = {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
                                   1.0 / 120,      1.0 / 24,      1.0 / 6,      1.0 / 2,     1.0,        1.0};
    double sum = 0.0;
    for (const double factor : kFactors) {
        sum = sum * r + factor;
    }
    const double power_of_two = __builtin_bit_cast(double, static_cast<uint64_t>(k + 1023) << 52);
    return sum * power_of_two;
}

double tanh(double x)
{
    const double magnitude = __builtin_fabs(x);
    if (magnitude < 1.0) {
        // Lambert: x / (1 + x^2 / (3 + x^2 / (5 + ...))), inside out. The other form would cancel near 0.
        double fraction = 19.0;
        for (double odd = 17.0; odd > 0.0; odd -= 2.0) {
            fraction = odd + x * x / fraction;
        }
        return x / fraction;
    }
    return __builtin_copysign(1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0), x);
}

double erfc(double x)
{
    const double magnitude = __builtin_fabs(x);
    if (magnitude < 2.0) {
        return 1.0 - erf_series(x);
    }
    // Laplace: e^(-x^2) / sqrt(pi) / (x + (1/2) / (x + (2/2) / (x + (3/2) / (x + ...)))), inside out.
    constexpr double kSqrtPi = 1.7724538509055160273;
    double fraction = magnitude;
    for (double half = 30.0; half > 0.0; half -= 0.5) {
        fraction = magnitude + half / fraction;
    }
    const double tail = exp(-x * x) / (kSqrtPi * fraction);
    return x < 0.0 ? 2.0 - tail : tail;
}

} // namespace llmk::djiblas::scalar
