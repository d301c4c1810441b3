// SPDX-License-Identifier: MIT
//
// Activations: SiLU, GELU in both forms, the soft cap. Each is a function of one vector, and two loops carry it over
// arrays.
#include "kernels/sse2/sse2.h"
#include "kernels/sse2/vector.h"

namespace llmk::djiblas::sse2 {

namespace {

/// x[i] = function(x[i]).
template <class Function> inline void apply(float* x, size_t n, Function function)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm_storeu_ps(x + i, function(_mm_loadu_ps(x + i)));
    }
    const size_t left = n - i;
    if (left != 0) {
        store_tail(x + i, function(load_tail(x + i, left)), left);
    }
}

/// gate[i] = function(gate[i]) * up[i].
template <class Function> inline void apply_gate(float* gate, const float* up, size_t n, Function function)
{
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        _mm_storeu_ps(gate + i, _mm_mul_ps(function(_mm_loadu_ps(gate + i)), _mm_loadu_ps(up + i)));
    }
    const size_t left = n - i;
    if (left != 0) {
        store_tail(gate + i, _mm_mul_ps(function(load_tail(gate + i, left)), load_tail(up + i, left)), left);
    }
}

/// a where the mask is set, b elsewhere.
inline __m128 choose(__m128 mask, __m128 a, __m128 b) { return _mm_or_ps(_mm_and_ps(mask, a), _mm_andnot_ps(mask, b)); }

struct Silu {
    __m128 operator()(__m128 v) const
    {
        const __m128 one = _mm_set1_ps(1.0f);
        return _mm_div_ps(v, _mm_add_ps(one, exp(_mm_sub_ps(_mm_setzero_ps(), v))));
    }
};

/// x / (1 + e^(-2u)), as scalar has it. A cube beyond the floats is infinite, and so -0 or x comes out as it should.
struct GeluTanh {
    __m128 operator()(__m128 x) const
    {
        // -2 * sqrt(2/pi), and 0.044715 times that.
        constexpr float kFirst = -0x1.988454p+0f;
        constexpr float kThird = -0x1.2444f2p-4f;
        const __m128 factor = _mm_add_ps(_mm_mul_ps(_mm_mul_ps(x, x), _mm_set1_ps(kThird)), _mm_set1_ps(kFirst));
        return _mm_div_ps(x, _mm_add_ps(_mm_set1_ps(1.0f), exp(_mm_mul_ps(x, factor))));
    }
};

/// x * Phi(x), Phi being the normal distribution. Phi(-a), a >= 0, is e^(-a^2/2) * P(a)/Q(a): P/Q is a minimax fit of
/// degrees 4 and 5 to erfc(a/sqrt(2)) / (2 * e^(-a^2/2)) on [0, 13.5], relative error below 2^-27; all terms are
/// positive, so nothing cancels.
struct GeluErf {
    __m128 operator()(__m128 x) const
    {
        const __m128 sign = _mm_and_ps(x, _mm_set1_ps(-0.0f));
        // From 14 on Phi(-a) rounds to 0; the polynomials stay finite.
        const __m128 a = _mm_min_ps(_mm_set1_ps(20.0f), _mm_xor_ps(x, sign));
        __m128 p = _mm_set1_ps(0x1.0695fep-8f);
        p = _mm_add_ps(_mm_mul_ps(p, a), _mm_set1_ps(0x1.46ece6p-5f));
        p = _mm_add_ps(_mm_mul_ps(p, a), _mm_set1_ps(0x1.72e58ep-3f));
        p = _mm_add_ps(_mm_mul_ps(p, a), _mm_set1_ps(0x1.bde4fp-2f));
        p = _mm_add_ps(_mm_mul_ps(p, a), _mm_set1_ps(0.5f));
        __m128 q = _mm_set1_ps(0x1.491914p-7f);
        q = _mm_add_ps(_mm_mul_ps(q, a), _mm_set1_ps(0x1.99c534p-4f));
        q = _mm_add_ps(_mm_mul_ps(q, a), _mm_set1_ps(0x1.daf716p-2f));
        q = _mm_add_ps(_mm_mul_ps(q, a), _mm_set1_ps(0x1.319586p+0f));
        q = _mm_add_ps(_mm_mul_ps(q, a), _mm_set1_ps(0x1.ab34a6p+0f));
        q = _mm_add_ps(_mm_mul_ps(q, a), _mm_set1_ps(1.0f));
        const __m128 density = exp(_mm_mul_ps(_mm_mul_ps(a, a), _mm_set1_ps(-0.5f)));
        const __m128 tail = _mm_mul_ps(density, _mm_div_ps(p, q));
        const __m128 positive = _mm_cmplt_ps(_mm_setzero_ps(), x);
        return _mm_mul_ps(x, choose(positive, _mm_sub_ps(_mm_set1_ps(1.0f), tail), tail));
    }
};

/// cap * tanh(x / cap), the tangent within 2 ulp.
struct Softcap {
    __m128 cap;

    __m128 operator()(__m128 x) const
    {
        const __m128 one = _mm_set1_ps(1.0f);
        const __m128 ratio = _mm_div_ps(x, cap);
        const __m128 sign = _mm_and_ps(ratio, _mm_set1_ps(-0.0f));
        const __m128 a = _mm_xor_ps(ratio, sign);
        // Both forms are a start less a fraction. From 1 on, 1 - 2 / (e^(2a) + 1); a NaN goes this way.
        const __m128 power = exp(_mm_add_ps(a, a));
        // Below, where that would cancel, a - a^3 * P(a^2) / Q(a^2) from Lambert's continued fraction for tanh(a) / a,
        // cut off after its 11: the error is below 2^-31.
        const __m128 z = _mm_mul_ps(a, a);
        const __m128 p = _mm_add_ps(_mm_mul_ps(_mm_add_ps(z, _mm_set1_ps(189.0f)), z), _mm_set1_ps(3465.0f));
        __m128 q = _mm_add_ps(_mm_mul_ps(_mm_add_ps(z, _mm_set1_ps(210.0f)), z), _mm_set1_ps(4725.0f));
        q = _mm_add_ps(_mm_mul_ps(q, z), _mm_set1_ps(10395.0f));
        const __m128 small = _mm_cmplt_ps(a, one);
        const __m128 start = choose(small, a, one);
        const __m128 above = choose(small, _mm_mul_ps(_mm_mul_ps(a, z), p), _mm_set1_ps(2.0f));
        const __m128 below = choose(small, q, _mm_add_ps(power, one));
        const __m128 tangent = _mm_sub_ps(start, _mm_div_ps(above, below));
        return _mm_mul_ps(cap, _mm_or_ps(tangent, sign));
    }
};

} // namespace

void swiglu(float* gate, const float* up, size_t n) { apply_gate(gate, up, n, Silu()); }

void gelu_tanh(float* x, size_t n) { apply(x, n, GeluTanh()); }

void gelu_erf(float* x, size_t n) { apply(x, n, GeluErf()); }

void geglu(float* gate, const float* up, size_t n) { apply_gate(gate, up, n, GeluTanh()); }

void softcap(float* x, size_t n, float cap) { apply(x, n, Softcap{_mm_set1_ps(cap)}); }

} // namespace llmk::djiblas::sse2
