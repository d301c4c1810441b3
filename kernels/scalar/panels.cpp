// SPDX-License-Identifier: MIT
//
// Panels: packing, unpacking, and the oracle of their products, which unpacks a block and multiplies value by value.
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas {

namespace {

constexpr size_t kHalfBytes = 2;
constexpr size_t kWordBytes = 4;

/// Calls copy(byte in a panel's unit, byte in a row's block, size) for every field of row `row`.
template <class Copy> inline void visit_fields(const PanelFields& fields, size_t row, const Copy& copy)
{
    size_t line = 0;
    for (size_t i = 0; i < fields.halves; i++, line += kPanelRows * kHalfBytes) {
        copy.half(line + row * kHalfBytes, fields.halves_at + i * kHalfBytes);
    }
    for (size_t i = 0; i < fields.words; i++, line += kPanelRows * kWordBytes) {
        copy.word(line + row * kWordBytes, fields.words_at + i * kWordBytes);
    }
}

struct Pack {
    uint8_t* unit;
    const uint8_t* block;
    void half(size_t in_unit, size_t in_block) const { __builtin_memcpy(unit + in_unit, block + in_block, kHalfBytes); }
    void word(size_t in_unit, size_t in_block) const { __builtin_memcpy(unit + in_unit, block + in_block, kWordBytes); }
};

struct Unpack {
    uint8_t* block;
    const uint8_t* unit;
    void half(size_t in_unit, size_t in_block) const { __builtin_memcpy(block + in_block, unit + in_unit, kHalfBytes); }
    void word(size_t in_unit, size_t in_block) const { __builtin_memcpy(block + in_block, unit + in_unit, kWordBytes); }
};

// In the order of PanelType.
constexpr Dequantize kDequantize[kPanelTypes] = {
    scalar::dequantize_q8_0, scalar::dequantize_q4_0, scalar::dequantize_q4_1,   scalar::dequantize_q5_0,
    scalar::dequantize_q5_1, scalar::dequantize_q2_k, scalar::dequantize_q3_k,   scalar::dequantize_q4_k,
    scalar::dequantize_q5_k, scalar::dequantize_q6_k, scalar::dequantize_iq4_nl, scalar::dequantize_iq4_xs,
};

constexpr size_t kMostValues = 256;

float dot_input(const float* w, const int8_t* q, const InputScale* scales, size_t n)
{
    float sum = 0.0f;
    for (size_t i = 0; i < n; i += kInputBlock) {
        float block = 0.0f;
        for (size_t j = i; j < i + kInputBlock; j++) {
            block += w[j] * static_cast<float>(q[j]);
        }
        sum += block * scales[i / kInputBlock].scale;
    }
    return sum;
}

template <PanelType kType>
void product(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x)
{
    constexpr const PanelFields& kFields = panel_fields(kType);
    const size_t blocks = x.cols / kFields.values;
    for (size_t row = 0; row < panels * kPanelRows; row++) {
        const uint8_t* panel = data + row / kPanelRows * kPanelRows * blocks * kFields.bytes;
        for (size_t b = 0; b < x.batch; b++) {
            y[b * y_stride + row] = 0.0f;
        }
        for (size_t block = 0; block < blocks; block++, panel += kPanelRows * kFields.bytes) {
            uint8_t packed[kMostValues];
            float values[kMostValues];
            unpack_panel_row(kType, packed, panel, 1, row % kPanelRows);
            kDequantize[static_cast<size_t>(kType)](values, packed, kFields.values);
            for (size_t b = 0; b < x.batch; b++) {
                const size_t at = b * x.stride + block * kFields.values;
                y[b * y_stride + row] += dot_input(values, x.q + at, x.scales + at / kInputBlock, kFields.values);
            }
        }
    }
}

} // namespace

void pack_panel(PanelType type, uint8_t* panel, const uint8_t* rows, size_t blocks)
{
    const PanelFields& fields = panel_fields(type);
    for (size_t row = 0; row < kPanelRows; row++) {
        for (size_t block = 0; block < blocks; block++, rows += fields.bytes) {
            visit_fields(fields, row, Pack{panel + block * kPanelRows * fields.bytes, rows});
        }
    }
}

void unpack_panel_row(PanelType type, uint8_t* row, const uint8_t* panel, size_t blocks, size_t index)
{
    const PanelFields& fields = panel_fields(type);
    for (size_t block = 0; block < blocks; block++, panel += kPanelRows * fields.bytes, row += fields.bytes) {
        visit_fields(fields, index, Unpack{row, panel});
    }
}

namespace scalar {

constinit const PanelKernels kPanels = {
    {product<PanelType::q8_0>, product<PanelType::q4_0>, product<PanelType::q4_1>, product<PanelType::q5_0>,
     product<PanelType::q5_1>, product<PanelType::q2_k>, product<PanelType::q3_k>, product<PanelType::q4_k>,
     product<PanelType::q5_k>, product<PanelType::q6_k>, product<PanelType::iq4_nl>, product<PanelType::iq4_xs>}};

} // namespace scalar

} // namespace llmk::djiblas
