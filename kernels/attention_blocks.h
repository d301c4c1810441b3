// SPDX-License-Identifier: MIT
//
// Attention in one pass over keys and values, a block of positions at a time, written once over the few vector
// operations that an instruction set brings. Up to four rows (a query of one head) go together, so that what is loaded
// and unpacked of a block serves them all. A row's result does not depend on which rows go with it, nor on where in a
// batch it stands: blocks begin at multiples of kBlock.
//
// A set's attention.cpp defines LLMK_KERNEL_SET, the name of its namespace, and `Isa` in an anonymous namespace there,
// and then includes this file, which is in that anonymous namespace too: the linker never sees two copies of one name.
// kLanes, sum_lanes() and exp() are those of the set's vector.h, softcap() is the set's own.
//
// `Isa` has: Floats, a vector of kLanes floats; and
//   Floats load(p), void store(p, v): at any address
//   Floats load_tail(p, n), void store_tail(p, v, n): the first n lanes, 0 < n < kLanes, zeros for the others; no
//     memory behind them is touched
//   Floats fma(a, b, c): a * b + c, fused or not
//   Floats max(a, b), float largest(v): a NaN may get lost
//   F32, F16, Q80: how a row, a key or a value, is packed: bytes(head_dim) of it; load(row, i), kLanes values from the
//     i-th on, a multiple of kLanes; tail(row, i, n), the last n < kLanes with zeros behind them; plain(rows, bytes),
//     whether load and tail are right for these bytes, and Careful, the type to take where they are not.
#pragma once

#include "kernels/djiblas.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

using Floats = Isa::Floats;
using Four [[gnu::vector_size(16)]] = float;

/// Positions of a block.
constexpr size_t kBlock = 64;
/// Rows that go through a block before the next is taken, while it is in the first-level cache.
constexpr size_t kRows = 32;
constexpr float kInfinity = __builtin_inff();

inline Floats splat(float v) { return Floats{} + v; }

/// A query of one head on its way through the blocks.
struct Row {
    const float* query;
    float* out;        ///< sum of exp(score - peak) * value
    float peak;        ///< the largest score so far
    float sum;         ///< of exp(score - peak)
    size_t first, end; ///< positions that it sees
};

/// The scores of kN rows and kK keys, undivided, a vector of partial sums each.
template <class Packed, size_t kN, size_t kK>
inline void dots(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim, Floats (&sums)[kN][kK])
{
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            sums[n][k] = Floats{};
        }
    }
    const auto add = [&](const Floats(&key)[kK], auto load_query) {
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const Floats query = load_query(rows[n].query);
#pragma GCC unroll 8
            for (size_t k = 0; k < kK; k++) {
                sums[n][k] = Isa::fma(query, key[k], sums[n][k]);
            }
        }
    };
    Floats key[kK];
    size_t i = 0;
    for (; i + kLanes <= head_dim; i += kLanes) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::load(keys + k * row_bytes, i);
        }
        add(key, [i](const float* query) { return Isa::load(query + i); });
    }
    if (i < head_dim) {
        const size_t count = head_dim - i;
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::tail(keys + k * row_bytes, i, count);
        }
        add(key, [i, count](const float* query) { return Isa::load_tail(query + i, count); });
    }
}

/// scores[n][t] for the positions [from, to) of the block at `keys`, undivided.
template <class Packed, size_t kN> void block_scores(float (*scores)[kBlock], const Row* rows, const uint8_t* keys,
                                                     size_t from, size_t to, size_t head_dim)
{
    const size_t row_bytes = Packed::bytes(head_dim);
    size_t t = from;
    if constexpr (kN == 4) {
        for (; t + 2 <= to; t += 2) {
            Floats sums[4][2];
            dots<Packed, 4, 2>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
#pragma GCC unroll 2
            for (size_t n = 0; n < 4; n += 2) {
                const Four pairs = sum_lanes(sums[n][0], sums[n][1], sums[n + 1][0], sums[n + 1][1]);
                __builtin_memcpy(scores[n] + t, &pairs, sizeof pairs / 2);
                __builtin_memcpy(scores[n + 1] + t, reinterpret_cast<const float*>(&pairs) + 2, sizeof pairs / 2);
            }
        }
    } else {
        for (; t + 4 <= to; t += 4) {
            Floats sums[kN][4];
            dots<Packed, kN, 4>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
#pragma GCC unroll 2
            for (size_t n = 0; n < kN; n++) {
                const Four four = sum_lanes(sums[n][0], sums[n][1], sums[n][2], sums[n][3]);
                __builtin_memcpy(scores[n] + t, &four, sizeof four);
            }
        }
    }
    for (; t < to; t++) {
        Floats sums[kN][1];
        dots<Packed, kN, 1>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
        for (size_t n = 0; n < kN; n++) {
            // As the four together are added.
            scores[n][t] = Four(sum_lanes(sums[n][0], sums[n][0], sums[n][0], sums[n][0]))[0];
        }
    }
}

