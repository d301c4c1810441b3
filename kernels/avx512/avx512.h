// SPDX-License-Identifier: MIT
//
// The kernels of the AVX-512 set (F, BW, DQ and VL), one declaration each; contracts are KernelSet's. What it leaves
// out gains nothing from wider vectors and comes from AVX2.
#pragma once

#include "kernels/djiblas.h"

namespace llmk::djiblas::avx512 {

// gemm.cpp
float dot_f32(const float* a, const float* b, size_t n);
void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemv_f32_side_by_side(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemv_f32_in_places(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch);
void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch);

// half.cpp
void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemm_f16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch);
void gemm_bf16(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows, size_t cols,
               size_t batch);
void gemv_f16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_f16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);

// turned.cpp
extern const TurnedGemm kTurned;

// panels.cpp
extern const PanelKernels kPanels;
extern const PanelKernels kPanelsSideBySide;
extern const PanelKernels kPanelsInPlaces;
void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n);

// attention.cpp
void attention_f32(const AttentionTask& task);
void attention_f16(const AttentionTask& task);
void attention_q8_0(const AttentionTask& task);

// activations.cpp
void swiglu(float* gate, const float* up, size_t n);
void gelu_tanh(float* x, size_t n);
void gelu_erf(float* x, size_t n);
void geglu(float* gate, const float* up, size_t n);
void softcap(float* x, size_t n, float cap);

// avx512.cpp
void softmax(float* x, size_t n);
void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon);
void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon);
void add(float* x, const float* y, size_t n);

} // namespace llmk::djiblas::avx512
