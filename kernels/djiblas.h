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

#include "kernels/panels.h"

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
    kFeatureF16c = 1u << 3,
    kFeatureAvx512 = 1u << 4, ///< F, BW, DQ and VL together
    kFeatureAvx512Vnni = 1u << 5,
    kFeatureAvxVnni = 1u << 6,
    kFeatureAmxInt8 = 1u << 7, ///< AMX-TILE and AMX-INT8 with tiles of palette 1
    kFeatureAmxBf16 = 1u << 8, ///< AMX-BF16 with the same tiles, and AVX512-BF16
};

/// Widest batch that gemm_* takes in one call.
constexpr size_t kMaxBatch = 256;

/// Values and bytes of one block of a packed tensor type.
struct BlockShape {
    size_t values;
    size_t bytes;
};

// GGUF's types. Names and layouts are those of ggml-common.h; the arithmetic is that of the `gguf` package's quants.py.
constexpr BlockShape kBlockF16 = {1, 2};
constexpr BlockShape kBlockBf16 = {1, 2};
constexpr BlockShape kBlockQ80 = {32, 34};
constexpr BlockShape kBlockQ40 = {32, 18};
constexpr BlockShape kBlockQ41 = {32, 20};
constexpr BlockShape kBlockQ50 = {32, 22};
constexpr BlockShape kBlockQ51 = {32, 24};
constexpr BlockShape kBlockQ2K = {256, 84};
constexpr BlockShape kBlockQ3K = {256, 110};
constexpr BlockShape kBlockQ4K = {256, 144};
constexpr BlockShape kBlockQ5K = {256, 176};
constexpr BlockShape kBlockQ6K = {256, 210};
constexpr BlockShape kBlockIq4Nl = {32, 18};
constexpr BlockShape kBlockIq4Xs = {256, 136};

/// What the codes 0 to 15 of IQ4_NL and IQ4_XS stand for.
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// out[0, n) = the values of the blocks at `blocks`, which is any address; n is a multiple of the block's values. All
/// sets give the same bits (of a NaN that comes from an infinite or NaN scale, only that it is one): each product,
/// sum and difference is rounded on its own, in the order written below.
using Dequantize = void (*)(float* out, const uint8_t* blocks, size_t n);

/// out = x[0, n) as Dequantize's blocks, rounded to the nearest value that there is. All sets give the same bits.
using PackValues = void (*)(uint8_t* out, const float* x, size_t n);

/// Attention of consecutive positions over one head of keys and values, by the query heads that share it (grouped-query
/// attention, Ainslie et al. 2023, arXiv:2305.13245). The query at position p sees the `window` positions up to p, and
/// of those only such as lie in [begin, end).
struct AttentionTask {
    const float* query;    ///< (count, heads, head_dim)
    float* out;            ///< likewise; does not overlap the query
    size_t stride;         ///< floats from a position's heads to the next position's, of `query` and `out`
    size_t count;          ///< positions
    size_t heads;          ///< that share the keys and values
    size_t head_dim;       ///< at least 1; a multiple of the block of what packs keys and values
    const uint8_t* keys;   ///< of position 0; those of the next follows without a gap, of any alignment
    const uint8_t* values; ///< likewise
    size_t position;       ///< of the first query; keys and values are there up to the last one's
    size_t window;         ///< at least 1
    size_t begin;
    size_t end;
    float divisor; ///< positive
    float softcap; ///< 0: none
    /// Both null, or of each query the largest of its scores (-infinity: it sees none in [begin, end)) and the sum of
    /// exp(score - largest), at [position * stride / head_dim + head]; then `out` is not divided by that sum, and
    /// attention_merge puts together what several such ranges gave.
    float* peaks = nullptr;
    float* sums = nullptr;
};

