// SPDX-License-Identifier: MIT
//
// Attention in one pass over keys and values, a block of positions at a time. Up to four rows (a query of one head) go
// together, so that what is loaded and unpacked of a block serves them all. A row's result does not depend on which
// rows go with it, nor on where in a batch it stands: blocks begin at multiples of kBlock.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

/// Positions of a block.
constexpr size_t kBlock = 64;
/// Rows that go through a block before the next is taken, while it is in the first-level cache.
constexpr size_t kRows = 32;
constexpr float kInfinity = __builtin_inff();

// How a key or value is packed: bytes of a row, sixteen values from the i-th on (a multiple of sixteen), and the n < 16
// last ones with zeros behind them.

struct RowF32 {
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static __m512 load(const uint8_t* row, size_t i) { return _mm512_loadu_ps(row + i * sizeof(float)); }
    static __m512 tail(const uint8_t* row, size_t i, size_t n)
    {
        return _mm512_maskz_loadu_ps(lane_mask(n), row + i * sizeof(float));
    }
};

struct RowF16 {
    static size_t bytes(size_t head_dim) { return head_dim * kBlockF16.bytes; }
    static __m512 load(const uint8_t* row, size_t i)
    {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i * kBlockF16.bytes)));
    }
    static __m512 tail(const uint8_t* row, size_t i, size_t n)
    {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lane_mask(n), row + i * kBlockF16.bytes));
    }
};

struct RowQ80 {
    static size_t bytes(size_t head_dim) { return head_dim / kBlockQ80.values * kBlockQ80.bytes; }
    static __m512 load(const uint8_t* row, size_t i)
    {
        const uint8_t* const block = row + i / kBlockQ80.values * kBlockQ80.bytes;
        uint16_t scale;
        __builtin_memcpy(&scale, block, sizeof scale);
        const uint8_t* const codes = block + sizeof scale + i % kBlockQ80.values;
        const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen)),
                             _mm512_cvtph_ps(_mm256_set1_epi16(static_cast<int16_t>(scale))));
    }
    static __m512 tail(const uint8_t*, size_t, size_t) { return _mm512_setzero_ps(); } // there is none
};

/// A query of one head on its way through the blocks.
struct Row {
    const float* query;
    float* out;        ///< sum of exp(score - peak) * value
    float peak;        ///< the largest score so far
    float sum;         ///< of exp(score - peak)
    size_t first, end; ///< positions that it sees
};

/// The scores of kN rows and kK keys, undivided, a register of sixteen partial sums each.
template <class Packed, size_t kN, size_t kK>
inline void dots(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim, __m512 (&sums)[kN][kK])
{
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            sums[n][k] = _mm512_setzero_ps();
        }
    }
    const auto add = [&](const __m512(&key)[kK], auto load_query) {
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const __m512 query = load_query(rows[n].query);
#pragma GCC unroll 8
            for (size_t k = 0; k < kK; k++) {
                sums[n][k] = _mm512_fmadd_ps(query, key[k], sums[n][k]);
            }
        }
    };
    __m512 key[kK];
    size_t i = 0;
    for (; i + kLanes <= head_dim; i += kLanes) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::load(keys + k * row_bytes, i);
        }
        add(key, [i](const float* query) { return _mm512_loadu_ps(query + i); });
    }
    if (i < head_dim) {
        const __mmask16 mask = lane_mask(head_dim - i);
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::tail(keys + k * row_bytes, i, head_dim - i);
        }
        add(key, [i, mask](const float* query) { return _mm512_maskz_loadu_ps(mask, query + i); });
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
            __m512 sums[4][2];
            dots<Packed, 4, 2>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
