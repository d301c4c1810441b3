// SPDX-License-Identifier: MIT
//
// The functions of <cmath> that the engine needs, since there is no libm on bare metal. Each is within 1 ulp of the
// correctly rounded float32 result over its whole range, because it is computed in double and rounded once. Not for
// inner loops: kernels/ has its own vector forms.
#pragma once

namespace llmk::math {

/// e^x in double, relative error below 1e-13; 0 below -745, infinity above 709.79; NaN in, NaN out.
double exp(double x);
/// Natural logarithm of x > 0 (subnormals included), relative error below 1e-13; -infinity for 0, NaN below.
double log(double x);
/// Sine and cosine of an angle in radians, absolute error below 1e-13 for |x| <= 2^30: reduced by pi/2 in three parts
/// (Cody and Waite), so that RoPE angles of the longest contexts come out right. NaN beyond.
void sincos(double x, double& sine, double& cosine);
/// x^y for x > 0.
double pow(double x, double y);
double tanh(double x);
/// The error function (GELU's exact form), absolute error below 1e-13.
double erf(double x);

float expf(float x);
float logf(float x);
float sinf(float x);
float cosf(float x);
float powf(float x, float y);
float tanhf(float x);
float erff(float x);
inline float sqrtf(float x) { return __builtin_sqrtf(x); }

} // namespace llmk::math
