// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/row_products.h"

namespace llmk::djiblas::avx512 {

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<F16, Streams::one>(y, w, x, rows, cols);
}

void gemv_f16_far(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<F16, Streams::side_by_side>(y, w, x, rows, cols);
}

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16, Streams::one>(y, w, x, rows, cols);
}

void gemv_bf16_far(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16, Streams::side_by_side>(y, w, x, rows, cols);
}

} // namespace llmk::djiblas::avx512
