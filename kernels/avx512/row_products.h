// SPDX-License-Identifier: MIT
//
// Products of rows of weights that are floats of 16 or 32 bits with a few inputs: what memory is asked for while they
// go by, and in which order sums are made.
#pragma once

#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

struct F32 {
    static constexpr size_t kBytes = 4;
    static __m512 load(const uint8_t* w) { return _mm512_loadu_ps(w); }
    static __m512 load(__mmask16 mask, const uint8_t* w) { return _mm512_maskz_loadu_ps(mask, w); }
};

struct F16 {
    static constexpr size_t kBytes = 2;
    static __m512 load(const uint8_t* w)
    {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
    }
    static __m512 load(__mmask16 mask, const uint8_t* w) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w)); }
};

struct Bf16 {
    static constexpr size_t kBytes = 2;
    static __m512 widen(__m256i halves)
    {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
    static __m512 load(const uint8_t* w) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))); }
    static __m512 load(__mmask16 mask, const uint8_t* w) { return widen(_mm256_maskz_loadu_epi16(mask, w)); }
};

/// What all products of one call have in common.
struct Rows {
    size_t y_stride;
    size_t x_stride;
    size_t cols;
    size_t apart = 1; ///< rows of w, and of y, from one to the next
};

/// y[b][r] = w[r] . x[b] for kRows rows and kBatch inputs, a cache line or two of a row at a time. Meanwhile later
/// lines are asked for. (As one stream a Zen 5's memory gives 96 % of what it gives to a plain loop, side by side 80 %;
/// it is the other way round on a Xeon, whose memory answers late.) Past the last row there is nothing, and a prefetch
/// does not mind: it is an address, not an access. The order of operations of a sum is the same for any kRows and
/// kBatch.
template <class Type, size_t kRows, size_t kBatch, WeightReading kReading = WeightReading::one_stream>
void rows_dot(float* y, const uint8_t* w, const float* x, const Rows& rows)
{
    constexpr size_t kSums = 2; // of a product; hide the latency of the multiply-add
    constexpr size_t kLine = 64;
    constexpr size_t kLines = kSums * kLanes * Type::kBytes / kLine;            // of a row at a time
    constexpr size_t kAhead = kReading == WeightReading::in_places ? 256 : 512; // bytes, not as one stream
    const size_t n = rows.cols;
    const size_t x_stride = rows.x_stride;
    const size_t w_stride = rows.apart * n * Type::kBytes;
    __m512 sums[kBatch][kRows][kSums];
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            sums[b][r][0] = sums[b][r][1] = _mm512_setzero_ps();
        }
    }
    size_t ahead = kRows * w_stride;
    size_t c = 0;
    for (; c + kSums * kLanes <= n; c += kSums * kLanes) {
        if constexpr (kReading == WeightReading::one_stream) {
#pragma GCC unroll 8
            for (size_t line = 0; line < kLines * kRows; line++, ahead += kLine) {
                prefetch(w, ahead);
            }
        } else if constexpr (kLines == 1 || kReading == WeightReading::in_places) {
            // Side by side, the processor asks for the next of two lines in a row by itself.
#pragma GCC unroll 8
            for (size_t r = 0; r < kRows; r++) {
#pragma GCC unroll 2
                for (size_t line = 0; line < kLines; line++) {
                    prefetch(w, r * w_stride + c * Type::kBytes + kAhead + line * kLine);
                }
            }
        }
#pragma GCC unroll 2
        for (size_t i = 0; i < kSums; i++) {
            __m512 inputs[kBatch];
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                inputs[b] = _mm512_loadu_ps(x + b * x_stride + c + i * kLanes);
            }
#pragma GCC unroll 8
            for (size_t r = 0; r < kRows; r++) {
                const __m512 weights = Type::load(w + r * w_stride + (c + i * kLanes) * Type::kBytes);
#pragma GCC unroll 8
                for (size_t b = 0; b < kBatch; b++) {
                    sums[b][r][i] = _mm512_fmadd_ps(weights, inputs[b], sums[b][r][i]);
                }
            }
        }
    }
    for (; c < n; c += kLanes) {
        const __mmask16 mask = lane_mask(n - c);
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            const __m512 weights = Type::load(mask, w + r * w_stride + c * Type::kBytes);
#pragma GCC unroll 8
            for (size_t b = 0; b < kBatch; b++) {
                const __m512 inputs = _mm512_maskz_loadu_ps(mask, x + b * x_stride + c);
                sums[b][r][0] = _mm512_fmadd_ps(weights, inputs, sums[b][r][0]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t b = 0; b < kBatch; b++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < kRows; r++) {
            y[b * rows.y_stride + r * rows.apart] = sum_lanes(_mm512_add_ps(sums[b][r][0], sums[b][r][1]));
        }
    }
}

template <class Type, WeightReading kReading>
void gemv(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    const Rows one = {0, 0, cols};
    const size_t w_stride = cols * Type::kBytes;
    size_t r = 0;
    if constexpr (kReading == WeightReading::in_places) {
        const size_t each = rows / kPlaces;
        for (; r < each; r++) {
            rows_dot<Type, kPlaces, 1, kReading>(y + r, w + r * w_stride, x, {0, 0, cols, each});
        }
        r = kPlaces * each;
    }
    if constexpr (kReading == WeightReading::side_by_side) {
        for (; r + 8 <= rows; r += 8) {
            rows_dot<Type, 8, 1, kReading>(y + r, w + r * w_stride, x, one);
        }
    }
    for (; r + 4 <= rows; r += 4) {
        rows_dot<Type, 4, 1, kReading>(y + r, w + r * w_stride, x, one);
    }
    for (; r < rows; r++) {
        rows_dot<Type, 1, 1, kReading>(y + r, w + r * w_stride, x, one);
    }
}

} // namespace

} // namespace llmk::djiblas::avx512