/// A row's scores of a block become its weights: exp(score - peak), 0 where it does not see the position. `start` is
/// the block's first position; [from, to) are those of it that any row sees. Returns by what all so far is multiplied.
float block_weights(float* scores, Row& row, size_t start, size_t from, size_t to, float scale, float cap)
{
    const size_t low = from / kLanes * kLanes;
    const size_t high = (to + kLanes - 1) / kLanes * kLanes;
    for (size_t t = low; t < high; t += kLanes) {
        Isa::store(scores + t, Isa::load(scores + t) * splat(scale));
    }
    if (cap != 0.0f) {
        softcap(scores + low, high - low, cap);
    }
    for (size_t t = low; t < high && start + t < row.first; t++) {
        scores[t] = -kInfinity;
    }
    for (size_t t = row.end > start + low ? row.end - start : low; t < high; t++) {
        scores[t] = -kInfinity;
    }
    Floats lanes = splat(row.peak);
    for (size_t t = low; t < high; t += kLanes) {
        lanes = Isa::max(lanes, Isa::load(scores + t));
    }
    const float peak = Isa::largest(lanes);
    const Floats base = splat(peak == -kInfinity ? 0.0f : peak);
    Floats sums = Floats{};
    for (size_t t = low; t < high; t += kLanes) {
        const Floats weights = exp(Isa::load(scores + t) - base);
        Isa::store(scores + t, weights);
        sums += weights;
    }
    const float factor = peak == row.peak ? 1.0f : exp(splat(row.peak) - base)[0];
    row.peak = peak;
    row.sum = row.sum * factor + sum_lanes(sums);
    return factor;
}

/// out = out * factor + sum over t in [from, to) of weight[t] * value[t], for kV registers of columns from column i on.
template <class Packed, size_t kN, size_t kV>
inline void add_columns(const Row* rows, const float* factors, const float (*weights)[kBlock], const uint8_t* values,
                        size_t row_bytes, size_t from, size_t to, size_t i)
{
    Floats sums[kN][kV];
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            sums[n][v] = Isa::load(rows[n].out + i + v * kLanes) * splat(factors[n]);
        }
    }
    const uint8_t* row = values + from * row_bytes;
    for (size_t t = from; t < to; t++, row += row_bytes) {
        Floats value[kV];
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            value[v] = Packed::load(row, i + v * kLanes);
        }
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const Floats weight = splat(weights[n][t]);
#pragma GCC unroll 8
            for (size_t v = 0; v < kV; v++) {
                sums[n][v] = Isa::fma(value[v], weight, sums[n][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            Isa::store(rows[n].out + i + v * kLanes, sums[n][v]);
        }
    }
}

/// The last columns, fewer than a vector.
template <class Packed> void add_last_columns(const Row& row, float factor, const float* weights, const uint8_t* values,
                                              size_t row_bytes, size_t from, size_t to, size_t i, size_t count)
{
    Floats sum = Isa::load_tail(row.out + i, count) * splat(factor);
    for (size_t t = from; t < to; t++) {
        sum = Isa::fma(Packed::tail(values + t * row_bytes, i, count), splat(weights[t]), sum);
    }
    Isa::store_tail(row.out + i, sum, count);
}