/// score[t] = (query . key[t]) / divisor, softcap applied to it; out = sum over t of softmax(score)[t] * value[t].
/// Each query sees at least one position, unless `peaks` is there. Scalar takes the passes of run.c one after the
/// other; the others go once over the keys and values, a block at a time, and rescale what they have whenever a larger
/// score comes (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135). A NaN among what a
/// query sees makes its output NaN. One value more than a query sees may be read up to the last query's position.
using Attention = void (*)(const AttentionTask& task);

// Inputs may be turned: sixteen rows are a panel, which holds them column by column. Blocks of 256 columns (the last
// may have less) lie one behind the other, and in each the panels, so that what a product uses at a time has no gaps:
// whole panels, a power of two apart as widths mostly are, would meet in the same lines of a cache.
struct TurnedInput {
    static constexpr size_t kRows = 16;
    static constexpr size_t kCols = 256;

    const float* values; ///< past the last row anything
    size_t batch;        ///< 1 to kMaxBatch
    size_t cols;

    static size_t floats(size_t batch, size_t cols) { return (batch + kRows - 1) / kRows * kRows * cols; }
    /// Where the columns of a block lie whose first is `col`, of the panel whose first row is `row`.
    static size_t at(size_t row, size_t col, size_t batch, size_t cols)
    {
        const size_t wide = cols - col < kCols ? cols - col : kCols;
        return floats(batch, col) + row * wide;
    }
};

/// SGEMM with turned inputs: y[b*y_stride + r] = sum over c of weight (r, c) * x (b, c), for r in [0, rows). w as
/// gemv_f32, gemv_f16 and gemv_bf16 have it.
using TurnedProduct = void (*)(float* y, size_t y_stride, const uint8_t* w, size_t rows, const TurnedInput& x);

struct TurnedGemm {
    /// Fills the panel of TurnedInput{values, batch, cols} whose first row is `row`; after the last row are zeros.
    void (*turn)(float* values, const float* x, size_t x_stride, size_t row, size_t batch, size_t cols);
    TurnedProduct f32;
    TurnedProduct f16;
    TurnedProduct bf16;
    /// Whether f32 takes less time for so many inputs than gemm_f32 does.
    bool (*pays)(size_t batch);
};

/// In which order a product with one row of input asks memory for weights. Which one memory likes best depends on the
/// machine; the bits of the product do not.
enum class WeightReading : uint8_t {
    one_stream,   ///< one row after the other, what follows is asked for some KiB ahead: desktop memory
    side_by_side, ///< several rows at a time, further ahead: memory that answers late (many processors, many channels)
    in_places,    ///< rows of four places far apart at a time, a little ahead: memory whose channels take a page each
};
constexpr size_t kWeightReadings = 3;
/// Of WeightReading::in_places: so many parts of the rows, as large as they can be alike.
constexpr size_t kPlaces = 4;

struct KernelSet {
    const char* name;  ///< "scalar", "sse2", "avx2", ...: as typed in `/kernels NAME` and `kernels=NAME`
    const char* title; ///< as printed at start: "Scalar", "SSE2", "AVX2+FMA", ...
    uint32_t features; ///< all of these Feature bits are needed

    /// Sum of a[i] * b[i] over n.
    float (*dot_f32)(const float* a, const float* b, size_t n) = nullptr;

    /// GEMV: y[r] = sum over c of w[r*cols + c] * x[c], for r in [0, rows).
    void (*gemv_f32)(float* y, const float* w, const float* x, size_t rows, size_t cols) = nullptr;

    /// gemv_f32 with weights as dequantize_f16 gives them: w holds rows * cols little-endian binary16 at any address.
    /// What a signalling NaN gives is quiet.
    void (*gemv_f16)(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols) = nullptr;

    /// The same with dequantize_bf16's weights.
    void (*gemv_bf16)(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols) = nullptr;

    /// SGEMM: y[b*y_stride + r] = sum over c of w[r*cols + c] * x[b*x_stride + c], for b in [0, batch), batch <=
    /// kMaxBatch, r in [0, rows).
    void (*gemm_f32)(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                     size_t cols, size_t batch) = nullptr;

