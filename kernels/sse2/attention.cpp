// SPDX-License-Identifier: MIT
//
// Attention in one pass over keys and values, a block of positions at a time. Up to four rows (a query of one head) go
// together, so that what is loaded and unpacked of a block serves them all. A row's result does not depend on which
// rows go with it, nor on where in a batch it stands: blocks begin at multiples of kBlock.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

/// Positions of a block.
constexpr size_t kBlock = 64;
/// Rows that go through a block before the next is taken, while it is in the first-level cache.
constexpr size_t kRows = 32;
constexpr float kInfinity = __builtin_inff();

inline const __m128i* vector_at(const uint8_t* p) { return reinterpret_cast<const __m128i*>(p); }

inline uint16_t load_u16(const uint8_t* p)
{
    uint16_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
}

/// Four binary16, in the upper half of each lane, to float. Without kSpecial infinities and NaN become large numbers.
/// Exponent and fraction go to their places as they are; what is missing of the bias is a factor, by which subnormals
/// come out right as well.
template <bool kSpecial> inline __m128 widen_f16(__m128i halves)
{
    const __m128i bits = _mm_and_si128(_mm_srai_epi32(halves, 3), _mm_set1_epi32(static_cast<int>(0x8fffe000u)));
    const __m128 value = _mm_mul_ps(_mm_castsi128_ps(bits), _mm_set1_ps(0x1p112f));
    if constexpr (kSpecial) {
        const __m128i magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7fffffff));
        const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32((0x1f << 23) - 1));
        return _mm_or_ps(value, _mm_castsi128_ps(_mm_and_si128(special, _mm_set1_epi32(0x7f800000))));
    }
    return value;
}

// How a key or value is packed: bytes of a row, four values from the i-th on (a multiple of four), and the n < 4 last
// ones with zeros behind them. `Careful` is the same for what is not `plain`: rows with infinities or NaN in them.

struct RowF32 {
    using Careful = RowF32;
    static bool plain(const uint8_t*, size_t) { return true; }
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static __m128 load(const uint8_t* row, size_t i)
    {
        return _mm_castsi128_ps(_mm_loadu_si128(vector_at(row + i * sizeof(float))));
    }
    static __m128 tail(const uint8_t* row, size_t i, size_t n)
    {
        uint8_t last[kLanes * sizeof(float)] = {};
        __builtin_memcpy(last, row + i * sizeof(float), n * sizeof(float));
        return load(last, 0);
    }
};

template <bool kSpecial> struct RowHalf {
    using Careful = RowHalf<true>;
    /// Whether all halves of so many bytes are finite.
    static bool plain(const uint8_t* rows, size_t bytes)
    {
        __m128i special = _mm_setzero_si128();
        size_t i = 0;
        for (; i + sizeof(__m128i) <= bytes; i += sizeof(__m128i)) {
            const __m128i magnitudes = _mm_and_si128(_mm_loadu_si128(vector_at(rows + i)), _mm_set1_epi16(0x7fff));
            special = _mm_or_si128(special, _mm_cmpgt_epi16(magnitudes, _mm_set1_epi16(0x7bff)));
        }
        bool finite = _mm_movemask_epi8(special) == 0;
        for (; i < bytes; i += kBlockF16.bytes) {
            finite = finite && (load_u16(rows + i) & 0x7fff) <= 0x7bff;
        }
        return finite;
    }
    static size_t bytes(size_t head_dim) { return head_dim * kBlockF16.bytes; }
    static __m128 load(const uint8_t* row, size_t i)
    {
        const __m128i halves = _mm_loadl_epi64(vector_at(row + i * kBlockF16.bytes));
        return widen_f16<kSpecial>(_mm_unpacklo_epi16(_mm_setzero_si128(), halves));
    }
    static __m128 tail(const uint8_t* row, size_t i, size_t n)
    {
        uint8_t last[kLanes * kBlockF16.bytes] = {};
        __builtin_memcpy(last, row + i * kBlockF16.bytes, n * kBlockF16.bytes);
        return load(last, 0);
    }
};
using RowF16 = RowHalf<false>;

