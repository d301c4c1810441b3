// SPDX-License-Identifier: MIT
//
// Attention (kernels/attention_blocks.h) with sixteen floats at a time.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

#define LLMK_KERNEL_SET avx512

namespace llmk::djiblas::avx512 {

namespace {

/// There are no values that load() would get wrong.
template <class Row> struct Always {
    using Careful = Row;
    static constexpr bool plain(const uint8_t*, size_t) { return true; }
};

struct RowF32 : Always<RowF32> {
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static __m512 load(const uint8_t* row, size_t i) { return _mm512_loadu_ps(row + i * sizeof(float)); }
    static __m512 tail(const uint8_t* row, size_t i, size_t n)
    {
        return _mm512_maskz_loadu_ps(lane_mask(n), row + i * sizeof(float));
    }
};

struct RowF16 : Always<RowF16> {
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

struct RowQ80 : Always<RowQ80> {
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

struct Isa {
    using Floats [[gnu::vector_size(64)]] = float;
    using Ints [[gnu::vector_size(64)]] = int32_t;
    static constexpr size_t kKeys = 4;
    static constexpr size_t kStraight = 64;
    static constexpr size_t kSums = 16;
    static constexpr size_t kSummed = 4;
    using F32 = RowF32;
    using F16 = RowF16;
    using Q80 = RowQ80;

    static Floats splat(float x) { return _mm512_set1_ps(x); }
    static Floats load(const float* p) { return _mm512_loadu_ps(p); }
    /// Compilers would make it a load in each operation, and loads are what there are too many of.
    static Floats load_once(const float* p)
    {
        Floats v = load(p);
        asm("" : "+v"(v));
        return v;
    }
    static void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
    static Floats load_tail(const float* p, size_t n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
    static void store_tail(float* p, Floats v, size_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), v); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
};

} // namespace

} // namespace llmk::djiblas::avx512

#include "kernels/attention_blocks.h"

namespace llmk::djiblas::avx512 {

void attention_f32(const AttentionTask& task) { attention<Isa::F32>(task); }

void attention_f16(const AttentionTask& task) { attention<Isa::F16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<Isa::Q80>(task); }

} // namespace llmk::djiblas::avx512