    /// The same, but row b of y gets the bits that gemv_f32 gives for row b of x: for small batches that must not
    /// differ from their rows one by one. Goes with gemv_f32: a set has both of its own or neither.
    void (*gemm_f32_exact)(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows,
                           size_t cols, size_t batch) = nullptr;

    /// llama2.c's Q8_0: per group of `group` values (n is a multiple), scale = max|x| / 127 and q = x / scale rounded
    /// half away from zero. A group of zeros gets scale 0 and zeros (runq.c's quantize would divide by zero).
    void (*quantize_q8)(int8_t* q, float* scales, const float* x, size_t n, size_t group) = nullptr;

    /// int8 GEMV: y[r] = sum over groups g of (sum over the group of wq*xq, exact in int32) * ws[r][g] * xs[g]. w is
    /// (rows, cols) int8, ws (rows, cols/group). group divides cols; any group from 1 on. The sum over groups is in
    /// float and may be reordered.
    void (*gemv_q8)(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
                    size_t rows, size_t cols, size_t group) = nullptr;

    /// The same for `batch` rows of x: xq (batch, cols), xs (batch, cols/group), y as in gemm_f32. Row b of y gets the
    /// bits that gemv_q8 gives for row b of x.
    void (*gemm_q8)(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
                    const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch) = nullptr;

    /// Attention over keys and values in float32, as dequantize_f16 and as dequantize_q8_0 unpack them.
    Attention attention_f32 = nullptr;
    Attention attention_f16 = nullptr;
    Attention attention_q8_0 = nullptr;

    /// out[r] = what attention of `rows` queries gives, from `parts` disjoint ranges of keys: with weights w[p] =
    /// exp(peaks[p][r] - the largest of r), out[r] = sum over p of w[p] * partial[p][r] / sum over p of w[p] *
    /// sums[p][r]. partial is (parts, rows, head_dim), peaks and sums are (parts, rows).
    void (*attention_merge)(float* out, const float* partial, const float* peaks, const float* sums, size_t parts,
                            size_t rows, size_t head_dim) = nullptr;

    /// In place: x[i] = exp(x[i] - max) / sum. n >= 1. A row of -inf but for one is a one. NaN in, NaN out.
    void (*softmax)(float* x, size_t n) = nullptr;

    /// out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]. `out` may be `x`.
    void (*rmsnorm)(float* out, const float* x, const float* weight, size_t n, float epsilon) = nullptr;

    /// LayerNorm: out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i], the variance being the mean
    /// of (x[i] - mean)^2, taken in a second pass. No bias where `bias` is null. `out` may be `x`. n >= 1.
    void (*layernorm)(float* out, const float* x, const float* weight, const float* bias, size_t n,
                      float epsilon) = nullptr;

    /// SwiGLU: gate[i] = silu(gate[i]) * up[i], silu(v) = v / (1 + exp(-v)).
    void (*swiglu)(float* gate, const float* up, size_t n) = nullptr;

    /// GELU by its tanh approximation (Hendrycks and Gimpel, arXiv 1606.08415): x[i] = x[i]/2 * (1 + tanh(sqrt(2/pi) *
    /// (x[i] + 0.044715 * x[i]^3))). Far below zero it goes to 0, but -infinity gives NaN, as the formula does.
    void (*gelu_tanh)(float* x, size_t n) = nullptr;

    /// GELU itself: x[i] = x[i]/2 * (1 + erf(x[i] / sqrt(2))). -infinity as above.
    void (*gelu_erf)(float* x, size_t n) = nullptr;

    /// GeGLU: gate[i] = gelu_tanh(gate[i]) * up[i].
    void (*geglu)(float* gate, const float* up, size_t n) = nullptr;

    /// x[i] = cap * tanh(x[i] / cap), cap > 0: |x[i]| stays below or at `cap`. Infinities become -cap and cap. NaN in,
    /// NaN out.
    void (*softcap)(float* x, size_t n, float cap) = nullptr;

