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
    size_t stride; ///< floats from row to row
    size_t batch;
    size_t cols;
    const int8_t* q8 = nullptr; ///< (batch, cols); with panel_scales each row row_stride() from the one before it
    const float* q8_scales = nullptr;
    const djiblas::InputScale* panel_scales = nullptr; ///< of q8 in blocks of 32, for weights in panels
    const uint16_t* bf16 = nullptr; ///< as djiblas::Bf16Input has it: in place of q8, for weights in panels
    const float* turned = nullptr;  ///< as djiblas::TurnedInput has it, for weights that are floats
    SumOrder order = SumOrder::fastest;
};

/// y[b*y_stride + r] = weight row r . input row b.
struct Product {
    float* y;
    size_t y_stride;
    Tensor weight;
};

class Ops {
public:
    Ops(Platform& platform, const KernelChoice& kernels) : m_platform(platform), m_kernels(kernels) {}

    const KernelSet& kernels() const { return m_kernels.gemm; }
    const KernelSet& attention_kernels() const { return m_kernels.attention; }

    /// Makes rows of x, `stride` values apart, ready for products: quantizes them once, in groups when `group` is not
    /// 0, or in blocks of 32 where the workspace has room for those; or rounds them to BF16, where the set multiplies
    /// such numbers faster. Where there is room for it, turns them as well if the set wants that.
    Activation activate(Workspace& workspace, const float* x, size_t stride, size_t batch, size_t cols,
                        uint64_t group) const;

    /// Products of the same input, as one job. GEMV for one row of input, GEMM for more; or, where the input says so,
    /// what a GEMV gives for each row, a block of weights at a time.
    void matmul(std::span<const Product> products, const Activation& input) const;
    void matmul(float* y, size_t y_stride, const Tensor& weight, const Activation& input) const
    {
        const Product one[] = {{y, y_stride, weight}};
        matmul(one, input);
    }

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

    /// Runs function(first, count) on all of `rows` rows, each about as expensive as so many multiply-adds.
    template <class Function> void by_rows(size_t rows, uint64_t multiply_adds, const Function& function) const
    {
        const size_t parts = parts_for(rows * multiply_adds, rows);
        parallel(parts, [&](size_t part) {
            const size_t first = rows * part / parts;
            function(first, rows * (part + 1) / parts - first);
        });
    }

private:
    void rows_of_product(const Product& product, const Activation& input, size_t first, size_t end) const;

    Platform& m_platform;
    const KernelChoice& m_kernels;
};

} // namespace llmk
