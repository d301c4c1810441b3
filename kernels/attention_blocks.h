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
// that the registers have room for beside what is added to them; and
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

using Floats = Isa::Floats;
using Ints = Isa::Ints;
using Four [[gnu::vector_size(16)]] = float;

/// 2^x for x <= 0, within 2 ulp; 0 from 2^-127 on.
inline Floats power_of_two(Floats x)
{
    x = Isa::max(Isa::splat(-127.0f), x);
    // x = k + r with |r| <= 1/2. So large a number has no room for a fraction, and its last bits are k + 127.
    const Floats large = Isa::splat(0x1.8p23f + 127.0f);
    const Floats biased = x + large;
    const Floats r = x - (biased - large);
    // (2^r - 1) / r, off by 2e-9 at most of 2^r.
    Floats sum = Isa::splat(0x1.41fbbcp-13f);
    sum = Isa::fma(sum, r, Isa::splat(0x1.5f3e54p-10f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.3b2d4cp-7f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.c6aee8p-5f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.ebfbdcp-3f));
    sum = Isa::fma(sum, r, Isa::splat(0x1.62e430p-1f));
    sum = Isa::fma(sum, r, Isa::splat(1.0f));
    return sum * reinterpret_cast<Floats>(reinterpret_cast<Ints>(biased) << 23);
}

/// sums[k][n] += query n . key k in kColumns columns from the i-th on.
template <class Packed, size_t kColumns, size_t kN, size_t kK>
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
                sums[k][n] = Isa::fma(query, key[k], sums[k][n]);
            }
        }
    }
}

/// The scores of kN rows and kK keys, unscaled, a vector of partial sums each.
template <class Packed, size_t kN, size_t kK>
inline void dots(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim, Floats (&sums)[kK][kN])
{
#pragma GCC unroll 4
    for (size_t k = 0; k < kK; k++) {
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++) {
            sums[k][n] = Floats{};
        }
    }
    size_t i = 0;
    for (; i + Isa::kStraight <= head_dim; i += Isa::kStraight) {
        add_products<Packed, Isa::kStraight>(rows, keys, row_bytes, i, sums);
    }
    for (; i + kLanes <= head_dim; i += kLanes) {
        add_products<Packed, kLanes>(rows, keys, row_bytes, i, sums);
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
#pragma GCC unroll 4
    for (size_t i = 0; i < kAll; i += 4) {
        const Four four = sum_lanes(sum(i), sum(i + 1), sum(i + 2), sum(i + 3));
        __builtin_memcpy(scores + i, &four, (kAll - i < 4 ? kAll - i : 4) * sizeof(float));
    }
}

/// scores[t * kN + n] for the positions [from, to) of a block, unscaled. `keys` begin with the first of them.
template <class Packed, size_t kN> [[gnu::noinline]] void block_scores(float* scores, const Row* rows,
                                                                       const uint8_t* keys, size_t from, size_t to,
                                                                       size_t head_dim, Ahead& needed)
{
    constexpr size_t kK = kN == 4 ? Isa::kKeys : 4;
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

/// Puts together what kN vectors hold of kN rows, a value of each row after that of the one before: results[n]. A row's
/// values come together in the same order whatever kN is.
template <size_t kN, class Function> inline void fold(float* results, Floats (&vectors)[kN], const Function& function)
{
#pragma GCC unroll 2
    for (size_t half = kN / 2; half != 0; half /= 2) {
#pragma GCC unroll 2
        for (size_t i = 0; i < half; i++) {
            vectors[i] = function(vectors[i], vectors[i + half]);
        }
    }
    alignas(sizeof(Floats)) float lanes[2 * kLanes] = {};
    for (size_t half = kLanes / 2; half >= kN; half /= 2) {
        Isa::store(lanes, vectors[0]);
        vectors[0] = function(vectors[0], Isa::load(lanes + half));
    }
    Isa::store(lanes, vectors[0]);
    __builtin_memcpy(results, lanes, kN * sizeof(float));
}

/// A value of each of kN rows in turn.
template <size_t kN> inline Floats in_turn(const float* values)
{
    float lanes[kLanes];
    for (size_t i = 0; i < kLanes; i++) {
        lanes[i] = values[i % kN];
    }
    return Isa::load(lanes);
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
    float peaks[kN];
    fold(peaks, most, [](Floats a, Floats b) { return Isa::max(a, b); });

    float bases[kN]; // minus, and 0 where nothing was seen so far
    float before[kN];
    for (size_t n = 0; n < kN; n++) {
        before[n] = rows[n].peak;
        peaks[n] = peaks[n] * scale > before[n] ? peaks[n] * scale : before[n];
        bases[n] = peaks[n] == -kInfinity ? 0.0f : -peaks[n];
    }
    const Floats base = in_turn<kN>(bases);
    Floats sums[kN] = {};
    for (size_t i = low * kN; i < high * kN;) {
#pragma GCC unroll 4
        for (size_t n = 0; n < kN; n++, i += kLanes) {
            const Floats weights = power_of_two(Isa::load(scores + i) * Isa::splat(scale) + base);
            Isa::store(scores + i, weights);
            sums[n] += weights;
        }
    }
    float added[kN];
    fold(added, sums, [](Floats a, Floats b) { return a + b; });
    float lanes[kLanes];
    Isa::store(lanes, power_of_two(in_turn<kN>(before) + base));
    for (size_t n = 0; n < kN; n++) {
        factors[n] = peaks[n] == rows[n].peak ? 1.0f : lanes[n];
        rows[n].peak = peaks[n];
        rows[n].sum = rows[n].sum * factors[n] + added[n];
    }
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
    constexpr size_t kPositions = 4;
    const uint8_t* row = values;
    size_t t = from;
    for (; t + kPositions <= to; t += kPositions) {
        ahead.step();
#pragma GCC unroll 4
        for (size_t p = 0; p < kPositions; p++, row += row_bytes) {
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
    constexpr size_t kV = Isa::kSums / kN < 8 ? Isa::kSums / kN : 8;
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
    const size_t steps = (count + 3) / 4 * (kBlock / 4);
    alignas(sizeof(Floats)) float scores[kRows * kBlock]; // a group's after those of the one before
    float factors[kRows];

    Ahead next_values(values, (all.to - all.from) * row_bytes, steps);
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
    Ahead next_keys(task.keys + (start + kBlock) * row_bytes, next > kBlock ? (next - kBlock) * row_bytes : 0, steps);
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
        task.peaks[at] = row.peak * 0x1.62e430p-1f; // ln 2
        task.sums[at] = row.sum;
        return;
    }
    for (size_t i = 0; i < task.head_dim; i++) {
        row.out[i] /= row.sum;
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
        for (size_t r = 0; r < count; r++) {
            finish_row(task, rows[r], begin + r);
        }
    }
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