    /// x[i] += y[i].
    void (*add)(float* x, const float* y, size_t n) = nullptr;

    /// RoPE on interleaved pairs (GGUF "norm" layout, llama2.c): for each pair i of each of `heads` heads,
    /// (a, b) = (x[2i], x[2i+1]) becomes (a*cos[i] - b*sin[i], a*sin[i] + b*cos[i]); cos and sin hold rope_dim/2
    /// values. Only the first rope_dim values of a head turn; rope_dim <= head_dim, even.
    void (*rope_pairs)(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim,
                       size_t rope_dim) = nullptr;

    /// RoPE on halves (GGUF "neox" layout, GPT-NeoX): the same with (a, b) = (x[i], x[i + rope_dim/2]).
    void (*rope_halves)(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim,
                        size_t rope_dim) = nullptr;

    /// IEEE binary16, to nearest, ties to even: from 65520 on it is infinity. A NaN stays one, quiet.
    PackValues pack_f16 = nullptr;

    /// The blocks of dequantize_q8_0: d = max|x| / 127, codes are x / d rounded half away from zero, and d is rounded
    /// to binary16 last. A block of zeros has d = 0. A NaN or infinity in a block makes d one.
    PackValues pack_q8_0 = nullptr;

    // Unpacking. Each comment gives the fields of a block in their order in the file, little-endian, without gaps:
    // `f16 d` is one binary16, `u8 codes[16]` sixteen bytes. i counts the values of a block from 0, j is i mod 32, g
    // the group of values that share a scale. `low` and `high` are the halves of a byte. A set names only those that it
    // has.

    /// IEEE binary16; subnormals, infinities and NaN with their payload.
    Dequantize dequantize_f16 = nullptr;

    /// The upper half of a float's bits.
    Dequantize dequantize_bf16 = nullptr;

    /// f16 d; i8 codes[32]. d * codes[i].
    Dequantize dequantize_q8_0 = nullptr;

    /// f16 d; u8 codes[16]. d * (q - 8), q = low of codes[i] for i < 16, high of codes[i - 16] after.
    Dequantize dequantize_q4_0 = nullptr;

    /// f16 d, m; u8 codes[16]. d * q + m, q as in Q4_0.
    Dequantize dequantize_q4_1 = nullptr;

    /// f16 d; u32 fifth; u8 codes[16]. d * (q - 16), q as in Q4_0 plus 16 where bit i of `fifth` is set.
    Dequantize dequantize_q5_0 = nullptr;

    /// f16 d, m; u32 fifth; u8 codes[16]. d * q + m, q as in Q5_0.
    Dequantize dequantize_q5_1 = nullptr;

    /// u8 scales[16]; u8 codes[64]; f16 d, dmin. (d * low of scales[g]) * q - (dmin * high of scales[g]), g = i / 16;
    /// q = bits 2s and 2s+1 of codes[32 * (i / 128) + j], s = i / 32 mod 4.
    Dequantize dequantize_q2_k = nullptr;

    /// u8 third[32]; u8 codes[64]; u8 scales[12]; f16 d. (d * scale) * q; q as in Q2_K less 4 where bit i / 32 of
    /// third[j] is *not* set. The scale, plus 32, of group g = i / 16: four bits from the low (g < 8) or high half of
    /// scales[g mod 8], and above them bits 2t and 2t+1 of scales[8 + g mod 4], t = g / 4.
    Dequantize dequantize_q3_k = nullptr;

    /// f16 d, dmin; u8 scales[12]; u8 codes[128]. (d * scale) * q - (dmin * min), g = i / 32; q = low (g even) or high
    /// half of codes[32 * (g / 2) + j]. scale and min of group g < 4: lower six bits of scales[g] and scales[g + 4];
    /// of g >= 4: low and high of scales[g + 4], and above them the upper two bits of scales[g - 4] and scales[g].
    Dequantize dequantize_q4_k = nullptr;

