// SPDX-License-Identifier: MIT
//
// llama2.c's Q8_0: products of int8 are exact in int32 for all values, -128 included (so no vpmaddubsw, which saturates
// and has no negative of -128), then scaled in float. Groups of a multiple of 32 take the wide path, 4, 8 and 16 a path
// that sums four columns to a lane, all others one group at a time.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vector.h"

namespace llmk::djiblas::avx2 {

namespace {

constexpr size_t kBytes = 16;

/// Sixteen int8 as int16.
inline __m256i widen(const int8_t* p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// Four scales at any address.
inline __m128 load_scales(const UnalignedF32* p)
{
    __m128 scales;
    __builtin_memcpy(&scales, p, sizeof scales);
    return scales;
}

/// The exact sum of products of n bytes. Lanes are emptied before they could overflow.
float products(const int8_t* w, const int8_t* x, size_t n)
{
    constexpr size_t kChunk = 32768;
    int64_t sum = 0;
    size_t i = 0;
    while (n - i >= kBytes) {
        const size_t end = n - i < kChunk ? n & ~(kBytes - 1) : i + kChunk;
        __m256i lanes = _mm256_setzero_si256();
        for (; i + kBytes <= end; i += kBytes) {
            lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(widen(w + i), widen(x + i)));
        }
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
        sum += _mm_cvtsi128_si32(four);
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
        return _mm_movelh_ps(_mm_set1_ps(scales[0]), _mm_set1_ps(scales[1]));
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
        const __m256i pairs = _mm256_madd_epi16(widen(w + c), widen(x + c));
        const __m128i fours = _mm_hadd_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        const __m128 scale = _mm_mul_ps(spread_scales<kGroup>(w_scales + g), spread_scales<kGroup>(x_scales + g));
        sum = _mm_fmadd_ps(_mm_cvtepi32_ps(fours), scale, sum);
    }
    const Shape rest = {shape.cols - c, kGroup, shape.groups - g};
    return sum_lanes(_mm256_zextps128_ps256(sum)) + row_any(w + c, w_scales + g, x + c, x_scales + g, rest);
}

/// Groups of a multiple of 32: kRows x kBatch outputs, 32 columns at a time.
template <size_t kRows, size_t kBatch> void tile_wide(float* y, size_t y_stride, const int8_t* w,
                                                      const UnalignedF32* w_scales, const int8_t* x,
                                                      const float* x_scales, const Shape& shape)
{
    __m256 sums[kBatch][kRows];
    for (size_t b = 0; b < kBatch; b++) {
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r] = _mm256_setzero_ps();
        }
    }
    size_t c = 0;
    for (size_t g = 0; g < shape.groups; g++) {
        for (const size_t end = c + shape.group; c < end; c += 2 * kBytes) {
            if constexpr (kBatch == 1) { // GEMV waits for memory: ask for the same columns of the next rows
                for (size_t r = kRows; r < 2 * kRows; r++) {
                    prefetch(w, r * shape.cols + c);
                }
            }
            __m256i x0[kBatch];
            __m256i x1[kBatch];
            for (size_t b = 0; b < kBatch; b++) {
                x0[b] = widen(x + b * shape.cols + c);
                x1[b] = widen(x + b * shape.cols + c + kBytes);
            }
#pragma GCC unroll 8
            for (size_t r = 0; r < kRows; r++) {
                const __m256i w0 = widen(w + r * shape.cols + c);
                const __m256i w1 = widen(w + r * shape.cols + c + kBytes);
                const __m256 w_scale = _mm256_set1_ps(w_scales[r * shape.groups + g]);
                for (size_t b = 0; b < kBatch; b++) {
                    const __m256i exact = _mm256_add_epi32(_mm256_madd_epi16(w0, x0[b]), _mm256_madd_epi16(w1, x1[b]));
                    // Two vector multiplications: broadcasting from memory is free, from a register it is not.
                    const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(exact), w_scale);
                    const __m256 x_scale = _mm256_set1_ps(x_scales[b * shape.groups + g]);
                    sums[b][r] = _mm256_fmadd_ps(scaled, x_scale, sums[b][r]);
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
inline __m256i round_to_int(__m256 v)
{
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    v = _mm256_max_ps(_mm256_set1_ps(-127.0f), _mm256_min_ps(_mm256_set1_ps(127.0f), v));
    const __m256i whole = _mm256_cvttps_epi32(v);
    const __m256 cut = _mm256_sub_ps(v, _mm256_cvtepi32_ps(whole));
    // All ones is -1: subtract it to go up, add it to go down.
    const __m256i up = _mm256_castps_si256(_mm256_cmp_ps(cut, _mm256_set1_ps(0.5f), _CMP_GE_OQ));
    const __m256i down = _mm256_castps_si256(_mm256_cmp_ps(cut, _mm256_set1_ps(-0.5f), _CMP_LE_OQ));
    return _mm256_add_epi32(_mm256_sub_epi32(whole, up), down);
}

/// The largest magnitude, compared as bit patterns: a NaN is above all and stays.
float peak_magnitude(const float* x, size_t n)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i peak = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += kLanes) {
        const __m256 v = _mm256_maskload_ps(x + i, lane_mask(n - i < kLanes ? n - i : kLanes));
        peak = _mm256_max_epi32(peak, _mm256_and_si256(_mm256_castps_si256(v), magnitude));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(peak), _mm256_extracti128_si256(peak, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_castsi128_ps(four));
}

} // namespace

void quantize_q8(int8_t* q, float* scales, const float* x, size_t n, size_t group)
{
    for (size_t start = 0; start < n; start += group) {
        const float scale = peak_magnitude(x + start, group) / 127.0f;
        *scales++ = scale;
        // Dividing by zero gives NaN or infinity; the mask makes both zero.
        const __m256 keep = _mm256_cmp_ps(_mm256_set1_ps(scale), _mm256_setzero_ps(), _CMP_NEQ_UQ);
        for (size_t i = 0; i < group; i += kLanes) {
            const size_t left = group - i < kLanes ? group - i : kLanes;
            const __m256 v = _mm256_maskload_ps(x + start + i, lane_mask(left));
            const __m256i rounded = round_to_int(_mm256_and_ps(keep, _mm256_div_ps(v, _mm256_set1_ps(scale))));
            const __m128i packed =
                _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
            const long long eight = _mm_cvtsi128_si64(_mm_packs_epi16(packed, packed));
            if (left == kLanes) { // a copy of known size is one instruction
                __builtin_memcpy(q + start + i, &eight, kLanes);
            } else {
                __builtin_memcpy(q + start + i, &eight, left);
            }
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

} // namespace llmk::djiblas::avx2
