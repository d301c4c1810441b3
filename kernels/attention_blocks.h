// SPDX-License-Identifier: MIT
//
// Attention in one pass over keys and values, a block of positions at a time, written once over the few vector
// operations that an instruction set brings. Up to four rows (a query of one head) go together, so that what is loaded
// and unpacked of a block serves them all. A row's result does not depend on which rows go with it, nor on where in a
// batch it stands: blocks begin at multiples of kBlock.
//
// A set's attention.cpp defines LLMK_KERNEL_SET, the name of its namespace, and `Isa` in an anonymous namespace there,
// and then includes this file, which is in that anonymous namespace too: the linker never sees two copies of one name.
// kLanes and sum_lanes() are those of the set's vector.h, softcap() is the set's own.
//
// `Isa` has: Floats and Ints, vectors of kLanes 32-bit lanes; kKeys: by how many keys four rows are multiplied at once,
// 2 to 4; kStraight: columns of a key that are multiplied without a loop, a multiple of kLanes; kSums: vectors of sums
// that the registers have room for beside what is added to them; kSummed: of how many vectors sum_lanes() gives the
// sums of their lanes at once, 4 or, as well, 8 (= kLanes); and
//   Floats splat(x): x in all lanes
//   Floats load(p), void store(p, v): at any address; load_once(p): load for a value that is used several times
//   Floats load_tail(p, n), void store_tail(p, v, n): the first n lanes, 0 < n < kLanes, zeros for the others; no
//     memory behind them is touched
//   Floats fma(a, b, c): a * b + c, fused or not
//   Floats max(a, b): b where one of them is NaN
//   F32, F16, Q80: how a row, a key or a value, is packed: bytes(head_dim) of it; load(row, i), kLanes values from the
//     i-th on, a multiple of kLanes; tail(row, i, n), the last n < kLanes with zeros behind them; plain(rows, bytes),
//     whether load and tail are right for these bytes, and Careful, the type to take where they are not.
#pragma once

#include "kernels/attention_rows.h"

#include <type_traits>

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

using Four [[gnu::vector_size(16)]] = float;

/// Keys that are multiplied by kN rows at once, positions of values that are added to them before something is asked
/// for, and vectors of columns of those.
template <size_t kN> constexpr size_t kKeysAtOnce = kN == 4 ? Isa::kKeys : 4;
constexpr size_t kValuesAtOnce = 4;
template <size_t kN> constexpr size_t kVectorsAtOnce = Isa::kSums / kN < 8 ? Isa::kSums / kN : 8;

/// sums[k][n] += query n . key k in kColumns columns from the i-th on; kFirst: there was nothing before.
template <class Packed, size_t kColumns, bool kFirst, size_t kN, size_t kK>
inline void add_products(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t i, Floats (&sums)[kK][kN])
{
#pragma GCC unroll 16
    for (size_t c = 0; c < kColumns; c += kLanes) {
        Floats key[kK];
#pragma GCC unroll 4
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::load(keys + k * row_bytes, i + c);
        }
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++) {
            const Floats query = Isa::load_once(rows[n].query + i + c);
#pragma GCC unroll 4
            for (size_t k = 0; k < kK; k++) {
                sums[k][n] = kFirst && c == 0 ? query * key[k] : Isa::fma(query, key[k], sums[k][n]);
            }
        }
    }
}

/// The scores of kN rows and kK keys, unscaled, a vector of partial sums each.
template <class Packed, size_t kN, size_t kK>
inline void dots(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim, Floats (&sums)[kK][kN])
{
    size_t i = 0;
    if (head_dim >= Isa::kStraight) {
        add_products<Packed, Isa::kStraight, true>(rows, keys, row_bytes, i, sums);
        i += Isa::kStraight;
    } else {
#pragma GCC unroll 4
        for (size_t k = 0; k < kK; k++) {
#pragma GCC unroll 4
            for (size_t n = 0; n < kN; n++) {
                sums[k][n] = Floats{};
            }
        }
    }
    for (; i + Isa::kStraight <= head_dim; i += Isa::kStraight) {
        add_products<Packed, Isa::kStraight, false>(rows, keys, row_bytes, i, sums);
    }
    for (; i + kLanes <= head_dim; i += kLanes) {
        add_products<Packed, kLanes, false>(rows, keys, row_bytes, i, sums);
    }
    if (i < head_dim) {
        const size_t count = head_dim - i;
#pragma GCC unroll 4
        for (size_t k = 0; k < kK; k++) {
            const Floats key = Packed::tail(keys + k * row_bytes, i, count);
#pragma GCC unroll 4
            for (size_t n = 0; n < kN; n++) {
                sums[k][n] = Isa::fma(Isa::load_tail(rows[n].query + i, count), key, sums[k][n]);
            }
        }
    }
}

