// SPDX-License-Identifier: MIT
//
// DjibLAS: the arithmetic of the transformer, as a struct of function pointers per instruction set. A set lives in its
// own folder, compiled with that set's flags. Scalar is complete and is the oracle; the others fill in what they do
// better and leave the rest null. src/cpu picks and completes a set; nobody else includes this header.
//
// Non-goals: no memory, no threads, no CPUID, no errors. Callers split rows among processors and check shapes.
//
// All matrices are row-major. Pointers need no alignment beyond the type's own, except where `UnalignedF32` says that
// they need none at all (a file may place its float scales at any byte). Inputs and outputs never overlap unless said.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmk::djiblas {

/// A float at any address.
using UnalignedF32 = float __attribute__((aligned(1), may_alias));

/// CPU features a set can need; src/cpu/features.h fills in what the machine has *and* the system has enabled.
enum Feature : uint32_t {
    kFeatureSse2 = 1u << 0,
    kFeatureAvx2 = 1u << 1,
    kFeatureFma = 1u << 2,
};

/// Widest batch that gemm_* takes in one call.
constexpr size_t kMaxBatch = 256;

struct KernelSet {
    const char* name;  ///< "scalar", "sse2", "avx2": as typed in `/kernels NAME` and `kernels=NAME`
    const char* title; ///< as printed at start: "Scalar", "SSE2", "AVX2+FMA"
    uint32_t features; ///< all of these Feature bits are needed

    /// Sum of a[i] * b[i] over n.
    float (*dot_f32)(const float* a, const float* b, size_t n);

    /// GEMV: y[r] = sum over c of w[r*cols + c] * x[c], for r in [0, rows).
    void (*gemv_f32)(float* y, const float* w, const float* x, size_t rows, size_t cols);

    /// SGEMM: y[b*y_stride + r] = sum over c of w[r*cols + c] * x[b*x_stride + c], for b in [0, batch), batch <=
    /// kMaxBatch, r in [0, rows).
    void (*gemm_f32)(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                     size_t cols, size_t batch);

    /// llama2.c's Q8_0: per group of `group` values (n is a multiple), scale = max|x| / 127 and q = x / scale rounded
    /// half away from zero. A group of zeros gets scale 0 and zeros (runq.c's quantize would divide by zero).
    void (*quantize_q8)(int8_t* q, float* scales, const float* x, size_t n, size_t group);

    /// int8 GEMV: y[r] = sum over groups g of (sum over the group of wq*xq, exact in int32) * ws[r][g] * xs[g]. w is
    /// (rows, cols) int8, ws (rows, cols/group). group divides cols; any group from 1 on. The sum over groups is in
    /// float and may be reordered.
    void (*gemv_q8)(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
                    size_t rows, size_t cols, size_t group);

    /// The same for `batch` rows of x: xq (batch, cols), xs (batch, cols/group), y as in gemm_f32.
    void (*gemm_q8)(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
                    const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch);

    /// Attention scores of one head: scores[t] = (q . k[t]) / divisor, k[t] = k + t*k_stride, t in [0, positions).
    /// Scalar divides, as run.c does; the others may multiply by the inverse.
    void (*attention_scores)(float* scores, const float* q, const float* k, size_t k_stride, size_t positions,
                             size_t head_dim, float divisor);

    /// Weighted sum of values of one head: out[i] = sum over t of p[t] * v[t*v_stride + i], i in [0, head_dim).
    void (*attention_sum)(float* out, const float* p, const float* v, size_t v_stride, size_t positions,
                          size_t head_dim);

    /// In place: x[i] = exp(x[i] - max) / sum. n >= 1. A row of -inf but for one is a one. NaN in, NaN out.
    void (*softmax)(float* x, size_t n);

    /// out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]. `out` may be `x`.
    void (*rmsnorm)(float* out, const float* x, const float* weight, size_t n, float epsilon);

    /// SwiGLU: gate[i] = silu(gate[i]) * up[i], silu(v) = v / (1 + exp(-v)).
    void (*swiglu)(float* gate, const float* up, size_t n);

    /// x[i] += y[i].
    void (*add)(float* x, const float* y, size_t n);

    /// RoPE on interleaved pairs (GGUF "norm" layout, llama2.c): for each pair i of each of `heads` heads,
    /// (a, b) = (x[2i], x[2i+1]) becomes (a*cos[i] - b*sin[i], a*sin[i] + b*cos[i]); cos and sin hold head_dim/2
    /// values.
    void (*rope_pairs)(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim);
};

/// The sets, each defined in its folder.
extern const KernelSet kScalar;
extern const KernelSet kSse2;
extern const KernelSet kAvx2;

} // namespace llmk::djiblas
