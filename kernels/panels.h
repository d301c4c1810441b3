// SPDX-License-Identifier: MIT
//
// Packed weights as products read them: sixteen rows side by side, so that a vector holds the same four columns of
// several rows and a product needs no sum across its lanes. A panel is a permutation of the bytes of its rows: it takes
// their place in memory, and every set reads the same panels.
//
// A matrix of (rows, cols) has rows/16 panels; what rows are left stay as the file has them, behind the panels. Of a
// panel, the first blocks of the sixteen rows come first, then the second blocks, and so on. Sixteen blocks are laid
// out field by field: `halves` fields of two bytes (scales), then `words` fields of four bytes (codes, mostly), each
// field of row 0 to 15 in a line of 32 or 64 bytes. Fields are numbered in the order in which the file's block has
// them. Which codes a word holds follows from the type's layout (djiblas.h): four columns, or their halves or parts.
//
// Inputs of such products are int8 too: quantized once per row in blocks of 32, scale = max|x| / 127 less the last two
// bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmk::djiblas {

/// Packed types that have panels, by index into the tables of products.
enum class PanelType : uint8_t { q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs };
constexpr size_t kPanelTypes = 12;

constexpr size_t kPanelRows = 16;

/// Where the fields lie in a block of the file.
struct PanelFields {
    uint16_t values;    ///< of a block
    uint16_t bytes;     ///< of a block
    uint16_t halves_at; ///< byte of the first
    uint16_t halves;    ///< fields of two bytes
    uint16_t words_at;  ///< byte of the first
    uint16_t words;     ///< fields of four bytes
};

// In the order of PanelType.
constexpr PanelFields kPanelFields[kPanelTypes] = {
    {32, 34, 0, 1, 2, 8},      // Q8_0: d; codes
    {32, 18, 0, 1, 2, 4},      // Q4_0: d; codes
    {32, 20, 0, 2, 4, 4},      // Q4_1: d, m; codes
    {32, 22, 0, 1, 2, 5},      // Q5_0: d; fifth, codes
    {32, 24, 0, 2, 4, 5},      // Q5_1: d, m; fifth, codes
    {256, 84, 80, 2, 0, 20},   // Q2_K: d, dmin; 4 scales, 16 codes
    {256, 110, 108, 1, 0, 27}, // Q3_K: d; 8 third, 16 codes, 3 scales
    {256, 144, 0, 2, 4, 35},   // Q4_K: d, dmin; 3 scales, 32 codes
    {256, 176, 0, 2, 4, 43},   // Q5_K: d, dmin; 3 scales, 8 fifth, 32 codes
    {256, 210, 208, 1, 0, 52}, // Q6_K: d; 32 codes, 16 upper, 4 scales
    {32, 18, 0, 1, 2, 4},      // IQ4_NL: d; codes
    {256, 136, 0, 2, 4, 33},   // IQ4_XS: d, upper; lower, 32 codes
};

constexpr const PanelFields& panel_fields(PanelType type) { return kPanelFields[static_cast<size_t>(type)]; }

/// Values of an input that share a scale.
constexpr size_t kInputBlock = 32;

/// What the first two of each four codes add up to, and the other two.
struct PairSums {
    int16_t sums[2];
};

/// An integer of up to 22 bits and a sign that is added to this float's bits is added to the float. So sums of
/// products that begin with these bits are floats as they stand.
constexpr float kSumStart = 0x1.8p23f;

/// What goes with 32 quantized values.
struct InputScale {
    float scale;       ///< max|x| / 127, its last two bits zero
    float minus_start; ///< -kSumStart * scale, exactly
    float sums[3];     ///< scale times the sum of the first 16 codes, of the last 16, of all 32
    PairSums pairs[2]; ///< of the first 16 codes, and of the last
    int16_t halves[2]; ///< the sum of the first 16 codes, and of the last
    /// Where sums of products with weights' codes that have 128 added begin: kSumStart's bits less 128 times the sum of
    /// the first 16 codes, of the last 16, of all 32.
    int32_t starts[3];