template <class Packed, size_t kN> void add_values(const Row* rows, const float* factors,
                                                   const float (*weights)[kBlock], const uint8_t* values, size_t from,
                                                   size_t to, size_t head_dim)
{
    constexpr size_t kV = 8 / kN;
    const size_t row_bytes = Packed::bytes(head_dim);
    size_t i = 0;
    for (; i + kV * kLanes <= head_dim; i += kV * kLanes) {
        add_columns<Packed, kN, kV>(rows, factors, weights, values, row_bytes, from, to, i);
    }
    for (; i + kLanes <= head_dim; i += kLanes) {
        add_columns<Packed, kN, 1>(rows, factors, weights, values, row_bytes, from, to, i);
    }
    for (size_t n = 0; i < head_dim && n < kN; n++) {
        add_last_columns<Packed>(rows[n], factors[n], weights[n], values, row_bytes, from, to, i, head_dim - i);
    }
}

/// kN rows through the block of positions from `start` on.
template <class Packed, size_t kN> void run_block(const AttentionTask& task, Row* rows, size_t start)
{
    size_t first = SIZE_MAX;
    size_t end = 0;
    for (size_t n = 0; n < kN; n++) {
        first = rows[n].first < first ? rows[n].first : first;
        end = rows[n].end > end ? rows[n].end : end;
    }
    if (end <= start || first >= start + kBlock || first >= end) {
        return;
    }
    const size_t from = first > start ? first - start : 0;
    const size_t to = end - start < kBlock ? end - start : kBlock;
    const size_t offset = start * Packed::bytes(task.head_dim);
    alignas(sizeof(Floats)) float scores[kN][kBlock];
    float factors[kN];
    block_scores<Packed, kN>(scores, rows, task.keys + offset, from, to, task.head_dim);
    for (size_t n = 0; n < kN; n++) {
        factors[n] = block_weights(scores[n], rows[n], start, from, to, 1.0f / task.divisor, task.softcap);
    }
    add_values<Packed, kN>(rows, factors, scores, task.values + offset, from, to, task.head_dim);
}

Row make_row(const AttentionTask& task, size_t index)
{
    const size_t at = index / task.heads;
    const size_t offset = at * task.stride + index % task.heads * task.head_dim;
    const size_t seen = task.position + at + 1;
    const size_t first = seen > task.window ? seen - task.window : 0;
    Row row{task.query + offset,
            task.out + offset,
            -kInfinity,
            0.0f,
            first > task.begin ? first : task.begin,
            seen < task.end ? seen : task.end};
    for (size_t i = 0; i < task.head_dim; i++) {
        row.out[i] = 0.0f;
    }
    return row;
}

void finish_row(const AttentionTask& task, const Row& row, size_t index)
{
    if (task.peaks != nullptr) {
        const size_t at = index / task.heads * (task.stride / task.head_dim) + index % task.heads;
        task.peaks[at] = row.peak;
        task.sums[at] = row.sum;
        return;
    }
    for (size_t i = 0; i < task.head_dim; i++) {
        row.out[i] /= row.sum;
    }
}

/// All rows through the block.
template <class Packed> void run_rows(const AttentionTask& task, Row* rows, size_t count, size_t start)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        run_block<Packed, 4>(task, rows + r, start);
    }
    if (r + 2 <= count) {
        run_block<Packed, 2>(task, rows + r, start);
        r += 2;
    }
    if (r < count) {
        run_block<Packed, 1>(task, rows + r, start);
    }
}

template <class Packed> void attention(const AttentionTask& task)
{
    const size_t total = task.count * task.heads;
    const size_t row_bytes = Packed::bytes(task.head_dim);
    Row rows[kRows];
    for (size_t begin = 0; begin < total; begin += kRows) {
        const size_t count = total - begin < kRows ? total - begin : kRows;
        size_t first = SIZE_MAX;
        size_t end = 0;
        for (size_t r = 0; r < count; r++) {
            rows[r] = make_row(task, begin + r);
            first = rows[r].first < first ? rows[r].first : first;
            end = rows[r].end > end ? rows[r].end : end;
        }
        for (size_t start = first / kBlock * kBlock; first < end && start < end; start += kBlock) {
            const size_t from = first > start ? first : start;
            const size_t bytes = ((end < start + kBlock ? end : start + kBlock) - from) * row_bytes;
            if (Packed::plain(task.keys + from * row_bytes, bytes) &&
                Packed::plain(task.values + from * row_bytes, bytes)) {
                run_rows<Packed>(task, rows, count, start);
            } else {
                run_rows<typename Packed::Careful>(task, rows, count, start);
            }
        }
        for (size_t r = 0; r < count; r++) {
            finish_row(task, rows[r], begin + r);
        }
    }
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