/// scores[k * kN + n] for kN rows and kK keys, unscaled. The lanes of any sum are added in the same order. (Left alone,
/// gcc makes it a call for every few keys.)
template <class Packed, size_t kN, size_t kK> [[gnu::always_inline]] inline void
key_scores(float* scores, const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim)
{
    Floats sums[kK][kN];
    dots<Packed>(rows, keys, row_bytes, head_dim, sums);
    constexpr size_t kAll = kK * kN;
    const auto sum = [&](size_t i) -> const Floats& { return i < kAll ? sums[i / kN][i % kN] : sums[kK - 1][kN - 1]; };
    size_t i = 0;
    if constexpr (Isa::kSummed == 8) {
#pragma GCC unroll 2
        for (; i + 8 <= kAll; i += 8) {
            Isa::store(scores + i, sum_lanes(sum(i), sum(i + 1), sum(i + 2), sum(i + 3), sum(i + 4), sum(i + 5),
                                             sum(i + 6), sum(i + 7)));
        }
    }
#pragma GCC unroll 4
    for (; i < kAll; i += 4) {
        const Four four = sum_lanes(sum(i), sum(i + 1), sum(i + 2), sum(i + 3));
        __builtin_memcpy(scores + i, &four, (kAll - i < 4 ? kAll - i : 4) * sizeof(float));
    }
}

/// scores[t * kN + n] for the positions [from, to) of a block, unscaled. `keys` begin with the first of them.
template <class Packed, size_t kN> [[gnu::noinline]] void block_scores(float* scores, const Row* rows,
                                                                       const uint8_t* keys, size_t from, size_t to,
                                                                       size_t head_dim, Ahead& needed)
{
    constexpr size_t kK = kKeysAtOnce<kN>;
    const size_t row_bytes = Packed::bytes(head_dim);
    Ahead ahead = needed;
    size_t t = from;
    for (; t + kK <= to; t += kK, keys += kK * row_bytes) {
        ahead.step();
        key_scores<Packed, kN, kK>(scores + t * kN, rows, keys, row_bytes, head_dim);
    }
    for (; kK > 2 && t + 2 <= to; t += 2, keys += 2 * row_bytes) {
        key_scores<Packed, kN, 2>(scores + t * kN, rows, keys, row_bytes, head_dim);
    }
    for (; t < to; t++, keys += row_bytes) {
        key_scores<Packed, kN, 1>(scores + t * kN, rows, keys, row_bytes, head_dim);
    }
    needed = ahead;
}

