// SPDX-License-Identifier: MIT
//
// The kernels of the scalar set that live outside scalar.cpp, one declaration each; contracts are KernelSet's.
#pragma once

#include "kernels/djiblas.h"

namespace llmk::djiblas::scalar {

// activations.cpp
void gelu_tanh(float* x, size_t n);
void gelu_erf(float* x, size_t n);
void geglu(float* gate, const float* up, size_t n);
void softcap(float* x, size_t n, float cap);

// dequantize.cpp
void dequantize_f16(float* out, const uint8_t* blocks, size_t n);
void dequantize_bf16(float* out, const uint8_t* blocks, size_t n);
void dequantize_q8_0(float* out, const uint8_t* blocks, size_t n);
void dequantize_q4_0(float* out, const uint8_t* blocks, size_t n);
void dequantize_q4_1(float* out, const uint8_t* blocks, size_t n);
void dequantize_q5_0(float* out, const uint8_t* blocks, size_t n);
void dequantize_q5_1(float* out, const uint8_t* blocks, size_t n);
void dequantize_q2_k(float* out, const uint8_t* blocks, size_t n);
void dequantize_q3_k(float* out, const uint8_t* blocks, size_t n);
void dequantize_q4_k(float* out, const uint8_t* blocks, size_t n);
void dequantize_q5_k(float* out, const uint8_t* blocks, size_t n);
void dequantize_q6_k(float* out, const uint8_t* blocks, size_t n);
void dequantize_iq4_nl(float* out, const uint8_t* blocks, size_t n);
void dequantize_iq4_xs(float* out, const uint8_t* blocks, size_t n);

// panels.cpp
extern const PanelKernels kPanels;

// half.cpp
void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);

} // namespace llmk::djiblas::scalar