    /// f16 d, dmin; u8 scales[12]; u8 fifth[32]; u8 codes[128]. As Q4_K; q is 16 more where bit g of fifth[j] is set.
    Dequantize dequantize_q5_k = nullptr;

    /// u8 codes[128]; u8 upper[64]; i8 scales[16]; f16 d. (d * scales[i / 16]) * (q - 32). Of 128 values, h = i / 128:
    /// four bits of q from codes[64 * h + i mod 64], low for the first 64 values and high after; above them bits 2s and
    /// 2s+1 of upper[32 * h + j], s = i / 32 mod 4.
    Dequantize dequantize_q6_k = nullptr;

    /// As Q4_0, but d * kIq4Values[q].
    Dequantize dequantize_iq4_nl = nullptr;

    /// f16 d; u16 upper; u8 lower[4]; u8 codes[128]. (d * scale) * kIq4Values[q], g = i / 32; q as in Q4_0 from
    /// codes[16 * g ...]. The scale, plus 32: low (g even) or high half of lower[g / 2], above it bits 2g and 2g+1 of
    /// `upper`.
    Dequantize dequantize_iq4_xs = nullptr;

    /// Quantizes n values (a multiple of 32) for products with panels: of each 32, q = x * input_factor(max|x|) rounded
    /// half away from zero. A NaN in x gives a NaN scale. All sets give the same bits.
    void (*quantize_input)(int8_t* q, InputScale* scales, const float* x, size_t n) = nullptr;

    /// Products with panels.
    const PanelKernels* panels = nullptr;

    // The same by the other WeightReadings. Same bits. A set that has a kernel above has its own here too, or the same
    // once more.
    decltype(gemv_f32) gemv_f32_side_by_side = nullptr;
    decltype(gemv_f16) gemv_f16_side_by_side = nullptr;
    decltype(gemv_bf16) gemv_bf16_side_by_side = nullptr;
    const PanelKernels* panels_side_by_side = nullptr; ///< for one row of input only
    decltype(gemv_f32) gemv_f32_in_places = nullptr;
    decltype(gemv_f16) gemv_f16_in_places = nullptr;
    decltype(gemv_bf16) gemv_bf16_in_places = nullptr;
    const PanelKernels* panels_in_places = nullptr; ///< for one row of input only

    /// Products with panels where a batch may have bits of its own (SumOrder::fastest). Few sets have them: null.
    const Bf16Panels* bf16_panels = nullptr;

    /// Faster than gemm_f32 where the batch is not small. Sets from AVX2 on have it; else null.
    const TurnedGemm* turned = nullptr;

    /// gemm_f32 with weights as gemv_f16 and gemv_bf16 have them. Null where unpacking some rows for gemm_f32 is as
    /// fast.
    void (*gemm_f16)(float* y, size_t y_stride, const uint8_t* w, const float* x, size_t x_stride, size_t rows,
                     size_t cols, size_t batch) = nullptr;
    decltype(gemm_f16) gemm_bf16 = nullptr;

    /// No kernel: which of the above to take. Calibration sets it in a completed set.
    WeightReading reading = WeightReading::one_stream;
};

/// Puts sixteen rows of so many blocks each, one behind the other at `rows`, in the layout of a panel. `panel` and
/// `rows` do not overlap.
void pack_panel(PanelType type, uint8_t* panel, const uint8_t* rows, size_t blocks);

/// The other way: the blocks of one row of a panel, as the file had them.
void unpack_panel_row(PanelType type, uint8_t* row, const uint8_t* panel, size_t blocks, size_t index);

/// The sets, each defined in its folder.
extern const KernelSet kScalar;
extern const KernelSet kSse2;
extern const KernelSet kAvx2;
extern const KernelSet kAvxVnni;
extern const KernelSet kAvx512;
extern const KernelSet kAvx512Vnni;
extern const KernelSet kAmxInt8;
extern const KernelSet kAmxBf16;

} // namespace llmk::djiblas