/// The scores of kN rows, unscaled, become their weights, 2^(score - peak), and factors[n] by what all so far is
/// multiplied. [from, to) is what any of them sees of the block that begins at `start`.
template <size_t kN> [[gnu::noinline]] void
block_weights(float* scores, float* factors, Row* rows, const AttentionTask& task, size_t start, size_t from, size_t to)
{
    constexpr float kLog2E = 0x1.715476p+0f;
    // Whole vectors of each row.
    const size_t low = from / kLanes * kLanes;
    const size_t high = (to + kLanes - 1) / kLanes * kLanes;
    float scale = kLog2E / task.divisor;
    if (task.softcap != 0.0f) {
        for (size_t i = low * kN; i < high * kN; i++) {
            scores[i] /= task.divisor;
        }
        softcap(scores + low * kN, (high - low) * kN, task.softcap);
        scale = kLog2E;
    }
    for (size_t n = 0; n < kN; n++) {
        const Row& row = rows[n];
        for (size_t t = low; t < high && start + t < row.first; t++) {
            scores[t * kN + n] = -kInfinity;
        }
        for (size_t t = row.end > start + low ? row.end - start : low; t < high; t++) {
            scores[t * kN + n] = -kInfinity;
        }
    }
    Floats most[kN];
    for (size_t n = 0; n < kN; n++) {
        most[n] = Isa::splat(-kInfinity);
    }
    for (size_t i = low * kN; i < high * kN;) {
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++, i += kLanes) {
            most[n] = Isa::max(most[n], Isa::load(scores + i));
        }
    }
    const Floats before = rows[0].peak;
    const Floats peak =
        Isa::max(fold(most, [](Floats a, Floats b) { return Isa::max(a, b); }) * Isa::splat(scale), before);
    const Floats base = peak == Isa::splat(-kInfinity) ? Floats{} : -peak; // nothing was seen so far
    const Floats factor = power_of_two(before + base);
    Floats sums[kN];
    for (size_t n = 0; n < kN; n++) {
        sums[n] = rows[n].sum * factor;
    }
    for (size_t i = low * kN; i < high * kN;) {
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++, i += kLanes) {
            const Floats weights = power_of_two(Isa::load(scores + i) * Isa::splat(scale) + base);
            Isa::store(scores + i, weights);
            sums[n] += weights;
        }
    }
    rows[0].peak = peak;
    for (size_t n = 0; n < kN; n++) {
        rows[n].sum = sums[n];
    }
    float lanes[kLanes];
    Isa::store(lanes, factor);
    __builtin_memcpy(factors, lanes, kN * sizeof(float));
}

/// out = out * factor + sum over t in [from, to) of weights[t * kN + n] * value[t], for kV vectors of columns from
/// column i on. `values` begin with the first of them.
template <class Packed, size_t kN, size_t kV>
[[gnu::noinline]] void add_columns(const Row* rows, const float* factors, const float* weights, const uint8_t* values,
                                   size_t row_bytes, size_t from, size_t to, size_t i, Ahead& needed)
{
    Ahead ahead = needed;
    Floats sums[kN][kV];
#pragma GCC unroll 4
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            sums[n][v] = Isa::load(rows[n].out + i + v * kLanes) * Isa::splat(factors[n]);
        }
    }
    const auto add_position = [&](size_t t, const uint8_t* row) {
        Floats value[kV];
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            value[v] = Packed::load(row, i + v * kLanes);
        }
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++) {
            const Floats weight = Isa::splat(weights[t * kN + n]);
#pragma GCC unroll 8
            for (size_t v = 0; v < kV; v++) {
                sums[n][v] = Isa::fma(value[v], weight, sums[n][v]);
            }
        }
    };
    const uint8_t* row = values;
    size_t t = from;
    for (; t + kValuesAtOnce <= to; t += kValuesAtOnce) {
        ahead.step();
#pragma GCC unroll 4
        for (size_t p = 0; p < kValuesAtOnce; p++, row += row_bytes) {
            add_position(t + p, row);
        }
    }
    for (; t < to; t++, row += row_bytes) {
        add_position(t, row);
    }
#pragma GCC unroll 4
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            Isa::store(rows[n].out + i + v * kLanes, sums[n][v]);
        }
    }
    needed = ahead;
}

/// The last columns, fewer than a vector, of one of kN rows.
template <class Packed, size_t kN> void add_last_columns(const Row& row, float factor, const float* weights,
                                                         const uint8_t* values, size_t row_bytes, size_t from,
                                                         size_t to, size_t i, size_t count)
{
    Floats sum = Isa::load_tail(row.out + i, count) * Isa::splat(factor);
    for (size_t t = from; t < to; t++, values += row_bytes) {
        sum = Isa::fma(Packed::tail(values, i, count), Isa::splat(weights[t * kN]), sum);
    }
    Isa::store_tail(row.out + i, sum, count);
}

