// SPDX-License-Identifier: MIT
//
// llama2.c's Q8_0: products of int8 are exact in int32 for all values, -128 included, then scaled in float. Groups of a
// multiple of 32 take the wide path, 4, 8 and 16 a path that sums four columns to a lane, all others one group at a
// time.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

constexpr size_t kBytes = 16;

inline __m128i load(const int8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

/// Four scales at any address.
inline __m128 load_scales(const UnalignedF32* p)
{
    __m128 scales;
    __builtin_memcpy(&scales, p, sizeof scales);
    return scales;
}

/// int8 as int16. SSE2 has no sign extension: each byte is doubled, and the upper copy shifted down with its sign.
struct Wide {
    __m128i low;
    __m128i high;
};
inline Wide widen(__m128i v)
{
    return {_mm_srai_epi16(_mm_unpacklo_epi8(v, v), 8), _mm_srai_epi16(_mm_unpackhi_epi8(v, v), 8)};
}

/// Products of 16 bytes, summed by fours and scaled by 256: one factor is left in the upper byte of its lane, which
/// saves its sign extension. At most 4 * 2^14 * 2^8 = 2^24 a lane, 2^25 for two calls: exact.
constexpr float kShifted = 1.0f / 256.0f;
inline __m128i products_shifted(__m128i w, const Wide& x)
{
    const __m128i zero = _mm_setzero_si128();
    return _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi8(zero, w), x.low),
                         _mm_madd_epi16(_mm_unpackhi_epi8(zero, w), x.high));
}

/// The exact sum of products of n bytes. Lanes are emptied before they could overflow.
float products(const int8_t* w, const int8_t* x, size_t n)
{
    constexpr size_t kChunk = 32768;
    int64_t sum = 0;
    size_t i = 0;
    while (n - i >= kBytes) {
        const size_t end = n - i < kChunk ? n & ~(kBytes - 1) : i + kChunk;
        __m128i lanes = _mm_setzero_si128();
        for (; i + kBytes <= end; i += kBytes) {
            const Wide wide_w = widen(load(w + i));
            const Wide wide_x = widen(load(x + i));
            lanes = _mm_add_epi32(lanes, _mm_madd_epi16(wide_w.low, wide_x.low));
            lanes = _mm_add_epi32(lanes, _mm_madd_epi16(wide_w.high, wide_x.high));
        }
        lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, _MM_SHUFFLE(1, 0, 3, 2)));
        lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, _MM_SHUFFLE(2, 3, 0, 1)));
        sum += _mm_cvtsi128_si32(lanes);
    }
    for (; i < n; i++) {
        sum += w[i] * x[i];
    }
    return static_cast<float>(sum);
}

struct Shape {
    size_t cols;
    size_t group;
    size_t groups; ///< a row
};

/// Any group size: one group at a time.
float row_any(const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales, const Shape& shape)
{
    float sum = 0.0f;
    for (size_t g = 0; g < shape.groups; g++) {
        sum += products(w + g * shape.group, x + g * shape.group, shape.group) * w_scales[g] * x_scales[g];
    }
    return sum;
}

/// The scales of the groups of 16 columns, one for each four columns.
template <size_t kGroup> inline __m128 spread_scales(const UnalignedF32* scales)
{
    if constexpr (kGroup == 4) {
        return load_scales(scales);
    } else if constexpr (kGroup == 8) {
        const __m128 first = _mm_set1_ps(scales[0]);
        return _mm_movelh_ps(first, _mm_set1_ps(scales[1]));
    } else {
        return _mm_set1_ps(scales[0]);
    }
}

