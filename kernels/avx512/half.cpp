// SPDX-License-Identifier: MIT
//
// Products with binary16 and bfloat16 weights, converted in registers on the way.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/row_products.h"

namespace llmk::djiblas::avx512 {

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<F16, WeightReading::one_stream>(y, w, x, rows, cols);
}

void gemv_f16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<F16, WeightReading::side_by_side>(y, w, x, rows, cols);
}

void gemv_f16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<F16, WeightReading::in_places>(y, w, x, rows, cols);
}

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16, WeightReading::one_stream>(y, w, x, rows, cols);
}

void gemv_bf16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16, WeightReading::side_by_side>(y, w, x, rows, cols);
}

void gemv_bf16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv<Bf16, WeightReading::in_places>(y, w, x, rows, cols);
}

} // namespace llmk::djiblas::avx512
