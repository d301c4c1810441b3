// SPDX-License-Identifier: MIT
//
// Attention in the order of llama2.c's run.c: all scores, their largest, the sum of their exponentials, the weighted
// sum of the values. No room is kept for the scores: each pass computes them anew, and gets the same bits.
#include "kernels/scalar/elementary.h"
#include "kernels/scalar/scalar.h"

namespace llmk::djiblas::scalar {

namespace {

float exp_f32(float x) { return static_cast<float>(exp(static_cast<double>(x))); }

void unpack_f32(float* out, const uint8_t* blocks, size_t n) { __builtin_memcpy(out, blocks, n * sizeof(float)); }

constexpr BlockShape kBlockF32 = {1, sizeof(float)};

/// Values that are unpacked at a time: a multiple of every block's.
constexpr size_t kChunk = 32;

/// Calls visit(i, values, n) for the values [i, i + n) of a row.
template <Dequantize kUnpack, BlockShape kShape, class Visit>
void each_chunk(const uint8_t* row, size_t head_dim, Visit visit)
{
    float values[kChunk];
    for (size_t i = 0; i < head_dim; i += kChunk) {
        const size_t n = head_dim - i < kChunk ? head_dim - i : kChunk;
        kUnpack(values, row + i / kShape.values * kShape.bytes, n);
        visit(i, values, n);
    }
}

/// One query of one head.
template <Dequantize kUnpack, BlockShape kShape> class Query {
public:
    Query(const AttentionTask& task, size_t index, size_t head)
        : m_task(task), m_query(task.query + index * task.stride + head * task.head_dim),
          m_out(task.out + index * task.stride + head * task.head_dim),
          m_row_bytes(task.head_dim / kShape.values * kShape.bytes)
    {
        const size_t seen = task.position + index + 1;
        m_first = seen > task.window ? seen - task.window : 0;
        m_first = m_first > task.begin ? m_first : task.begin;
        m_end = seen < task.end ? seen : task.end;
    }

    void run(float* peak, float* sum) const
    {
        for (size_t i = 0; i < m_task.head_dim; i++) {
            m_out[i] = 0.0f;
        }
        float max = m_first < m_end ? score(m_first) : -__builtin_inff();
        for (size_t t = m_first + 1; t < m_end; t++) {
            const float s = score(t);
            max = s > max ? s : max;
        }
        // A part of the keys may hold nothing but -infinity, and then weighs nothing; of all of them it is no number.
        const float base = peak != nullptr && max == -__builtin_inff() ? 0.0f : max;
        float total = 0.0f;
        for (size_t t = m_first; t < m_end; t++) {
            total += exp_f32(score(t) - base);
        }
        for (size_t t = m_first; t < m_end; t++) {
            const float e = exp_f32(score(t) - base);
            add_value(t, peak != nullptr ? e : e / total);
        }
        if (peak != nullptr) {
            *peak = max;
            *sum = total;
        }
    }

private:
    float score(size_t t) const
    {
        float dot = 0.0f;
        each_chunk<kUnpack, kShape>(m_task.keys + t * m_row_bytes, m_task.head_dim,
                                    [&](size_t i, const float* values, size_t n) {
                                        for (size_t j = 0; j < n; j++) {
                                            dot += m_query[i + j] * values[j];
                                        }
                                    });
        dot /= m_task.divisor;
        if (m_task.softcap != 0.0f) {
            softcap(&dot, 1, m_task.softcap);
        }
        return dot;
    }
    void add_value(size_t t, float weight) const
    {
        each_chunk<kUnpack, kShape>(m_task.values + t * m_row_bytes, m_task.head_dim,
                                    [&](size_t i, const float* values, size_t n) {
                                        for (size_t j = 0; j < n; j++) {
                                            m_out[i + j] += weight * values[j];
                                        }
                                    });
    }

    const AttentionTask& m_task;
    const float* m_query;
    float* m_out;
    size_t m_row_bytes;
    size_t m_first, m_end; ///< positions that it sees
};

template <Dequantize kUnpack, BlockShape kShape> void attention(const AttentionTask& task)
{
    for (size_t index = 0; index < task.count; index++) {
        for (size_t head = 0; head < task.heads; head++) {
            const size_t at = index * (task.stride / task.head_dim) + head;
            const bool partial = task.peaks != nullptr;
            Query<kUnpack, kShape>(task, index, head)
                .run(partial ? task.peaks + at : nullptr, partial ? task.sums + at : nullptr);
        }
    }
}

} // namespace

void attention_f32(const AttentionTask& task) { attention<unpack_f32, kBlockF32>(task); }

void attention_f16(const AttentionTask& task) { attention<dequantize_f16, kBlockF16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<dequantize_q8_0, kBlockQ80>(task); }

void attention_merge(float* out, const float* partial, const float* peaks, const float* sums, size_t parts, size_t rows,
                     size_t head_dim)
{
    for (size_t r = 0; r < rows; r++) {
        float max = peaks[r];
        for (size_t p = 1; p < parts; p++) {
            max = peaks[p * rows + r] > max ? peaks[p * rows + r] : max;
        }
        float* const row = out + r * head_dim;
        for (size_t i = 0; i < head_dim; i++) {
            row[i] = 0.0f;
        }
        float total = 0.0f;
        for (size_t p = 0; p < parts; p++) {
            const float weight = exp_f32(peaks[p * rows + r] - max);
            total += weight * sums[p * rows + r];
            for (size_t i = 0; i < head_dim; i++) {
                row[i] += weight * partial[(p * rows + r) * head_dim + i];
            }
        }
        for (size_t i = 0; i < head_dim; i++) {
            row[i] /= total;
        }
    }
}

} // namespace llmk::djiblas::scalar
