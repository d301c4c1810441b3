// SPDX-License-Identifier: MIT
//
// Elementary functions in double for the scalar kernels, which round what they make of them to float once. Good to
// about 1e-13, relative: no substitute for base/math.h, which kernels do not include.
#pragma once

namespace llmk::djiblas::scalar {

/// e^x. 0 and infinity from where the result is below or above a double's normal range; NaN in, NaN out.
double exp(double x);

/// The hyperbolic tangent; -1 and 1 of the infinities, NaN of NaN.
double tanh(double x);

/// 1 - erf(x), without the cancellation for large x.
double erfc(double x);

} // namespace llmk::djiblas::scalar
