// SPDX-License-Identifier: MIT
#include "model/ops.h"

#include "model/panels.h"

#include <algorithm>

namespace llmk {

namespace {

/// Rows of one product that a processor takes at a time: a multiple of every kernel's block of rows.
constexpr size_t kRowBlock = 16;
/// Parts a processor gets on average, so that a fast one takes more of them, and none waits long for the last.
constexpr size_t kPartsPerProcessor = 16;
/// The same of a product with one row of input, which waits for memory: each part begins by waiting for its first
/// lines, and asks at its end for what another has taken. One of them is large: all large ones together are half of the
/// work.
constexpr size_t kStreamsPerProcessor = 4;
/// Below this a hand-over (some microseconds on a host) costs more than the second processor brings.
constexpr uint64_t kSmallestPart = 16 * 1024;

/// Rows of input from which on tiles of BF16 are worth their while: they fill one.
constexpr size_t kBf16Batch = djiblas::kBf16TileRows;

/// Rows of input from which on they are turned: with less, memory is slower than the arithmetic.
constexpr size_t kTurnedBatch = 11;

/// Multiply-adds that quantizing a value costs about as much as.
constexpr uint64_t kQuantizeCost = 4;

struct WeightKernel {
    TensorType type;
    void (*rows)(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
                 size_t first, size_t count);
    void (*read_row)(float* out, const Tensor& tensor, uint64_t row);
};

/// One of each kind of product for each WeightReading, in its order.
template <class Kernel> using ByReading = Kernel KernelSet:: * [djiblas::kWeightReadings];

constexpr ByReading<decltype(KernelSet::gemv_f32)> kGemvF32 = {&KernelSet::gemv_f32, &KernelSet::gemv_f32_side_by_side,
                                                               &KernelSet::gemv_f32_in_places};
constexpr ByReading<const djiblas::PanelKernels*> kPanels = {&KernelSet::panels, &KernelSet::panels_side_by_side,
                                                             &KernelSet::panels_in_places};

template <class Kernel> Kernel read_as_chosen(const KernelSet& kernels, const ByReading<Kernel>& products)
{
    return kernels.*products[static_cast<size_t>(kernels.reading)];
}

djiblas::TurnedInput turned_input(const Activation& input) { return {input.turned, input.batch, input.cols}; }

void rows_f32(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
              size_t first, size_t count)
{
    const float* w = weight.f32() + first * weight.cols;
    if (input.batch == 1) {
        read_as_chosen(kernels, kGemvF32)(y + first, w, input.f32, count, weight.cols);
        return;
    }
    if (input.turned != nullptr && kernels.turned->pays(input.batch)) {
        kernels.turned->f32(y + first, y_stride, reinterpret_cast<const uint8_t*>(w), count, turned_input(input));
        return;
    }
    const auto gemm = input.order == SumOrder::as_single ? kernels.gemm_f32_exact : kernels.gemm_f32;
    gemm(y + first, y_stride, w, input.f32, input.stride, count, weight.cols, input.batch);
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

/// Values that are unpacked at a time: 8 KiB of a firmware's small stack hold four rows of them. A multiple of every
/// block.
constexpr size_t kChunk = 512;
/// Rows and rows of input whose products are one call of gemm_f32.
constexpr size_t kChunkRows = 4;
constexpr size_t kChunkBatch = 128;

using DequantizeMember = djiblas::Dequantize KernelSet::*;

/// The rows of a tensor of ggml's blocks.
struct BlockRows {
    const uint8_t* data;
    size_t row_bytes;
    const TensorTypeInfo& type;

    BlockRows(const Tensor& tensor) : data(tensor.data), type(tensor_type_info(tensor.type))
    {
        row_bytes = tensor.cols / type.block_values * type.block_bytes;
    }
    /// Where the block starts that holds column `col`, the first of one.
    const uint8_t* at(size_t row, size_t col) const
    {
        return data + row * row_bytes + col / type.block_values * type.block_bytes;
    }
};

void gemv_blocks(djiblas::Dequantize dequantize, const KernelSet& kernels, float* y, const Tensor& weight,
                 const float* x, size_t first, size_t count)
{
    const BlockRows rows(weight);
    float values[kChunk];
    for (size_t row = first; row < first + count; ++row) {
        float sum = 0.0f;
        for (size_t col = 0; col < weight.cols; col += kChunk) {
            const size_t n = std::min<size_t>(kChunk, weight.cols - col);
            dequantize(values, rows.at(row, col), n);
            sum += kernels.dot_f32(values, x + col, n);
        }
        y[row] = sum;
    }
}

/// Asks for the blocks of `n` values from column `col` on of a few rows.
void prefetch_blocks(const BlockRows& rows, size_t row, size_t row_count, size_t col, size_t n)
{
    constexpr size_t kLine = 64;
    for (size_t r = row; r < row + row_count; ++r) {
        const uint8_t* const end = rows.at(r, col + n);
        for (const uint8_t* line = rows.at(r, col); line < end; line += kLine) {
            __builtin_prefetch(line);
        }
    }
}

/// Each weight is unpacked once for the whole batch. Columns are the outer loop: their part of the input stays in the
/// second-level cache while the rows go by.
void gemm_blocks(djiblas::Dequantize dequantize, const KernelSet& kernels, float* y, size_t y_stride,
                 const Tensor& weight, const Activation& input, size_t first, size_t count)
{
    const BlockRows rows(weight);
    const size_t end = first + count;
    float values[kChunkRows * kChunk];
    float products[kChunkRows * kChunkBatch];
    for (size_t col = 0; col < weight.cols; col += kChunk) {
        const size_t n = std::min<size_t>(kChunk, weight.cols - col);
        for (size_t row = first; row < end; row += kChunkRows) {
            const size_t row_count = std::min(kChunkRows, end - row);
            for (size_t r = 0; r < row_count; ++r) {
                dequantize(values + r * n, rows.at(row + r, col), n);
            }
            const size_t next = row + row_count;
            prefetch_blocks(rows, next, std::min(kChunkRows, end - next), col, n);
            for (size_t start = 0; start < input.batch; start += kChunkBatch) {
                const size_t batch = std::min(kChunkBatch, input.batch - start);
                kernels.gemm_f32(products, kChunkRows, values, input.f32 + start * input.stride + col, input.stride,
                                 row_count, n, batch);
                for (size_t b = 0; b < batch; ++b) {
                    float* const out = y + (start + b) * y_stride + row;
                    for (size_t r = 0; r < row_count; ++r) {
                        out[r] = products[b * kChunkRows + r] + (col == 0 ? 0.0f : out[r]);
                    }
                }
            }
        }
    }
}

/// Of rows in panels those that are computed as such; `first` begins a panel.
size_t panel_rows(const Tensor& weight, size_t first, size_t count)
{
    if (!weight.panels) {
        return 0;
    }
    const size_t end = weight.rows / djiblas::kPanelRows * djiblas::kPanelRows;
    return first >= end ? 0 : std::min(count, end - first);
}

void rows_panels(const KernelSet& kernels, float* y, size_t y_stride, const Tensor& weight, const Activation& input,
                 size_t first, size_t count)
{
    const BlockRows rows(weight);
    const auto type = static_cast<size_t>(panel_type(weight.type));
    const size_t panels = count / djiblas::kPanelRows;
    if (input.bf16 != nullptr) {
        const djiblas::Bf16Input x{input.bf16, input.batch, input.cols};
        kernels.bf16_panels->product[type](y + first, y_stride, rows.at(first, 0), panels, x);
        return;
    }
    const djiblas::PanelInput x{input.q8, row_stride<int8_t>(input.cols), input.panel_scales, input.batch, input.cols};
    const auto* panels_by = input.batch == 1 ? read_as_chosen(kernels, kPanels) : kernels.panels;
    panels_by->product[type](y + first, y_stride, rows.at(first, 0), panels, x);
}

template <DequantizeMember kMember> void rows_blocks(const KernelSet& kernels, float* y, size_t y_stride,
                                                     const Tensor& weight, const Activation& input, size_t first,
                                                     size_t count)
{
    if (const size_t in_panels = panel_rows(weight, first, count); in_panels != 0) {
        rows_panels(kernels, y, y_stride, weight, input, first, in_panels);
        first += in_panels;
        count -= in_panels;
    }
    if (input.batch == 1) {
        gemv_blocks(kernels.*kMember, kernels, y, weight, input.f32, first, count);
    } else {
        gemm_blocks(kernels.*kMember, kernels, y, y_stride, weight, input, first, count);
    }
}

/// The kernels of F16 or BF16.
struct HalfKernels {
    ByReading<decltype(KernelSet::gemv_f16)> gemv;
    decltype(KernelSet::gemm_f16) KernelSet::*gemm;
    djiblas::TurnedProduct djiblas::TurnedGemm::*turned;
    DequantizeMember dequantize;
};
constexpr HalfKernels kF16 = {{&KernelSet::gemv_f16, &KernelSet::gemv_f16_side_by_side, &KernelSet::gemv_f16_in_places},
                              &KernelSet::gemm_f16,
                              &djiblas::TurnedGemm::f16,
                              &KernelSet::dequantize_f16};
constexpr HalfKernels kBf16 = {
    {&KernelSet::gemv_bf16, &KernelSet::gemv_bf16_side_by_side, &KernelSet::gemv_bf16_in_places},
    &KernelSet::gemm_bf16,
    &djiblas::TurnedGemm::bf16,
    &KernelSet::dequantize_bf16};

template <const HalfKernels& kHalf> void rows_half(const KernelSet& kernels, float* y, size_t y_stride,
                                                   const Tensor& weight, const Activation& input, size_t first,
                                                   size_t count)
{
    const uint8_t* const w = BlockRows(weight).at(first, 0);
    if (input.batch == 1) {
        read_as_chosen(kernels, kHalf.gemv)(y + first, w, input.f32, count, weight.cols);
    } else if (input.turned != nullptr) {
        (kernels.turned->*kHalf.turned)(y + first, y_stride, w, count, turned_input(input));
    } else if (const auto gemm = kernels.*kHalf.gemm; gemm != nullptr) {
        gemm(y + first, y_stride, w, input.f32, input.stride, count, weight.cols, input.batch);
    } else {
        gemm_blocks(kernels.*kHalf.dequantize, kernels, y, y_stride, weight, input, first, count);
    }
}

template <DequantizeMember kMember> void read_row_blocks(float* out, const Tensor& tensor, uint64_t row)
{
    if (tensor.panels && row < tensor.rows / djiblas::kPanelRows * djiblas::kPanelRows) {
        visit_panel_row(tensor.type, tensor.data, tensor.cols, row, [&](const uint8_t* block, uint64_t at, size_t n) {
            (djiblas::kScalar.*kMember)(out + at, block, n);
        });
        return;
    }
    (djiblas::kScalar.*kMember)(out, BlockRows(tensor).at(row, 0), tensor.cols);
}

template <DequantizeMember kMember> constexpr WeightKernel blocks(TensorType type)
{
    return {type, rows_blocks<kMember>, read_row_blocks<kMember>};
}

/// The table of weight types, in the order of TensorType.
constexpr WeightKernel kWeightKernels[kTensorTypes] = {
    {TensorType::f32, rows_f32, read_row_f32},
    {TensorType::q8_group, rows_q8, read_row_q8},
    {TensorType::f16, rows_half<kF16>, read_row_blocks<kF16.dequantize>},
    {TensorType::bf16, rows_half<kBf16>, read_row_blocks<kBf16.dequantize>},
    blocks<&KernelSet::dequantize_q8_0>(TensorType::q8_0),
    blocks<&KernelSet::dequantize_q4_0>(TensorType::q4_0),
    blocks<&KernelSet::dequantize_q4_1>(TensorType::q4_1),
    blocks<&KernelSet::dequantize_q5_0>(TensorType::q5_0),
    blocks<&KernelSet::dequantize_q5_1>(TensorType::q5_1),
    blocks<&KernelSet::dequantize_q2_k>(TensorType::q2_k),
    blocks<&KernelSet::dequantize_q3_k>(TensorType::q3_k),
    blocks<&KernelSet::dequantize_q4_k>(TensorType::q4_k),
    blocks<&KernelSet::dequantize_q5_k>(TensorType::q5_k),
    blocks<&KernelSet::dequantize_q6_k>(TensorType::q6_k),
    blocks<&KernelSet::dequantize_iq4_nl>(TensorType::iq4_nl),
    blocks<&KernelSet::dequantize_iq4_xs>(TensorType::iq4_xs),
};

constexpr bool in_order()
{
    for (size_t i = 0; i < kTensorTypes; ++i) {
        if (static_cast<size_t>(kWeightKernels[i].type) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order());

/// Whether products of a batch can have the bits of those of its rows.
bool sums_as_single(TensorType type) { return type == TensorType::q8_group || type == TensorType::f32; }

/// Row `b` of an input, by itself.
Activation row_of(const Activation& input, size_t b, uint64_t group)
{
    Activation row{input.f32 + b * input.stride, input.stride, 1, input.cols};
    if (group != 0) {
        row.q8 = input.q8 + b * input.cols;
        row.q8_scales = input.q8_scales + b * (input.cols / group);
    }
    return row;
}

/// Where a product is cut into parts: large ones first, then small ones, so that no processor waits long for the last.
struct Cuts {
    size_t blocks; ///< of rows
    size_t parts;
    size_t large;    ///< of the parts, the first ones
    size_t in_large; ///< of the blocks
    /// Blocks that kernels take at a time in parts of either size: what is left over at a part's end costs more.
    size_t together;
    size_t together_in_small;

    /// Where `part` begins; of parts.. the end.
    size_t operator()(size_t part) const
    {
        if (part >= parts) {
            return blocks;
        }
        if (part < large) {
            const size_t at = in_large * part / large;
            return at - at % together;
        }
        const size_t at = in_large + (blocks - in_large) * (part - large) / (parts - large);
        return at - at % together_in_small;
    }
};

/// With one row of input, kernels take four blocks at a time of some products (WeightReading::in_places), or two, and
/// half of the work is one large part for each processor. With more rows they take three, or two in BF16, and three
/// quarters of the work are half of the parts. Fewer at a time where each processor would not have some of them.
Cuts cuts_of(size_t blocks, size_t parts, const Activation& input, size_t processors)
{
    const bool streams = input.batch == 1;
    const size_t each = blocks / (kStreamsPerProcessor * processors);
    const size_t most = streams ? djiblas::kPlaces : 6;
    const size_t together = each >= most ? most : each >= 2 ? 2 : 1;
    if (parts <= processors) {
        return {blocks, parts, 0, 0, together, together};
    }
    if (streams) {
        return {blocks, parts, processors, blocks / 2, together, together};
    }
    const size_t in_small = input.bf16 != nullptr ? 2 : 3;
    return {blocks, parts, parts / 2, blocks * 3 / 4, together, std::min(together, in_small)};
}

size_t blocks_of(const Tensor& weight) { return (weight.rows + kRowBlock - 1) / kRowBlock; }

const WeightKernel& weight_kernel(TensorType type) { return kWeightKernels[static_cast<size_t>(type)]; }

} // namespace

Activation Ops::activate(Workspace& workspace, const float* x, size_t stride, size_t batch, size_t cols,
                         uint64_t group) const
{
    Activation input{x, stride, batch, cols};
    input.order = workspace.order;
    if (kernels().turned != nullptr && workspace.turned != nullptr && batch >= kTurnedBatch &&
        input.order == SumOrder::fastest) {
        constexpr size_t kPanel = djiblas::TurnedInput::kRows;
        by_rows((batch + kPanel - 1) / kPanel, kPanel * cols, [&](size_t first, size_t count) {
            for (size_t panel = first; panel < first + count; ++panel) {
                kernels().turned->turn(workspace.turned, x, stride, panel * kPanel, batch, cols);
            }
        });
        input.turned = workspace.turned;
    }
    const bool in_blocks = workspace.input_scales != nullptr && cols % djiblas::kInputBlock == 0;
    const djiblas::Bf16Panels* const bf16 = kernels().bf16_panels;
    if (in_blocks && bf16 != nullptr && batch >= kBf16Batch && input.order == SumOrder::fastest) {
        auto* const rounded = reinterpret_cast<uint16_t*>(workspace.quantized);
        by_rows(batch, cols, [&](size_t first, size_t count) {
            for (size_t b = first; b < first + count; ++b) {
                bf16->round_row(rounded + djiblas::Bf16Input::row_at(b, cols), x + b * stride, cols);
            }
        });
        input.bf16 = rounded;
        return input;
    }
    if (in_blocks) {
        const size_t q_stride = row_stride<int8_t>(cols);
        by_rows(batch, cols * kQuantizeCost, [&](size_t first, size_t count) {
            for (size_t b = first; b < first + count; ++b) {
                kernels().quantize_input(workspace.quantized + b * q_stride,
                                         workspace.input_scales + b * (q_stride / djiblas::kInputBlock), x + b * stride,
                                         cols);
            }
        });
        input.q8 = workspace.quantized;
        input.panel_scales = workspace.input_scales;
        return input;
    }
    if (group != 0) {
        for (size_t b = 0; b < batch; ++b) {
            kernels().quantize_q8(workspace.quantized + b * cols, workspace.quantized_scales + b * (cols / group),
                                  x + b * stride, cols, group);
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

void Ops::matmul(std::span<const Product> products, const Activation& input) const
{
    size_t blocks = 0;
    uint64_t multiply_adds = 0;
    for (const Product& product : products) {
        blocks += blocks_of(product.weight);
        multiply_adds += product.weight.rows * product.weight.cols * input.batch;
    }
    const size_t processors = m_platform.processor_count();
    const size_t most = input.batch == 1 ? std::min(blocks, processors * kStreamsPerProcessor) : blocks;
    const size_t parts = parts_for(multiply_adds, most);
    const Cuts cut = cuts_of(blocks, parts, input, processors);
    parallel(parts, [&](size_t part) {
        size_t first = cut(part);
        size_t end = cut(part + 1);
        for (const Product& product : products) {
            const size_t own = blocks_of(product.weight);
            if (first < std::min(end, own)) {
                rows_of_product(product, input, first * kRowBlock,
                                std::min<size_t>(std::min(end, own) * kRowBlock, product.weight.rows));
            }
            first -= std::min(first, own);
            end -= std::min(end, own);
        }
    });
}

void Ops::rows_of_product(const Product& product, const Activation& input, size_t first, size_t end) const
{
    const Tensor& weight = product.weight;
    const auto rows = weight_kernel(weight.type).rows;
    if (input.order == SumOrder::fastest || input.batch == 1 || sums_as_single(weight.type)) {
        rows(kernels(), product.y, product.y_stride, weight, input, first, end - first);
        return;
    }
    if (const size_t in_panels = panel_rows(weight, first, end - first); in_panels != 0) {
        // The same bits in any batch.
        rows_panels(kernels(), product.y, product.y_stride, weight, input, first, in_panels);
        first += in_panels;
    }
    // A block of rows comes from memory once, and from the cache for all inputs but the first.
    for (; first < end; first += kRowBlock) {
        for (size_t b = 0; b < input.batch; ++b) {
            rows(kernels(), product.y + b * product.y_stride, product.y_stride, weight, row_of(input, b, weight.group),
                 first, std::min(kRowBlock, end - first));
        }
    }
}

void Ops::read_row(float* out, const Tensor& tensor, uint64_t row)
{
    weight_kernel(tensor.type).read_row(out, tensor, row);
}

} // namespace llmk