#pragma GCC unroll 2
            for (size_t n = 0; n < 4; n += 2) {
                const __m128 pairs = sum_lanes(sums[n][0], sums[n][1], sums[n + 1][0], sums[n + 1][1]);
                _mm_storel_pi(reinterpret_cast<__m64*>(scores[n] + t), pairs);
                _mm_storeh_pi(reinterpret_cast<__m64*>(scores[n + 1] + t), pairs);
            }
        }
    } else {
        for (; t + 4 <= to; t += 4) {
            __m512 sums[kN][4];
            dots<Packed, kN, 4>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
#pragma GCC unroll 2
            for (size_t n = 0; n < kN; n++) {
                _mm_storeu_ps(scores[n] + t, sum_lanes(sums[n][0], sums[n][1], sums[n][2], sums[n][3]));
            }
        }
    }
    for (; t < to; t++) {
        __m512 sums[kN][1];
        dots<Packed, kN, 1>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
        for (size_t n = 0; n < kN; n++) {
            // As the four together are added.
            scores[n][t] = _mm_cvtss_f32(sum_lanes(sums[n][0], sums[n][0], sums[n][0], sums[n][0]));
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
        _mm512_storeu_ps(scores + t, _mm512_mul_ps(_mm512_loadu_ps(scores + t), _mm512_set1_ps(scale)));
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
    __m512 lanes = _mm512_set1_ps(row.peak);
    for (size_t t = low; t < high; t += kLanes) {
        lanes = _mm512_max_ps(lanes, _mm512_loadu_ps(scores + t));
    }
    const float peak = _mm512_reduce_max_ps(lanes);
    const __m512 base = _mm512_set1_ps(peak == -kInfinity ? 0.0f : peak);
    __m512 sums = _mm512_setzero_ps();
    for (size_t t = low; t < high; t += kLanes) {
        const __m512 weights = exp(_mm512_sub_ps(_mm512_loadu_ps(scores + t), base));
        _mm512_storeu_ps(scores + t, weights);
        sums = _mm512_add_ps(sums, weights);
    }
    const float factor = peak == row.peak ? 1.0f : _mm512_cvtss_f32(exp(_mm512_sub_ps(_mm512_set1_ps(row.peak), base)));
    row.peak = peak;
    row.sum = row.sum * factor + sum_lanes(sums);
    return factor;
}

/// out = out * factor + sum over t in [from, to) of weight[t] * value[t], for kV registers of columns from column i on.
template <class Packed, size_t kN, size_t kV>
inline void add_columns(const Row* rows, const float* factors, const float (*weights)[kBlock], const uint8_t* values,
                        size_t row_bytes, size_t from, size_t to, size_t i)
{
    __m512 sums[kN][kV];
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            sums[n][v] = _mm512_mul_ps(_mm512_loadu_ps(rows[n].out + i + v * kLanes), _mm512_set1_ps(factors[n]));
        }
    }
    const uint8_t* row = values + from * row_bytes;
    for (size_t t = from; t < to; t++, row += row_bytes) {
        __m512 value[kV];
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            value[v] = Packed::load(row, i + v * kLanes);
        }
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const __m512 weight = _mm512_set1_ps(weights[n][t]);
#pragma GCC unroll 8
            for (size_t v = 0; v < kV; v++) {
                sums[n][v] = _mm512_fmadd_ps(value[v], weight, sums[n][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            _mm512_storeu_ps(rows[n].out + i + v * kLanes, sums[n][v]);
        }
    }
}

/// The last columns, fewer than sixteen.
template <class Packed> void add_last_columns(const Row& row, float factor, const float* weights, const uint8_t* values,
                                              size_t row_bytes, size_t from, size_t to, size_t i, size_t count)
{
    const __mmask16 mask = lane_mask(count);
    __m512 sum = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, row.out + i), _mm512_set1_ps(factor));
    for (size_t t = from; t < to; t++) {
        sum = _mm512_fmadd_ps(Packed::tail(values + t * row_bytes, i, count), _mm512_set1_ps(weights[t]), sum);
    }
    _mm512_mask_storeu_ps(row.out + i, mask, sum);
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
    alignas(64) float scores[kN][kBlock];
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
        for (size_t r = 0; r < count; r++) {
            finish_row(task, rows[r], begin + r);
        }
    }
}

} // namespace

void attention_f32(const AttentionTask& task) { attention<RowF32>(task); }

void attention_f16(const AttentionTask& task) { attention<RowF16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<RowQ80>(task); }

} // namespace llmk::djiblas::avx512