template <bool kSpecial> struct RowCodes {
    using Careful = RowCodes<true>;
    /// Whether all scales of so many bytes are finite.
    static bool plain(const uint8_t* rows, size_t bytes)
    {
        bool finite = true;
        for (size_t i = 0; i < bytes; i += kBlockQ80.bytes) {
            finite = finite && (load_u16(rows + i) & 0x7fff) <= 0x7bff;
        }
        return finite;
    }
    static size_t bytes(size_t head_dim) { return head_dim / kBlockQ80.values * kBlockQ80.bytes; }
    static __m128 load(const uint8_t* row, size_t i)
    {
        const uint8_t* const block = row + i / kBlockQ80.values * kBlockQ80.bytes;
        const __m128 scale = widen_f16<kSpecial>(_mm_set1_epi32(load_u16(block) << 16));
        int32_t four;
        __builtin_memcpy(&four, block + sizeof(uint16_t) + i % kBlockQ80.values, sizeof four);
        __m128i codes = _mm_cvtsi32_si128(four);
        codes = _mm_unpacklo_epi8(codes, codes);
        codes = _mm_srai_epi32(_mm_unpacklo_epi16(codes, codes), 24);
        return _mm_mul_ps(_mm_cvtepi32_ps(codes), scale);
    }
    static __m128 tail(const uint8_t*, size_t, size_t) { return _mm_setzero_ps(); } // there is none
};
using RowQ80 = RowCodes<false>;

/// A query of one head on its way through the blocks.
struct Row {
    const float* query;
    float* out;        ///< sum of exp(score - peak) * value
    float peak;        ///< the largest score so far
    float sum;         ///< of exp(score - peak)
    size_t first, end; ///< positions that it sees
};

/// The scores of kN rows and kK keys, undivided, a register of four partial sums each.
template <class Packed, size_t kN, size_t kK>
inline void dots(const Row* rows, const uint8_t* keys, size_t row_bytes, size_t head_dim, __m128 (&sums)[kN][kK])
{
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            sums[n][k] = _mm_setzero_ps();
        }
    }
    const auto add = [&](const __m128(&key)[kK], auto load_query) {
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const __m128 query = load_query(rows[n].query);
#pragma GCC unroll 8
            for (size_t k = 0; k < kK; k++) {
                sums[n][k] = _mm_add_ps(sums[n][k], _mm_mul_ps(query, key[k]));
            }
        }
    };
    __m128 key[kK];
    size_t i = 0;
    for (; i + kLanes <= head_dim; i += kLanes) {
#pragma GCC unroll 8
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::load(keys + k * row_bytes, i);
        }
        add(key, [i](const float* query) { return _mm_loadu_ps(query + i); });
    }
    if (i < head_dim) {
        const size_t count = head_dim - i;
        for (size_t k = 0; k < kK; k++) {
            key[k] = Packed::tail(keys + k * row_bytes, i, count);
        }
        add(key, [i, count](const float* query) { return load_tail(query + i, count); });
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
            __m128 sums[4][2];
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
            __m128 sums[kN][4];
            dots<Packed, kN, 4>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
#pragma GCC unroll 2
            for (size_t n = 0; n < kN; n++) {
                _mm_storeu_ps(scores[n] + t, sum_lanes(sums[n][0], sums[n][1], sums[n][2], sums[n][3]));
            }
        }
    }
    for (; t < to; t++) {
        __m128 sums[kN][1];
        dots<Packed, kN, 1>(rows, keys + t * row_bytes, row_bytes, head_dim, sums);
        for (size_t n = 0; n < kN; n++) {
            // As the four together are added.
            scores[n][t] = _mm_cvtss_f32(sum_lanes(sums[n][0], sums[n][0], sums[n][0], sums[n][0]));
        }
    }
}

/// The largest of four values; a NaN may get lost.
inline float largest(__m128 v)
{
    const __m128 two = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, _MM_SHUFFLE(1, 1, 1, 1))));
}