/// Groups of 4, 8 or 16. Sixteen columns at a time; the last few groups go one by one.
template <size_t kGroup> float row_small(const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
                                         const float* x_scales, const Shape& shape)
{
    __m128 sum = _mm_setzero_ps();
    size_t c = 0;
    size_t g = 0;
    for (; c + kBytes <= shape.cols; c += kBytes, g += kBytes / kGroup) {
        const Wide wide_w = widen(load(w + c));
        const Wide wide_x = widen(load(x + c));
        // Pairs of columns, then fours: even and odd pairs side by side and added.
        const __m128 low = _mm_castsi128_ps(_mm_madd_epi16(wide_w.low, wide_x.low));
        const __m128 high = _mm_castsi128_ps(_mm_madd_epi16(wide_w.high, wide_x.high));
        const __m128i fours = _mm_add_epi32(_mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))),
                                            _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
        const __m128 scale = _mm_mul_ps(spread_scales<kGroup>(w_scales + g), spread_scales<kGroup>(x_scales + g));
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_cvtepi32_ps(fours), scale));
    }
    const Shape rest = {shape.cols - c, kGroup, shape.groups - g};
    return sum_lanes(sum) + row_any(w + c, w_scales + g, x + c, x_scales + g, rest);
}

/// Groups of a multiple of 32: kRows x kBatch outputs, 32 columns at a time.
template <size_t kRows, size_t kBatch> void tile_wide(float* y, size_t y_stride, const int8_t* w,
                                                      const UnalignedF32* w_scales, const int8_t* x,
                                                      const float* x_scales, const Shape& shape)
{
    __m128 sums[kBatch][kRows];
    for (size_t b = 0; b < kBatch; b++) {
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm_setzero_ps();
        }
    }
    size_t c = 0;
    for (size_t g = 0; g < shape.groups; g++) {
        for (const size_t end = c + shape.group; c < end; c += 2 * kBytes) {
            for (size_t b = 0; b < kBatch; b++) {
                const Wide x0 = widen(load(x + b * shape.cols + c));
                const Wide x1 = widen(load(x + b * shape.cols + c + kBytes));
                const float x_scale = x_scales[b * shape.groups + g] * kShifted;
#pragma GCC unroll 8
                for (size_t r = 0; r < kRows; r++) {
                    const int8_t* row = w + r * shape.cols + c;
                    const __m128i exact =
                        _mm_add_epi32(products_shifted(load(row), x0), products_shifted(load(row + kBytes), x1));
                    const __m128 scale = _mm_set1_ps(w_scales[r * shape.groups + g] * x_scale);
                    sums[b][r] = _mm_add_ps(sums[b][r], _mm_mul_ps(_mm_cvtepi32_ps(exact), scale));
                }
            }
        }
    }
    for (size_t b = 0; b < kBatch; b++) {
        for (size_t r = 0; r < kRows; r++) {
            y[b * y_stride + r] = sum_lanes(sums[b][r]);
        }
    }
}

template <size_t kRows> void rows_wide(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales,
                                       const int8_t* x, const float* x_scales, const Shape& shape, size_t batch)
{
    size_t b = 0;
    for (; b + 2 <= batch; b += 2) {
        tile_wide<kRows, 2>(y + b * y_stride, y_stride, w, w_scales, x + b * shape.cols, x_scales + b * shape.groups,
                            shape);
    }
    if (b < batch) {
        tile_wide<kRows, 1>(y + b * y_stride, y_stride, w, w_scales, x + b * shape.cols, x_scales + b * shape.groups,
                            shape);
    }
}

using RowFunction = float (*)(const int8_t*, const UnalignedF32*, const int8_t*, const float*, const Shape&);

RowFunction row_function(size_t group)
{
    switch (group) {
    case 4:
        return row_small<4>;
    case 8:
        return row_small<8>;
    case 16:
        return row_small<16>;
    default:
        return row_any;
    }
}

// --- quantizing -----------------------------------------------------------------------------------------------------

