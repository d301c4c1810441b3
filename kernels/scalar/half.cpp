// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, each unpacked as it is used; sums in index order.
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas::scalar {

namespace {

template <void (*kUnpack)(float* out, const uint8_t* blocks, size_t n)>
void gemv(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++) {
        float sum = 0.0f;
        for (size_t c = 0; c < cols; c++, w += sizeof(uint16_t)) {
            float value;
            kUnpack(&value, w, 1);
            sum += value * x[c];
        }
        y[r] = sum;
    }
}

} // namespace

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<dequantize_f16>(y, w, x, rows, cols);
}

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<dequantize_bf16>(y, w, x, rows, cols);
}

} // namespace llmk::djiblas::scalar
