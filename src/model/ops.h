// SPDX-License-Identifier: MIT
//
// What architectures are written in: products of weights and activations, of any weight type, over all processors. The
// table of weight types is here; the arithmetic is the kernels'.
#pragma once

#include "model/model.h"

namespace llmk {

/// The input of a product: `batch` rows of `cols` values, and their int8 form where a weight needs it.
struct Activation {
    const float* f32;
    size_t batch;
    size_t cols;
    const int8_t* q8 = nullptr; ///< (batch, cols)
    const float* q8_scales = nullptr;
    const djiblas::InputScale* panel_scales = nullptr; ///< of q8 in blocks of 32, for weights in panels
};

class Ops {
public:
    Ops(Platform& platform, const KernelChoice& kernels) : m_platform(platform), m_kernels(kernels) {}

    const KernelSet& kernels() const { return m_kernels.gemm; }
    const KernelSet& attention_kernels() const { return m_kernels.attention; }

    /// Makes rows of x ready for products: quantizes them once, in groups when `group` is not 0, or in blocks of 32
    /// where the workspace has room for those.
    Activation activate(Workspace& workspace, const float* x, size_t batch, size_t cols, uint64_t group) const;

    /// y[b*y_stride + r] = weight row r . input row b. GEMV for one row of input, GEMM for more.
    void matmul(float* y, size_t y_stride, const Tensor& weight, const Activation& input) const;

    /// Row `row` of a (rows, cols) tensor as float32. By the scalar set, whose bits are those of all.
    static void read_row(float* out, const Tensor& tensor, uint64_t row);

    /// Runs function(part) for all parts, on all processors.
    template <class Function> void parallel(size_t parts, const Function& function) const
    {
        if (parts == 1) {
            function(size_t{0});
            return;
        }
        m_platform.parallel([](void* context, size_t part) { (*static_cast<const Function*>(context))(part); },
                            const_cast<Function*>(&function), parts);
    }

    /// Into how many parts a job of so many multiply-adds is cut: 1 when handing it out costs more than it saves.
    size_t parts_for(uint64_t multiply_adds, size_t most) const;

private:
    Platform& m_platform;
    const KernelChoice& m_kernels;
};

} // namespace llmk