template <class Packed, size_t kN> void add_values(const Row* rows, const float* factors, const float* weights,
                                                   const uint8_t* values, size_t from, size_t to, size_t head_dim,
                                                   Ahead& ahead)
{
    constexpr size_t kV = kVectorsAtOnce<kN>;
    const size_t row_bytes = Packed::bytes(head_dim);
    size_t i = 0;
    // Three and one are worse than two and two.
    for (; i + kV * kLanes <= head_dim && (kV != 3 || i + 4 * kLanes != head_dim); i += kV * kLanes) {
        add_columns<Packed, kN, kV>(rows, factors, weights, values, row_bytes, from, to, i, ahead);
    }
    for (; i + 2 * kLanes <= head_dim; i += 2 * kLanes) {
        add_columns<Packed, kN, 2>(rows, factors, weights, values, row_bytes, from, to, i, ahead);
    }
    for (; i + kLanes <= head_dim; i += kLanes) {
        add_columns<Packed, kN, 1>(rows, factors, weights, values, row_bytes, from, to, i, ahead);
    }
    for (size_t n = 0; i < head_dim && n < kN; n++) {
        add_last_columns<Packed, kN>(rows[n], factors[n], weights + n, values, row_bytes, from, to, i, head_dim - i);
    }
}

/// A row, as floats.
template <class Packed> inline void unpack_row(float* out, const uint8_t* row, size_t head_dim)
{
    size_t i = 0;
    for (; i + kLanes <= head_dim; i += kLanes) {
        Isa::store(out + i, Packed::load(row, i));
    }
    if (i < head_dim) {
        Isa::store_tail(out + i, Packed::tail(row, i, head_dim - i), head_dim - i);
    }
}

/// From so many rows on it takes less time to unpack a block once than for each group of them. (Of 16 rows F16 with
/// AVX2 takes more; the rows of a long prompt's tile are 27 to 32.)
constexpr size_t kUnpackRows = 24;
/// Keys or values that are unpacked at a time: 16 KiB.
constexpr size_t kUnpackFloats = 4096;

/// Calls function<Row type>(keys or values, positions): with all of them, or with some after the other, unpacked.
/// `packed` begins with the first.
template <class Packed, class Function>
inline void unpacked(const uint8_t* packed, const Range& all, size_t head_dim, size_t count, const Function& function)
{
    const size_t row_bytes = Packed::bytes(head_dim);
    if (std::is_same_v<Packed, typename Isa::F32> || count < kUnpackRows || head_dim * 4 > kUnpackFloats) {
        function.template operator()<Packed>(packed, all);
        return;
    }
    alignas(sizeof(Floats)) float floats[kUnpackFloats];
    const size_t most = kUnpackFloats / head_dim / 4 * 4;
    Range some = all;
    for (; some.from < all.to; some.from = some.to) {
        some.to = all.to - some.from < most ? all.to : some.from + most;
        for (size_t t = some.from; t < some.to; t++, packed += row_bytes) {
            unpack_row<Packed>(floats + (t - some.from) * head_dim, packed, head_dim);
        }
        function.template operator()<typename Isa::F32>(reinterpret_cast<const uint8_t*>(floats), some);
    }
}

/// The same with the Packed or Careful that is right for them.
template <class Packed, class Function>
inline void by_kind(const uint8_t* packed, const Range& all, size_t head_dim, size_t count, const Function& function)
{
    if (Packed::plain(packed, (all.to - all.from) * Packed::bytes(head_dim))) {
        unpacked<Packed>(packed, all, head_dim, count, function);
    } else {
        unpacked<typename Packed::Careful>(packed, all, head_dim, count, function);
    }
}