/// Half away from zero, as round(): truncate, then step by one where a half or more was cut. Every step is exact. NaN
/// becomes 0; what a subnormal scale puts out of range is clamped.
inline __m128i round_to_int(__m128 v)
{
    v = _mm_and_ps(v, _mm_cmpord_ps(v, v));
    v = _mm_max_ps(_mm_set1_ps(-127.0f), _mm_min_ps(_mm_set1_ps(127.0f), v));
    const __m128i whole = _mm_cvttps_epi32(v);
    const __m128 cut = _mm_sub_ps(v, _mm_cvtepi32_ps(whole));
    // All ones is -1: subtract it to go up, add it to go down.
    const __m128i up = _mm_castps_si128(_mm_cmpge_ps(cut, _mm_set1_ps(0.5f)));
    const __m128i down = _mm_castps_si128(_mm_cmple_ps(cut, _mm_set1_ps(-0.5f)));
    return _mm_add_epi32(_mm_sub_epi32(whole, up), down);
}

inline __m128i max_epi32(__m128i a, __m128i b)
{
    const __m128i greater = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(greater, a), _mm_andnot_si128(greater, b));
}

/// The largest magnitude, compared as bit patterns: a NaN is above all and stays.
float peak_magnitude(const float* x, size_t n)
{
    const __m128i magnitude = _mm_set1_epi32(0x7fffffff);
    __m128i peak = _mm_setzero_si128();
    for (size_t i = 0; i < n; i += kLanes) {
        const __m128 v = n - i < kLanes ? load_tail(x + i, n - i) : _mm_loadu_ps(x + i);
        peak = max_epi32(peak, _mm_and_si128(_mm_castps_si128(v), magnitude));
    }
    peak = max_epi32(peak, _mm_shuffle_epi32(peak, _MM_SHUFFLE(1, 0, 3, 2)));
    peak = max_epi32(peak, _mm_shuffle_epi32(peak, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_castsi128_ps(peak));
}

} // namespace

void quantize_q8(int8_t* q, float* scales, const float* x, size_t n, size_t group)
{
    for (size_t start = 0; start < n; start += group) {
        const float scale = peak_magnitude(x + start, group) / 127.0f;
        *scales++ = scale;
        // Dividing by zero gives NaN or infinity; the mask makes both zero.
        const __m128 keep = _mm_cmpneq_ps(_mm_set1_ps(scale), _mm_setzero_ps());
        for (size_t i = 0; i < group; i += kLanes) {
            const size_t left = group - i < kLanes ? group - i : kLanes;
            const float* from = x + start + i;
            const __m128 v = left < kLanes ? load_tail(from, left) : _mm_loadu_ps(from);
            const __m128i rounded = round_to_int(_mm_and_ps(keep, _mm_div_ps(v, _mm_set1_ps(scale))));
            const __m128i packed = _mm_packs_epi32(rounded, rounded);
            const int four = _mm_cvtsi128_si32(_mm_packs_epi16(packed, packed));
            __builtin_memcpy(q + start + i, &four, left);
        }
    }
}

void gemm_q8(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
             const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch)
{
    const Shape shape = {cols, group, cols / group};
    size_t r = 0;
    if (group % (2 * kBytes) == 0) {
        constexpr size_t kTileRows = 4;
        for (; r + kTileRows <= rows; r += kTileRows) {
            rows_wide<kTileRows>(y + r, y_stride, w + r * cols, w_scales + r * shape.groups, x, x_scales, shape, batch);
        }
        for (; r < rows; r++) {
            rows_wide<1>(y + r, y_stride, w + r * cols, w_scales + r * shape.groups, x, x_scales, shape, batch);
        }
        return;
    }
    const RowFunction row = row_function(group);
    for (; r < rows; r++) {
        for (size_t b = 0; b < batch; b++) {
            y[b * y_stride + r] =
                row(w + r * cols, w_scales + r * shape.groups, x + b * cols, x_scales + b * shape.groups, shape);
        }
    }
}

void gemv_q8(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
             size_t rows, size_t cols, size_t group)
{
    gemm_q8(y, rows, w, w_scales, x, x_scales, rows, cols, group, 1);
}

} // namespace llmk::djiblas::sse2