    /// Of values with the largest magnitude `peak`, and the sums of their codes' pairs. Always inline: no set may run
    /// what was compiled for another.
    [[gnu::always_inline]] void set(float peak, int32_t first_pair, int32_t second_pair, int32_t third_pair,
                                    int32_t fourth_pair)
    {
        const int32_t first = first_pair + second_pair;
        const int32_t last = third_pair + fourth_pair;
        pairs[0] = {{static_cast<int16_t>(first_pair), static_cast<int16_t>(second_pair)}};
        pairs[1] = {{static_cast<int16_t>(third_pair), static_cast<int16_t>(fourth_pair)}};
        scale = __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, peak / 127.0f) & ~3u);
        minus_start = -kSumStart * scale;
        sums[0] = scale * static_cast<float>(first);
        sums[1] = scale * static_cast<float>(last);
        sums[2] = scale * static_cast<float>(first + last);
        halves[0] = static_cast<int16_t>(first);
        halves[1] = static_cast<int16_t>(last);
        constexpr auto kStart = __builtin_bit_cast(int32_t, kSumStart);
        starts[0] = kStart - 128 * first;
        starts[1] = kStart - 128 * last;
        starts[2] = kStart - 128 * (first + last);
    }
};

/// What takes 32 values with the largest magnitude `peak` to [-127, 127]; 0 where all of them become 0: `peak` is no
/// number, or so small that 127 / peak is none.
[[gnu::always_inline]] inline float input_factor(float peak)
{
    return peak >= 0x1p-120f && peak <= 0x1.fffffep127f ? 127.0f / peak : 0.0f;
}

/// `batch` rows of `cols` values, quantized: x is scale * q. cols and stride are multiples of 32.
struct PanelInput {
    const int8_t* q;          ///< (batch, cols), in [-127, 127]
    size_t stride;            ///< values from row to row of q, and 32 times what it is of scales
    const InputScale* scales; ///< (batch, cols / 32)
    size_t batch;
    size_t cols;
};

/// y[b*y_stride + r] = row r of the panels . row b of the input, r in [0, 16 * panels). `data` is any address. Each
/// output is computed in the same order whatever the batch: the bits are those of a batch of one.
using PanelProduct = void (*)(float* y, size_t y_stride, const uint8_t* data, size_t panels, const PanelInput& x);

/// The products of a set, of all types.
struct PanelKernels {
    PanelProduct product[kPanelTypes]; ///< by PanelType
};

// Inputs in BF16 (the upper half of a float) lie in tiles of 16 rows and 32 columns, a kibibyte each: those of the
// first sixteen rows from column 0 on, then those of the next. There is room for whole tiles; what it holds past the
// last row does not matter.
constexpr size_t kBf16TileRows = 16;
constexpr size_t kBf16TileValues = kBf16TileRows * kInputBlock;

struct Bf16Input {
    const uint16_t* tiles; ///< of (batch, cols), cols a multiple of 32
    size_t batch;
    size_t cols;

    /// Where row `row` of (batch, cols) begins; the next 32 values are a tile further.
    static size_t row_at(size_t row, size_t cols)
    {
        return row / kBf16TileRows * kBf16TileRows * cols + row % kBf16TileRows * kInputBlock;
    }
    static size_t values(size_t batch, size_t cols)
    {
        return (batch + kBf16TileRows - 1) / kBf16TileRows * kBf16TileRows * cols;
    }
};

/// As PanelProduct, but weights are rounded to BF16 too, and sums are in float32 from the first column to the last.
using Bf16Product = void (*)(float* y, size_t y_stride, const uint8_t* data, size_t panels, const Bf16Input& x);

/// Products of a set that multiplies BF16 numbers: faster than int8, and not the bits that PanelKernels give.
struct Bf16Panels {
    /// A row of n values, a multiple of 32, to the nearest BF16 number, ties to even; each 32 a tile further.
    void (*round_row)(uint16_t* out, const float* x, size_t n);
    Bf16Product product[kPanelTypes]; ///< by PanelType
};

} // namespace llmk::djiblas