/// All rows through the block of positions from `start` on. What follows it is asked for, even past the task's end: the
/// next task begins there.
template <class Packed> void run_block(const AttentionTask& task, Row* rows, size_t count, size_t start)
{
    const Range all = seen(rows, count, start);
    const size_t head_dim = task.head_dim;
    const size_t row_bytes = Packed::bytes(head_dim);
    const uint8_t* const keys = task.keys + (start + all.from) * row_bytes;
    const uint8_t* const values = task.values + (start + all.from) * row_bytes;
    size_t score_steps = 0;
    size_t value_steps = 0;
    by_groups(count, [&]<size_t kN>(size_t) {
        constexpr size_t kColumns = kVectorsAtOnce<kN> * kLanes;
        score_steps += kBlock / kKeysAtOnce<kN>;
        value_steps += kBlock / kValuesAtOnce * ((head_dim + kColumns - 1) / kColumns);
    });
    alignas(sizeof(Floats)) float scores[kRows * kBlock]; // a group's after those of the one before
    float factors[kRows];

    Ahead next_values(values, (all.to - all.from) * row_bytes, score_steps);
    by_kind<Packed>(keys, all, head_dim, count, [&]<class Kind>(const uint8_t* piece, const Range& positions) {
        by_groups(rows, count, start, positions, [&]<size_t kN>(size_t r, const Range& range) {
            const uint8_t* const first = piece + (range.from - positions.from) * Kind::bytes(head_dim);
            block_scores<Kind, kN>(scores + r * kBlock, rows + r, first, range.from, range.to, head_dim, next_values);
        });
    });

    by_groups(rows, count, start, all, [&]<size_t kN>(size_t r, const Range& range) {
        block_weights<kN>(scores + r * kBlock, factors + r, rows + r, task, start, range.from, range.to);
    });

    const size_t left = task.position + task.count - start;
    const size_t next = left < 2 * kBlock ? left : 2 * kBlock;
    Ahead next_keys(task.keys + (start + kBlock) * row_bytes, next > kBlock ? (next - kBlock) * row_bytes : 0,
                    value_steps);
    by_kind<Packed>(values, all, head_dim, count, [&]<class Kind>(const uint8_t* piece, const Range& positions) {
        by_groups(rows, count, start, positions, [&]<size_t kN>(size_t r, const Range& range) {
            const uint8_t* const first = piece + (range.from - positions.from) * Kind::bytes(head_dim);
            add_values<Kind, kN>(rows + r, factors + r, scores + r * kBlock, first, range.from, range.to, head_dim,
                                 next_keys);
            for (size_t n = 0; n < kN; n++) {
                factors[r + n] = 1.0f; // for the next piece
            }
        });
    });
}

Row make_row(const AttentionTask& task, size_t index)
{
    const size_t at = index / task.heads;
    const size_t offset = at * task.stride + index % task.heads * task.head_dim;
    const size_t seen = task.position + at + 1;
    const size_t first = seen > task.window ? seen - task.window : 0;
    Row row{.query = task.query + offset,
            .out = task.out + offset,
            .first = first > task.begin ? first : task.begin,
            .end = seen < task.end ? seen : task.end,
            .peak = Isa::splat(-kInfinity),
            .sum = Floats{}};
    for (size_t i = 0; i < task.head_dim; i++) {
        row.out[i] = 0.0f;
    }
    return row;
}

/// Of a group of rows, the first of which is the index-th of all.
template <size_t kN> void finish_rows(const AttentionTask& task, const Row* rows, size_t index)
{
    Floats parts[kN];
    for (size_t n = 0; n < kN; n++) {
        parts[n] = rows[n].sum;
    }
    float peaks[kLanes];
    float sums[kLanes];
    Isa::store(peaks, rows[0].peak);
    Isa::store(sums, fold(parts, [](Floats a, Floats b) { return a + b; }));
    for (size_t n = 0; n < kN; n++) {
        if (task.peaks != nullptr) {
            const size_t at = (index + n) / task.heads * (task.stride / task.head_dim) + (index + n) % task.heads;
            task.peaks[at] = peaks[n] * 0x1.62e430p-1f; // ln 2
            task.sums[at] = sums[n];
            continue;
        }
        for (size_t i = 0; i < task.head_dim; i++) {
            rows[n].out[i] /= sums[n];
        }
    }
}

template <class Packed> void attention(const AttentionTask& task)
{
    const size_t total = task.count * task.heads;
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
            run_block<Packed>(task, rows, count, start);
        }
        by_groups(count, [&]<size_t kN>(size_t r) { finish_rows<kN>(task, rows + r, begin + r); });
    }
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
