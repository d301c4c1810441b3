// SPDX-License-Identifier: MIT
#include "model/ops.h"

#include <algorithm>

namespace llmk {

namespace {

/// Rows of one product that a processor takes at a time: a multiple of every kernel's block of rows.
constexpr size_t kRowBlock = 16;
/// Parts a processor gets on average, so that a fast one takes more of them.
constexpr size_t kPartsPerProcessor = 4;
/// Below this a hand-over (some microseconds on a host) costs more than the second processor brings.
constexpr uint64_t kSmallestPart = 16 * 1024;

struct WeightKernel {
    TensorType type;
    void (*rows)(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
                 size_t first, size_t count);
    void (*read_row)(float* out, const Tensor& tensor, uint64_t row);
};

void rows_f32(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
              size_t first, size_t count)
{
    const float* w = weight.f32() + first * weight.cols;
    if (input.batch == 1) {
        kernels.gemv_f32(y + first, w, input.f32, count, weight.cols);
    } else {
        kernels.gemm_f32(y + first, y_stride, w, input.f32, input.cols, count, weight.cols, input.batch);
    }
}

void rows_q8(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
             size_t first, size_t count)
{
    const int8_t* w = weight.q8() + first * weight.cols;
    const auto* scales = weight.q8_scales() + first * (weight.cols / weight.group);
    if (input.batch == 1) {
        kernels.gemv_q8(y + first, w, scales, input.q8, input.q8_scales, count, weight.cols, weight.group);
    } else {
        kernels.gemm_q8(y + first, y_stride, w, scales, input.q8, input.q8_scales, count, weight.cols, weight.group,
                        input.batch);
    }
}

void read_row_f32(float* out, const Tensor& tensor, uint64_t row)
{
    __builtin_memcpy(out, tensor.f32() + row * tensor.cols, tensor.cols * sizeof(float));
}

void read_row_q8(float* out, const Tensor& tensor, uint64_t row)
{
    const int8_t* q = tensor.q8() + row * tensor.cols;
    const auto* scales = tensor.q8_scales() + row * (tensor.cols / tensor.group);
    for (size_t i = 0; i < tensor.cols; ++i) {
        out[i] = static_cast<float>(q[i]) * scales[i / tensor.group];
    }
}

/// The table of weight types, in the order of TensorType.
constexpr WeightKernel kWeightKernels[] = {
    {TensorType::f32, rows_f32, read_row_f32},
    {TensorType::q8_group, rows_q8, read_row_q8},
};

const WeightKernel& weight_kernel(TensorType type) { return kWeightKernels[static_cast<size_t>(type)]; }

} // namespace

Activation Ops::activate(Workspace& workspace, const float* x, size_t batch, size_t cols, uint64_t group) const
{
    Activation input{x, batch, cols};
    if (group != 0) {
        for (size_t b = 0; b < batch; ++b) {
            kernels().quantize_q8(workspace.quantized + b * cols, workspace.quantized_scales + b * (cols / group),
                                  x + b * cols, cols, group);
        }
        input.q8 = workspace.quantized;
        input.q8_scales = workspace.quantized_scales;
    }
    return input;
}

size_t Ops::parts_for(uint64_t multiply_adds, size_t most) const
{
    const size_t processors = m_platform.processor_count();
    if (processors == 1) {
        return 1;
    }
    const uint64_t parts = std::min<uint64_t>(multiply_adds / kSmallestPart, processors * kPartsPerProcessor);
    return std::clamp<size_t>(static_cast<size_t>(parts), 1, std::max<size_t>(most, 1));
}

void Ops::matmul(float* y, size_t y_stride, const Tensor& weight, const Activation& input) const
{
    const auto rows = weight_kernel(weight.type).rows;
    const size_t blocks = (weight.rows + kRowBlock - 1) / kRowBlock;
    const size_t parts = parts_for(weight.rows * weight.cols * input.batch, blocks);
    parallel(parts, [&](size_t part) {
        const size_t first = blocks * part / parts * kRowBlock;
        const size_t end = std::min<size_t>(blocks * (part + 1) / parts * kRowBlock, weight.rows);
        if (end > first) {
            rows(kernels(), y, y_stride, weight, input, first, end - first);
        }
    });
}

void Ops::read_row(float* out, const Tensor& tensor, uint64_t row)
{
    weight_kernel(tensor.type).read_row(out, tensor, row);
}

} // namespace llmk