/// A row's scores of a block become its weights: exp(score - peak), 0 where it does not see the position. `start` is
/// the block's first position; [from, to) are those of it that any row sees. Returns by what all so far is multiplied.
float block_weights(float* scores, Row& row, size_t start, size_t from, size_t to, float scale, float cap)
{
    const size_t low = from / kLanes * kLanes;
    const size_t high = (to + kLanes - 1) / kLanes * kLanes;
    for (size_t t = low; t < high; t += kLanes) {
        _mm_storeu_ps(scores + t, _mm_mul_ps(_mm_loadu_ps(scores + t), _mm_set1_ps(scale)));
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
    __m128 lanes = _mm_set1_ps(row.peak);
    for (size_t t = low; t < high; t += kLanes) {
        lanes = _mm_max_ps(lanes, _mm_loadu_ps(scores + t));
    }
    const float peak = largest(lanes);
    const __m128 base = _mm_set1_ps(peak == -kInfinity ? 0.0f : peak);
    __m128 sums = _mm_setzero_ps();
    for (size_t t = low; t < high; t += kLanes) {
        const __m128 weights = exp(_mm_sub_ps(_mm_loadu_ps(scores + t), base));
        _mm_storeu_ps(scores + t, weights);
        sums = _mm_add_ps(sums, weights);
    }
    const float factor = peak == row.peak ? 1.0f : _mm_cvtss_f32(exp(_mm_sub_ps(_mm_set1_ps(row.peak), base)));
    row.peak = peak;
    row.sum = row.sum * factor + sum_lanes(sums);
    return factor;
}

/// out = out * factor + sum over t in [from, to) of weight[t] * value[t], for kV registers of columns from column i on.
template <class Packed, size_t kN, size_t kV>
inline void add_columns(const Row* rows, const float* factors, const float (*weights)[kBlock], const uint8_t* values,
                        size_t row_bytes, size_t from, size_t to, size_t i)
{
    __m128 sums[kN][kV];
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            sums[n][v] = _mm_mul_ps(_mm_loadu_ps(rows[n].out + i + v * kLanes), _mm_set1_ps(factors[n]));
        }
    }
    const uint8_t* row = values + from * row_bytes;
    for (size_t t = from; t < to; t++, row += row_bytes) {
        __m128 value[kV];
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            value[v] = Packed::load(row, i + v * kLanes);
        }
#pragma GCC unroll 8
        for (size_t n = 0; n < kN; n++) {
            const __m128 weight = _mm_set1_ps(weights[n][t]);
#pragma GCC unroll 8
            for (size_t v = 0; v < kV; v++) {
                sums[n][v] = _mm_add_ps(sums[n][v], _mm_mul_ps(value[v], weight));
            }
        }
    }
#pragma GCC unroll 8
    for (size_t n = 0; n < kN; n++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < kV; v++) {
            _mm_storeu_ps(rows[n].out + i + v * kLanes, sums[n][v]);
        }
    }
}

/// The last columns, fewer than four.
template <class Packed> void add_last_columns(const Row& row, float factor, const float* weights, const uint8_t* values,
                                              size_t row_bytes, size_t from, size_t to, size_t i, size_t count)
{
    __m128 sum = _mm_mul_ps(load_tail(row.out + i, count), _mm_set1_ps(factor));
    for (size_t t = from; t < to; t++) {
        sum = _mm_add_ps(sum, _mm_mul_ps(Packed::tail(values + t * row_bytes, i, count), _mm_set1_ps(weights[t])));
    }
    store_tail(row.out + i, sum, count);
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
    alignas(16) float scores[kN][kBlock];
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

void attention_f32(const AttentionTask& task) { attention<RowF32>(task); }

void attention_f16(const AttentionTask& task) { attention<RowF16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<RowQ80>(task); }

void attention_merge(float* out, const float* partial, const float* peaks, const float* sums, size_t parts, size_t rows,
                     size_t head_dim)
{
    for (size_t r = 0; r < rows; r++) {
        float max = peaks[r];
        for (size_t p = 1; p < parts; p++) {
            max = peaks[p * rows + r] > max ? peaks[p * rows + r] : max;
        }
        float* const row = out + r * head_dim;
        __builtin_memset(row, 0, head_dim * sizeof(float));
        float total = 0.0f;
        for (size_t p = 0; p < parts; p++) {
            const float weight = _mm_cvtss_f32(exp(_mm_set1_ps(peaks[p * rows + r] - max)));
            const float* const part = partial + (p * rows + r) * head_dim;
            total += weight * sums[p * rows + r];
            for (size_t i = 0; i < head_dim; i++) {
                row[i] += weight * part[i];
            }
        }
        for (size_t i = 0; i < head_dim; i++) {
            row[i] /= total;
        }
    }
}

} // namespace llmk::djiblas::sse2
