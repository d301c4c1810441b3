// SPDX-License-Identifier: MIT
//
// GELU in both forms and the soft cap: in double, rounded to float once.
#include "kernels/scalar/elementary.h"
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas::scalar {

namespace {

/// (1 + tanh(u)) / 2 is 1 / (1 + e^(-2u)), which does not cancel where tanh(u) is near -1.
float gelu_tanh(float x)
{
    constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
    const double v = static_cast<double>(x);
    const double u = kSqrtTwoOverPi * (v + 0.044715 * v * v * v);
    return static_cast<float>(v / (1.0 + exp(-2.0 * u)));
}

/// 1 + erf(v) is erfc(-v).
float gelu_erf(float x)
{
    constexpr double kSqrtHalf = 0.70710678118654752440;
    const double v = static_cast<double>(x);
    return static_cast<float>(0.5 * v * erfc(-v * kSqrtHalf));
}

} // namespace

void gelu_tanh(float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = gelu_tanh(x[i]);
    }
}

void gelu_erf(float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = gelu_erf(x[i]);
    }
}

void geglu(float* gate, const float* up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        gate[i] = gelu_tanh(gate[i]) * up[i];
    }
}

void softcap(float* x, size_t n, float cap)
{
    const double limit = static_cast<double>(cap);
    for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<float>(limit * tanh(static_cast<double>(x[i]) / limit));
    }
}

} // namespace llmk::djiblas::scalar
