// SPDX-License-Identifier: MIT
//
// In place of the compiler's <immintrin.h>: what the sets of AVX-512 use of it, by SIMDe in instructions that any
// processor has. The few intrinsics that SIMDe 0.7.4 lacks, or has wrong, are here, as Intel's guide gives them; where
// a later one has them, these stay.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <cstdint>
#include <cstring>

#undef _mm256_maskz_loadu_epi16
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtph_ps
#undef _mm512_dpbusd_epi32
#undef _mm512_extractf32x8_ps
#undef _mm512_fmadd_ps
#undef _mm512_fnmadd_ps
#undef _mm512_madd_epi16
#undef _mm512_mask_storeu_ps
#undef _mm512_maskz_loadu_ps
#undef _mm512_shuffle_f32x4

using __mmask16 = uint16_t;
using __mmask32 = uint32_t;

inline __m512 _mm512_maskz_loadu_ps(uint16_t mask, const void* p)
{
    float lanes[16] = {};
    for (int i = 0; i < 16; i++) {
        if ((mask >> i & 1) != 0) {
            std::memcpy(lanes + i, static_cast<const char*>(p) + i * sizeof(float), sizeof(float));
        }
    }
    return _mm512_loadu_ps(lanes);
}

inline void _mm512_mask_storeu_ps(void* p, uint16_t mask, __m512 v)
{
    float lanes[16];
    _mm512_storeu_ps(lanes, v);
    for (int i = 0; i < 16; i++) {
        if ((mask >> i & 1) != 0) {
            std::memcpy(static_cast<char*>(p) + i * sizeof(float), lanes + i, sizeof(float));
        }
    }
}

inline __m256i _mm256_maskz_loadu_epi16(uint16_t mask, const void* p)
{
    uint16_t lanes[16] = {};
    for (int i = 0; i < 16; i++) {
        if ((mask >> i & 1) != 0) {
            std::memcpy(lanes + i, static_cast<const char*>(p) + i * sizeof(uint16_t), sizeof(uint16_t));
        }
    }
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
}

inline __m256 _mm512_extractf32x8_ps(__m512 v, int half)
{
    float lanes[16];
    _mm512_storeu_ps(lanes, v);
    return _mm256_loadu_ps(lanes + 8 * half);
}

inline __m512 _mm512_cvtph_ps(__m256i v)
{
    uint16_t halves[16];
    float lanes[16];
    std::memcpy(halves, &v, sizeof halves);
    for (int i = 0; i < 16; i += 4) {
        __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(halves + i));
        _mm_storeu_ps(lanes + i, _mm_cvtph_ps(four));
    }
    return _mm512_loadu_ps(lanes);
}

template <class From, class To, class Vector> inline __m512i simde_widened(const Vector& v)
{
    From from[16];
    To to[16];
    std::memcpy(from, &v, sizeof from);
    for (int i = 0; i < 16; i++) {
        to[i] = from[i];
    }
    return _mm512_loadu_si512(to);
}

inline __m512i _mm512_cvtepi8_epi32(__m128i v) { return simde_widened<int8_t, int32_t>(v); }
inline __m512i _mm512_cvtepu16_epi32(__m256i v) { return simde_widened<uint16_t, uint32_t>(v); }

inline __m512 _mm512_cvtepi32_ps(__m512i v)
{
    int32_t from[16];
    float to[16];
    std::memcpy(from, &v, sizeof from);
    for (int i = 0; i < 16; i++) {
        to[i] = static_cast<float>(from[i]);
    }
    return _mm512_loadu_ps(to);
}

// SIMDe 0.7.4 has a macro of four arguments in its place.
inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) { return simde_mm512_madd_epi16(a, b); }

inline __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int order)
{
    float from[2][16];
    float to[16];
    std::memcpy(from[0], &a, sizeof a);
    std::memcpy(from[1], &b, sizeof b);
    for (int i = 0; i < 4; i++) {
        std::memcpy(to + 4 * i, from[i / 2] + 4 * (order >> 2 * i & 3), 4 * sizeof(float));
    }
    return _mm512_loadu_ps(to);
}

// SIMDe's widens all products, wherever it is inlined: minutes of compiling.
[[gnu::noinline]] inline __m512i _mm512_dpbusd_epi32(__m512i sums, __m512i codes, __m512i values)
{
    int32_t sum[16];
    uint8_t code[64];
    int8_t value[64];
    std::memcpy(sum, &sums, sizeof sum);
    std::memcpy(code, &codes, sizeof code);
    std::memcpy(value, &values, sizeof value);
    for (int i = 0; i < 64; i++) {
        sum[i / 4] += code[i] * value[i];
    }
    return _mm512_loadu_si512(sum);
}

// SIMDe's rounds twice.
template <int kSign> [[gnu::noinline]] inline __m512 simde_fused(__m512 a, __m512 b, __m512 c)
{
    float x[16];
    float y[16];
    float sum[16];
    _mm512_storeu_ps(x, a);
    _mm512_storeu_ps(y, b);
    _mm512_storeu_ps(sum, c);
    for (int i = 0; i < 16; i++) {
        sum[i] = __builtin_fmaf(kSign * x[i], y[i], sum[i]);
    }
    return _mm512_loadu_ps(sum);
}
inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) { return simde_fused<1>(a, b, c); }
inline __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c) { return simde_fused<-1>(a, b, c); }

// Kernels keep values in registers by assembly without instructions; of this size there are none.
#define asm(...)

// As a compiler says that it may use VPDPBUSD; kernels/panel_vectors_512.h asks.
#define __AVX512VNNI__ 1
