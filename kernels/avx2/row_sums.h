// SPDX-License-Identifier: MIT
//
// Sums of single rows of weights that are floats of 16 or 32 bits, and products that read several rows side by side.
#pragma once

#include "kernels/avx2/vector.h"

namespace llmk::djiblas::avx2 {

namespace {

struct F32 {
    static constexpr size_t kBytes = 4;
    static __m256 load(const uint8_t* w) { return _mm256_loadu_ps(reinterpret_cast<const float*>(w)); }
};

struct F16 {
    static constexpr size_t kBytes = 2;
    static __m256 load(const uint8_t* w)
    {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
    }
};

struct Bf16 {
    static constexpr size_t kBytes = 2;
    static __m256 load(const uint8_t* w)
    {
        const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    }
};

/// Sums of a row: four, that hide the latency of the multiply-add.
constexpr size_t kRowSums = 4;
/// Columns of a step.
constexpr size_t kRowStep = kRowSums * kLanes;

/// What the columns after the last whole step add to a row's sums, and all of them together.
template <class Type> float end_of_row(const __m256 (&sums)[kRowSums], const uint8_t* w, const float* x, size_t left)
{
    __m256 first = sums[0];
    for (; left >= kLanes; left -= kLanes, w += kLanes * Type::kBytes, x += kLanes) {
        first = _mm256_fmadd_ps(Type::load(w), _mm256_loadu_ps(x), first);
    }
    if (left != 0) {
        alignas(32) uint8_t weights[kLanes * Type::kBytes] = {};
        __builtin_memcpy(weights, w, left * Type::kBytes);
        first = _mm256_fmadd_ps(Type::load(weights), _mm256_maskload_ps(x, lane_mask(left)), first);
    }
    return sum_lanes(_mm256_add_ps(_mm256_add_ps(first, sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

/// Rows that are read side by side.
constexpr size_t kTurnRows = 8;

/// Up to kTurnRows rows, two cache lines of each in turn: much memory gives more where it is asked in several places.
/// `apart` rows lie between one and the next, also in y; kAhead bytes ahead of its loads lines are asked for. Each
/// row's sum is made in the order that it has alone.
template <class Type, size_t kAhead>
void rows_in_turn(float* y, const uint8_t* w, const float* x, size_t rows, size_t apart, size_t n)
{
    static_assert(kPlaces <= kTurnRows);
    constexpr size_t kLine = 64;
    constexpr size_t kTurnBytes = 2 * kLine;
    constexpr size_t kTurn = kTurnBytes / Type::kBytes;
    const size_t apart_bytes = apart * n * Type::kBytes;
    __m256 sums[kTurnRows][kRowSums];
    for (size_t r = 0; r < kTurnRows; r++) {
        for (size_t i = 0; i < kRowSums; i++) {
            sums[r][i] = _mm256_setzero_ps();
        }
    }
    size_t c = 0;
    for (; c + kTurn <= n; c += kTurn) {
#pragma GCC unroll 1
        for (size_t r = 0; r < rows; r++) {
            const uint8_t* const at = w + r * apart_bytes + c * Type::kBytes;
            prefetch(at, kAhead);
            prefetch(at, kAhead + kLine);
#pragma GCC unroll 8
            for (size_t i = 0; i < kTurn / kLanes; i++) {
                __m256& sum = sums[r][i % kRowSums];
                sum = _mm256_fmadd_ps(Type::load(at + i * kLanes * Type::kBytes), _mm256_loadu_ps(x + c + i * kLanes),
                                      sum);
            }
        }
    }
    for (size_t r = 0; r < rows; r++) {
        const uint8_t* at = w + r * apart_bytes + c * Type::kBytes;
        size_t done = c;
        for (; done + kRowStep <= n; done += kRowStep) {
            for (size_t i = 0; i < kRowSums; i++, at += kLanes * Type::kBytes) {
                sums[r][i] = _mm256_fmadd_ps(Type::load(at), _mm256_loadu_ps(x + done + i * kLanes), sums[r][i]);
            }
        }
        y[r * apart] = end_of_row<Type>(sums[r], at, x + done, n - done);
    }
}

template <class Type> void gemv_side_by_side(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r += kTurnRows) {
        const size_t count = rows - r < kTurnRows ? rows - r : kTurnRows;
        rows_in_turn<Type, 512>(y + r, w + r * cols * Type::kBytes, x, count, 1, cols);
    }
}

/// WeightReading::in_places. Further ahead would take a third of a Zen 3's speed.
template <class Type> void gemv_in_places(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    constexpr size_t kAhead = 256;
    const size_t row_bytes = cols * Type::kBytes;
    const size_t each = rows / kPlaces;
    for (size_t r = 0; r < each; r++) {
        rows_in_turn<Type, kAhead>(y + r, w + r * row_bytes, x, kPlaces, each, cols);
    }
    const size_t done = kPlaces * each;
    rows_in_turn<Type, kAhead>(y + done, w + done * row_bytes, x, rows - done, 1, cols);
}

} // namespace

} // namespace llmk::djiblas::avx2
