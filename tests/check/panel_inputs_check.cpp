// SPDX-License-Identifier: MIT
//
// Inputs of products with panels: codes, and what goes with them.
#include "check.h"

#include "kernels/panels.h"

#include <bit>
#include <cfloat>
#include <cmath>
#include <numeric>

namespace llmk::check {

namespace {

using djiblas::InputScale;
using djiblas::kInputBlock;

class PanelInputsCheck : public KernelCheck {
protected:
    void expect_quantized(const Input<float>& x)
    {
        Output<int8_t> q(x.size(), 0);
        std::vector<InputScale> scales(x.size() / kInputBlock);
        set().quantize_input(q.data(), scales.data(), x.data(), x.size());
        ASSERT_TRUE(q.intact());
        for (size_t i = 0; i < scales.size(); i++) {
            const float* const values = x.data() + i * kInputBlock;
            const int8_t* const codes = q.data() + i * kInputBlock;
            expect_codes(values, codes, scales[i].scale);
            expect_sums(codes, scales[i]);
        }
    }

private:
    static void expect_codes(const float* x, const int8_t* codes, float scale)
    {
        float peak = 0.0f;
        for (size_t j = 0; j < kInputBlock; j++) {
            peak = std::isnan(x[j]) || std::fabs(x[j]) > peak ? std::fabs(x[j]) : peak;
            if (std::isnan(peak)) {
                break;
            }
        }
        if (std::isnan(peak)) {
            ASSERT_TRUE(std::isnan(scale));
        } else {
            ASSERT_EQ(std::bit_cast<uint32_t>(scale), std::bit_cast<uint32_t>(peak / 127.0f) & ~3u);
        }
        const bool zeros = !std::isfinite(peak) || peak < 0x1p-120f;
        for (size_t j = 0; j < kInputBlock; j++) {
            ASSERT_EQ(codes[j], zeros ? 0.0f : std::round(x[j] * (127.0f / peak))) << x[j] << " of " << peak;
        }
    }
    static void expect_sums(const int8_t* codes, const InputScale& scale)
    {
        const int halves[2] = {std::accumulate(codes, codes + 16, 0), std::accumulate(codes + 16, codes + 32, 0)};
        for (size_t j = 0; j < 4; j++) {
            const int8_t* const first = codes + j / 2 * 16 + j % 2 * 2;
            int pair = 0;
            for (size_t k = 0; k < 16; k += 4) {
                pair += first[k] + first[k + 1];
            }
            ASSERT_EQ(scale.pairs[j / 2].sums[j % 2], pair) << j;
        }
        ASSERT_TRUE(scale.halves[0] == halves[0] && scale.halves[1] == halves[1]);
        const int sums[3] = {halves[0], halves[1], halves[0] + halves[1]};
        for (size_t j = 0; j < 3; j++) {
            ASSERT_EQ(std::bit_cast<float>(scale.starts[j]), djiblas::kSumStart - 128.0f * static_cast<float>(sums[j]));
        }
        for (size_t j = 0; j < 3; j++) {
            ASSERT_EQ(ulp_distance(scale.sums[j], scale.scale * static_cast<float>(sums[j])), 0u);
        }
        if (std::isfinite(scale.scale)) {
            const double start = -1.0 * djiblas::kSumStart * scale.scale; // exact
            if (start >= -FLT_MAX) {                                      // as of any activation that a model has
                ASSERT_EQ(scale.minus_start, start);
            }
        }
    }
};

TEST_P(PanelInputsCheck, CodesAndSums)
{
    for (size_t blocks = 0; blocks <= 5; blocks++) {
        for (size_t offset = 0; offset < 4; offset++) {
            Input<float> x = input(blocks * kInputBlock, offset, 3.0f);
            for (size_t i = 0; blocks == 3 && i < kInputBlock; i++) {
                x.set(i, 0.0f);
            }
            expect_quantized(x);
        }
    }
}

/// Where rounding turns: halves, and the numbers beside them. With a peak of 127 the factor is 1.
TEST_P(PanelInputsCheck, HalvesGoAwayFromZero)
{
    for (int whole = 0; whole < 127; whole++) {
        Input<float> x = input(kInputBlock, 0);
        const float half = static_cast<float>(whole) + 0.5f;
        const float values[] = {half,  std::nextafter(half, 0.0f),  std::nextafter(half, 200.0f),
                                -half, std::nextafter(-half, 0.0f), std::nextafter(-half, -200.0f)};
        for (size_t i = 0; i < std::size(values); i++) {
            x.set(5 * i, values[i]);
        }
        x.set(31, whole % 2 == 0 ? 127.0f : -127.0f);
        expect_quantized(x);
    }
}

TEST_P(PanelInputsCheck, PeaksOfAnySize)
{
    for (int exponent = -149; exponent < 128; exponent++) {
        Input<float> x = input(kInputBlock, 0);
        for (size_t i = 0; i < kInputBlock; i++) {
            x.set(i, std::ldexp(real(), exponent));
        }
        expect_quantized(x);
    }
}

TEST_P(PanelInputsCheck, WhatIsNoNumberSpoilsItsBlockOnly)
{
    for (const float value : {INFINITY, -INFINITY, NAN}) {
        for (size_t at = 0; at < 3 * kInputBlock; at += 7) {
            Input<float> x = input(3 * kInputBlock, 0);
            x.set(at, value);
            expect_quantized(x);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, PanelInputsCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
