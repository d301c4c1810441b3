// SPDX-License-Identifier: MIT
//
// Attention (kernels/attention_blocks.h) with eight floats at a time.
#include "kernels/avx2/avx2.h"
#include "kernels/avx2/vector.h"

#define LLMK_KERNEL_SET avx2

namespace llmk::djiblas::avx2 {

namespace {

inline const __m128i* vector_at(const uint8_t* p) { return reinterpret_cast<const __m128i*>(p); }

/// There are no values that load() would get wrong.
template <class Row> struct Always {
    using Careful = Row;
    static constexpr bool plain(const uint8_t*, size_t) { return true; }
};

struct RowF32 : Always<RowF32> {
    static size_t bytes(size_t head_dim) { return head_dim * sizeof(float); }
    static __m256 load(const uint8_t* row, size_t i)
    {
        return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i * sizeof(float))));
    }
    static __m256 tail(const uint8_t* row, size_t i, size_t n)
    {
        const uint8_t* const p = row + i * sizeof(float);
        return _mm256_castsi256_ps(_mm256_maskload_epi32(reinterpret_cast<const int*>(p), lane_mask(n)));
    }
};

struct RowF16 : Always<RowF16> {
    static size_t bytes(size_t head_dim) { return head_dim * kBlockF16.bytes; }
    static __m256 load(const uint8_t* row, size_t i)
    {
        return _mm256_cvtph_ps(_mm_loadu_si128(vector_at(row + i * kBlockF16.bytes)));
    }
    static __m256 tail(const uint8_t* row, size_t i, size_t n)
    {
        uint8_t last[kLanes * kBlockF16.bytes] = {};
        __builtin_memcpy(last, row + i * kBlockF16.bytes, n * kBlockF16.bytes);
        return load(last, 0);
    }
};

struct RowQ80 : Always<RowQ80> {
    static size_t bytes(size_t head_dim) { return head_dim / kBlockQ80.values * kBlockQ80.bytes; }
    static __m256 load(const uint8_t* row, size_t i)
    {
        const uint8_t* const block = row + i / kBlockQ80.values * kBlockQ80.bytes;
        uint16_t scale;
        __builtin_memcpy(&scale, block, sizeof scale);
        const __m128i codes = _mm_loadl_epi64(vector_at(block + sizeof scale + i % kBlockQ80.values));
        return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)),
                             _mm256_cvtph_ps(_mm_set1_epi16(static_cast<int16_t>(scale))));
    }
    static __m256 tail(const uint8_t*, size_t, size_t) { return _mm256_setzero_ps(); } // there is none
};

struct Isa {
    using Floats [[gnu::vector_size(32)]] = float;
    using Ints [[gnu::vector_size(32)]] = int32_t;
    static constexpr size_t kKeys = 3;
    static constexpr size_t kStraight = 64;
    static constexpr size_t kSums = 12;
    static constexpr size_t kSummed = 8;
    using F32 = RowF32;
    using F16 = RowF16;
    using Q80 = RowQ80;

    static Floats splat(float x) { return _mm256_set1_ps(x); }
    static Floats load(const float* p) { return _mm256_loadu_ps(p); }
    /// Compilers would make it a load in each operation, and loads are what there are too many of.
    static Floats load_once(const float* p)
    {
        Floats v = load(p);
        asm("" : "+v"(v));
        return v;
    }
    static void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
    static Floats load_tail(const float* p, size_t n) { return _mm256_maskload_ps(p, lane_mask(n)); }
    static void store_tail(float* p, Floats v, size_t n) { _mm256_maskstore_ps(p, lane_mask(n), v); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
};

} // namespace

} // namespace llmk::djiblas::avx2

#include "kernels/attention_blocks.h"

namespace llmk::djiblas::avx2 {

void attention_f32(const AttentionTask& task) { attention<Isa::F32>(task); }

void attention_f16(const AttentionTask& task) { attention<Isa::F16>(task); }

void attention_q8_0(const AttentionTask& task) { attention<Isa::Q80>(task); }

void pack_f16(uint8_t* out, const float* x, size_t n)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * kBlockF16.bytes), halves);
    }
    if (i < n) {
        const __m256 last = _mm256_maskload_ps(x + i, lane_mask(n - i));
        const __m128i halves = _mm256_cvtps_ph(last, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        __builtin_memcpy(out + i * kBlockF16.bytes, &halves, (n - i) * kBlockF16.bytes);
    }
}

} // namespace llmk::djiblas::avx2
