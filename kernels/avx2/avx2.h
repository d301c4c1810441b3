// SPDX-License-Identifier: MIT
//
// The kernels of the AVX2+FMA set, one declaration each; contracts are KernelSet's. Integer kernels need AVX2, float
// kernels AVX and FMA; one set, since every processor with AVX2 has both but one of VIA.
#pragma once

#include "kernels/djiblas.h"

namespace llmk::djiblas::avx2 {

// gemm.cpp
float dot_f32(const float* a, const float* b, size_t n);
void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemv_f32_side_by_side(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemv_f32_in_places(float* y, const float* w, const float* x, size_t rows, size_t cols);
void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch);
void gemm_f32_exact(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                    size_t cols, size_t batch);

// attention.cpp
void attention_f32(const AttentionTask& task);
void attention_f16(const AttentionTask& task);
void attention_q8_0(const AttentionTask& task);
void pack_f16(uint8_t* out, const float* x, size_t n);

// q8.cpp
void quantize_q8(int8_t* q, float* scales, const float* x, size_t n, size_t group);
void gemv_q8(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
             size_t rows, size_t cols, size_t group);
void gemm_q8(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
             const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch);

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
extern const PanelKernels kPanelsSideBySide;
extern const PanelKernels kPanelsInPlaces;
void quantize_input(int8_t* q, InputScale* scales, const float* x, size_t n);

// turned.cpp
extern const TurnedGemm kTurned;

// activations.cpp
void swiglu(float* gate, const float* up, size_t n);
void gelu_tanh(float* x, size_t n);
void gelu_erf(float* x, size_t n);
void geglu(float* gate, const float* up, size_t n);
void softcap(float* x, size_t n, float cap);

// avx2.cpp
void softmax(float* x, size_t n);
void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon);
void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon);
void add(float* x, const float* y, size_t n);
void rope_pairs(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim);
void rope_halves(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim);

// half.cpp
void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_f16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_f16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);
void gemv_bf16_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols);

} // namespace llmk::djiblas::avx2
