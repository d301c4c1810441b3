// SPDX-License-Identifier: MIT
//
// Activations: SiLU, GELU in both forms, the soft cap. Each is a function of one vector, and two loops carry it over
// arrays.
#include "kernels/avx512/avx512.h"
#include "kernels/avx512/vector.h"

namespace llmk::djiblas::avx512 {

namespace {

/// x[i] = function(x[i]).
template <class Function> inline void apply(float* x, size_t n, Function function)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm512_storeu_ps(x + i, function(_mm512_loadu_ps(x + i)));
    }
    if (i < n) {
        const __mmask16 mask = lane_mask(n - i);
        _mm512_mask_storeu_ps(x + i, mask, function(_mm512_maskz_loadu_ps(mask, x + i)));
    }
}

/// gate[i] = function(gate[i]) * up[i].
template <class Function> inline void apply_gate(float* gate, const float* up, size_t n, Function function)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm512_storeu_ps(gate + i, _mm512_mul_ps(function(_mm512_loadu_ps(gate + i)), _mm512_loadu_ps(up + i)));
    }
    if (i < n) {
        const __mmask16 mask = lane_mask(n - i);
        const __m512 activated = function(_mm512_maskz_loadu_ps(mask, gate + i));
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(activated, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

struct Silu {
    __m512 operator()(__m512 v) const
    {
        const __m512 one = _mm512_set1_ps(1.0f);
        return _mm512_div_ps(v, _mm512_add_ps(one, exp(_mm512_sub_ps(_mm512_setzero_ps(), v))));
    }
};

/// x / (1 + e^(-2u)), as scalar has it. A cube beyond the floats is infinite, and so -0 or x comes out as it should.
struct GeluTanh {
    __m512 operator()(__m512 x) const
    {
        // -2 * sqrt(2/pi), and 0.044715 times that.
        constexpr float kFirst = -0x1.988454p+0f;
        constexpr float kThird = -0x1.2444f2p-4f;
        const __m512 factor = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(kThird), _mm512_set1_ps(kFirst));
        return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), exp(_mm512_mul_ps(x, factor))));
    }
};

/// x * Phi(x), Phi being the normal distribution. Phi(-a), a >= 0, is e^(-a^2/2) * P(a)/Q(a): P/Q is a minimax fit of
/// degrees 4 and 5 to erfc(a/sqrt(2)) / (2 * e^(-a^2/2)) on [0, 13.5], relative error below 2^-27; all terms are
/// positive, so nothing cancels.
struct GeluErf {
    __m512 operator()(__m512 x) const
    {
        const __m512 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
        // From 14 on Phi(-a) rounds to 0; the polynomials stay finite.
        const __m512 a = _mm512_min_ps(_mm512_set1_ps(20.0f), _mm512_xor_ps(x, sign));
        __m512 p = _mm512_set1_ps(0x1.0695fep-8f);
        p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(0x1.46ece6p-5f));
        p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(0x1.72e58ep-3f));
        p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(0x1.bde4fp-2f));
        p = _mm512_fmadd_ps(p, a, _mm512_set1_ps(0.5f));
        __m512 q = _mm512_set1_ps(0x1.491914p-7f);
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(0x1.99c534p-4f));
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(0x1.daf716p-2f));
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(0x1.319586p+0f));
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(0x1.ab34a6p+0f));
        q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(1.0f));
        const __m512 density = exp(_mm512_mul_ps(_mm512_mul_ps(a, a), _mm512_set1_ps(-0.5f)));
        const __m512 tail = _mm512_mul_ps(density, _mm512_div_ps(p, q));
        const __mmask16 positive = _mm512_cmp_ps_mask(_mm512_setzero_ps(), x, _CMP_LT_OQ);
        return _mm512_mul_ps(x, _mm512_mask_sub_ps(tail, positive, _mm512_set1_ps(1.0f), tail));
    }
};

/// cap * tanh(x / cap), the tangent within 2 ulp.
struct Softcap {
    __m512 cap;

    __m512 operator()(__m512 x) const
    {
        const __m512 one = _mm512_set1_ps(1.0f);
        const __m512 ratio = _mm512_div_ps(x, cap);
        const __m512 sign = _mm512_and_ps(ratio, _mm512_set1_ps(-0.0f));
        const __m512 a = _mm512_xor_ps(ratio, sign);
        // Both forms are a start less a fraction. From 1 on, 1 - 2 / (e^(2a) + 1); a NaN goes this way.
        const __m512 power = exp(_mm512_add_ps(a, a));
        // Below, where that would cancel, a - a^3 * P(a^2) / Q(a^2) from Lambert's continued fraction for tanh(a) / a,
        // cut off after its 11: the error is below 2^-31.
        const __m512 z = _mm512_mul_ps(a, a);
        const __m512 p = _mm512_fmadd_ps(_mm512_add_ps(z, _mm512_set1_ps(189.0f)), z, _mm512_set1_ps(3465.0f));
        __m512 q = _mm512_fmadd_ps(_mm512_add_ps(z, _mm512_set1_ps(210.0f)), z, _mm512_set1_ps(4725.0f));
        q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(10395.0f));
        const __mmask16 small = _mm512_cmp_ps_mask(a, one, _CMP_LT_OQ);
        const __m512 start = _mm512_mask_blend_ps(small, one, a);
        const __m512 above = _mm512_mask_blend_ps(small, _mm512_set1_ps(2.0f), _mm512_mul_ps(_mm512_mul_ps(a, z), p));
        const __m512 below = _mm512_mask_blend_ps(small, _mm512_add_ps(power, one), q);
        const __m512 tangent = _mm512_sub_ps(start, _mm512_div_ps(above, below));
        return _mm512_mul_ps(cap, _mm512_or_ps(tangent, sign));
    }
};

} // namespace

void swiglu(float* gate, const float* up, size_t n) { apply_gate(gate, up, n, Silu()); }

void gelu_tanh(float* x, size_t n) { apply(x, n, GeluTanh()); }

void gelu_erf(float* x, size_t n) { apply(x, n, GeluErf()); }

void geglu(float* gate, const float* up, size_t n) { apply_gate(gate, up, n, GeluTanh()); }

void softcap(float* x, size_t n, float cap) { apply(x, n, Softcap{_mm512_set1_ps(cap)}); }

} // namespace llmk::djiblas::avx512
