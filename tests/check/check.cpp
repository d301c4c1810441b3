// SPDX-License-Identifier: MIT
//
// The reference kernels, and the proof that a set asked for by name is the set that runs.
#include "check.h"

#include <algorithm>
#include <cmath>

namespace llmk::check {

namespace {

double dot(const float* a, const float* b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    return sum;
}

float dot_f32(const float* a, const float* b, size_t n) { return static_cast<float>(dot(a, b, n)); }

void gemm_f32(float* y, size_t y_stride, const float* w, const float* x, size_t x_stride, size_t rows, size_t cols,
              size_t batch)
{
    for (size_t b = 0; b < batch; b++) {
        for (size_t r = 0; r < rows; r++) {
            y[b * y_stride + r] = dot_f32(w + r * cols, x + b * x_stride, cols);
        }
    }
}

void gemv_f32(float* y, const float* w, const float* x, size_t rows, size_t cols)
{
    gemm_f32(y, rows, w, x, cols, rows, cols, 1);
}

/// Unpacked by the scalar kernels, whose every pattern dequantize_check.cpp goes through.
void gemv_unpacked(djiblas::Dequantize unpack, float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    std::vector<float> values(rows * cols);
    unpack(values.data(), w, rows * cols);
    gemv_f32(y, values.data(), x, rows, cols);
}

void gemv_f16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_unpacked(djiblas::kScalar.dequantize_f16, y, w, x, rows, cols);
}

void gemv_bf16(float* y, const uint8_t* w, const float* x, size_t rows, size_t cols)
{
    gemv_unpacked(djiblas::kScalar.dequantize_bf16, y, w, x, rows, cols);
}

void quantize_q8(int8_t* q, float* scales, const float* x, size_t n, size_t group)
{
    for (size_t g = 0; g < n / group; g++) {
        float peak = 0.0f;
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            const float magnitude = std::fabs(x[i]);
            peak = magnitude > peak || std::isnan(magnitude) ? magnitude : peak;
            if (std::isnan(peak)) {
                break;
            }
        }
        scales[g] = peak / 127.0f;
        for (size_t i = g * group; i < (g + 1) * group; i++) {
            const float quotient = scales[g] == 0.0f ? 0.0f : x[i] / scales[g];
            q[i] = static_cast<int8_t>(
                std::isnan(quotient) ? 0.0f : std::round(std::fmax(-127.0f, std::fmin(127.0f, quotient))));
        }
    }
}

void gemm_q8(float* y, size_t y_stride, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x,
             const float* x_scales, size_t rows, size_t cols, size_t group, size_t batch)
{
    const size_t groups = cols / group;
    for (size_t b = 0; b < batch; b++) {
        for (size_t r = 0; r < rows; r++) {
            double sum = 0.0;
            for (size_t c = 0; c < cols; c++) {
                const size_t g = c / group;
                sum += static_cast<double>(w[r * cols + c] * x[b * cols + c]) *
                       static_cast<double>(w_scales[r * groups + g]) * static_cast<double>(x_scales[b * groups + g]);
            }
            y[b * y_stride + r] = static_cast<float>(sum);
        }
    }
}

void gemv_q8(float* y, const int8_t* w, const UnalignedF32* w_scales, const int8_t* x, const float* x_scales,
             size_t rows, size_t cols, size_t group)
{
    gemm_q8(y, rows, w, w_scales, x, x_scales, rows, cols, group, 1);
}

/// What a query sees of packed keys and values, in double: scores, their exponentials, the weighted sum.
void attention(const djiblas::AttentionTask& task, djiblas::Dequantize unpack, djiblas::BlockShape block)
{
    const size_t dim = task.head_dim;
    const size_t row_bytes = dim / block.values * block.bytes;
    std::vector<float> row(dim);
    for (size_t index = 0; index < task.count * task.heads; index++) {
        const size_t query = index / task.heads;
        const size_t offset = query * task.stride + index % task.heads * dim;
        const size_t seen = task.position + query + 1;
        const size_t first = std::max(task.begin, seen > task.window ? seen - task.window : 0);
        const size_t end = std::min(task.end, seen);
        std::vector<double> scores;
        for (size_t t = first; t < end; t++) {
            unpack(row.data(), task.keys + t * row_bytes, dim);
            double score = dot(task.query + offset, row.data(), dim) / static_cast<double>(task.divisor);
            if (task.softcap != 0.0f) {
                const double cap = static_cast<double>(task.softcap);
                score = cap * std::tanh(score / cap);
            }
            scores.push_back(score);
        }
        double peak = -INFINITY;
        for (const double score : scores) {
            peak = std::fmax(peak, score);
        }
        double sum = 0.0;
        std::vector<double> values(dim, 0.0);
        for (size_t t = first; t < end; t++) {
            const double weight = std::exp(scores[t - first] - peak);
            sum += weight;
            unpack(row.data(), task.values + t * row_bytes, dim);
            for (size_t i = 0; i < dim; i++) {
                values[i] += weight * static_cast<double>(row[i]);
            }
        }
        for (size_t i = 0; i < dim; i++) {
            task.out[offset + i] = static_cast<float>(values[i] / sum);
        }
    }
}

void copy_floats(float* out, const uint8_t* blocks, size_t n) { std::memcpy(out, blocks, n * sizeof(float)); }

void attention_f32(const djiblas::AttentionTask& task) { attention(task, copy_floats, {1, sizeof(float)}); }

void attention_f16(const djiblas::AttentionTask& task)
{
    attention(task, djiblas::kScalar.dequantize_f16, djiblas::kBlockF16);
}

void attention_q8_0(const djiblas::AttentionTask& task)
{
    attention(task, djiblas::kScalar.dequantize_q8_0, djiblas::kBlockQ80);
}

void attention_merge(float* out, const float* partial, const float* peaks, const float* sums, size_t parts, size_t rows,
                     size_t head_dim)
{
    for (size_t r = 0; r < rows; r++) {
        double peak = -INFINITY;
        for (size_t p = 0; p < parts; p++) {
            peak = std::fmax(peak, static_cast<double>(peaks[p * rows + r]));
        }
        double total = 0.0;
        std::vector<double> values(head_dim, 0.0);
        for (size_t p = 0; p < parts; p++) {
            const double weight = std::exp(static_cast<double>(peaks[p * rows + r]) - peak);
            total += weight * static_cast<double>(sums[p * rows + r]);
            for (size_t i = 0; i < head_dim; i++) {
                values[i] += weight * static_cast<double>(partial[(p * rows + r) * head_dim + i]);
            }
        }
        for (size_t i = 0; i < head_dim; i++) {
            out[r * head_dim + i] = static_cast<float>(values[i] / total);
        }
    }
}

/// The difference is the contract's own float subtraction; only what comes after it is in double.
void softmax(float* x, size_t n)
{
    float max = x[0];
    for (size_t i = 0; i < n; i++) {
        max = std::fmax(max, x[i]);
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += std::exp(static_cast<double>(x[i] - max));
    }
    for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<float>(std::exp(static_cast<double>(x[i] - max)) / sum);
    }
}

void rmsnorm(float* out, const float* x, const float* weight, size_t n, float epsilon)
{
    const double mean = dot(x, x, n) / static_cast<double>(n);
    const double root = std::sqrt(mean + static_cast<double>(epsilon));
    for (size_t i = 0; i < n; i++) {
        out[i] = static_cast<float>(static_cast<double>(x[i]) / root * static_cast<double>(weight[i]));
    }
}

void layernorm(float* out, const float* x, const float* weight, const float* bias, size_t n, float epsilon)
{
    std::vector<double> centred(x, x + n);
    double mean = 0.0;
    for (const double v : centred) {
        mean += v / static_cast<double>(n);
    }
    double variance = 0.0;
    for (double& v : centred) {
        v -= mean;
        variance += v * v / static_cast<double>(n);
    }
    for (size_t i = 0; i < n; i++) {
        const double offset = bias == nullptr ? 0.0 : static_cast<double>(bias[i]);
        out[i] = static_cast<float>(
            centred[i] / std::sqrt(variance + static_cast<double>(epsilon)) * static_cast<double>(weight[i]) + offset);
    }
}

void swiglu(float* gate, const float* up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double v = static_cast<double>(gate[i]);
        gate[i] = static_cast<float>(v / (1.0 + std::exp(-v)) * static_cast<double>(up[i]));
    }
}

/// (1 + tanh(u)) / 2 as 1 / (1 + e^(-2u)), which does not cancel.
void gelu_tanh(float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double v = static_cast<double>(x[i]);
        const double u = std::sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v);
        x[i] = static_cast<float>(v / (1.0 + std::exp(-2.0 * u)));
    }
}

void gelu_erf(float* x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double v = static_cast<double>(x[i]);
        x[i] = static_cast<float>(v / 2.0 * std::erfc(-v / std::sqrt(2.0)));
    }
}

void geglu(float* gate, const float* up, size_t n)
{
    gelu_tanh(gate, n);
    for (size_t i = 0; i < n; i++) {
        gate[i] *= up[i];
    }
}

void softcap(float* x, size_t n, float cap)
{
    const double limit = static_cast<double>(cap);
    for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<float>(limit * std::tanh(static_cast<double>(x[i]) / limit));
    }
}

void add(float* x, const float* y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = static_cast<float>(static_cast<double>(x[i]) + static_cast<double>(y[i]));
    }
}

/// Pair `pair` of a head: values `first` and `second`, which turn by angle `pair`.
void rope(float* head, const float* cos, const float* sin, size_t pair, size_t first, size_t second)
{
    const double a = static_cast<double>(head[first]);
    const double b = static_cast<double>(head[second]);
    const double c = static_cast<double>(cos[pair]);
    const double s = static_cast<double>(sin[pair]);
    head[first] = static_cast<float>(a * c - b * s);
    head[second] = static_cast<float>(a * s + b * c);
}

void rope_pairs(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    for (size_t i = 0; i < heads * rope_dim / 2; i++) {
        const size_t pair = i % (rope_dim / 2);
        rope(x + i / (rope_dim / 2) * head_dim, cos, sin, pair, 2 * pair, 2 * pair + 1);
    }
}

void rope_halves(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim, size_t rope_dim)
{
    for (size_t i = 0; i < heads * rope_dim / 2; i++) {
        const size_t pair = i % (rope_dim / 2);
        rope(x + i / (rope_dim / 2) * head_dim, cos, sin, pair, pair, pair + rope_dim / 2);
    }
}

} // namespace

const KernelSet kReference = {
    .name = "reference",
    .title = "Reference",
    .features = 0,
    .dot_f32 = dot_f32,
    .gemv_f32 = gemv_f32,
    .gemv_f16 = gemv_f16,
    .gemv_bf16 = gemv_bf16,
    .gemm_f32 = gemm_f32,
    .quantize_q8 = quantize_q8,
    .gemv_q8 = gemv_q8,
    .gemm_q8 = gemm_q8,
    .attention_f32 = attention_f32,
    .attention_f16 = attention_f16,
    .attention_q8_0 = attention_q8_0,
    .attention_merge = attention_merge,
    .softmax = softmax,
    .rmsnorm = rmsnorm,
    .layernorm = layernorm,
    .swiglu = swiglu,
    .gelu_tanh = gelu_tanh,
    .gelu_erf = gelu_erf,
    .geglu = geglu,
    .softcap = softcap,
    .add = add,
    .rope_pairs = rope_pairs,
    .rope_halves = rope_halves,
};

std::vector<const KernelSet*> all_sets()
{
    const auto sets = kernel_sets();
    return {sets.begin(), sets.end()};
}

void KernelCheck::take(const KernelSet& own)
{
    const CpuFeatures cpu = detect_cpu();
    if ((own.features & ~cpu.mask) != 0) {
        GTEST_SKIP() << "this processor has no " << own.name;
    }
    Result<KernelSet> completed = complete_kernel_set(own.name, cpu);
    ASSERT_TRUE(completed.ok()) << completed.error().message.view();
    m_set = completed.value();
    m_oracle = &own == &djiblas::kScalar ? &kReference : &djiblas::kScalar;
}

std::string set_name(const testing::TestParamInfo<const KernelSet*>& info) { return info.param->name; }

namespace {

/// If the set's own pointer is there, it is the one that is called; the other checks then speak about the set they
/// name.
TEST_P(KernelCheck, TheSetAskedForIsTheOneThatRuns)
{
    const KernelSet& own = *GetParam();
    const auto same = [](auto mine, auto completed) {
        return mine == nullptr ? completed != nullptr : mine == completed;
    };
    EXPECT_STREQ(set().name, own.name);
    EXPECT_TRUE(same(own.dot_f32, set().dot_f32));
    EXPECT_TRUE(same(own.gemv_f32, set().gemv_f32));
    EXPECT_TRUE(same(own.gemv_f16, set().gemv_f16));
    EXPECT_TRUE(same(own.gemv_bf16, set().gemv_bf16));
    EXPECT_TRUE(same(own.gemm_f32, set().gemm_f32));
    EXPECT_TRUE(same(own.gemm_f32_exact, set().gemm_f32_exact));
    EXPECT_TRUE(same(own.quantize_q8, set().quantize_q8));
    EXPECT_TRUE(same(own.gemv_q8, set().gemv_q8));
    EXPECT_TRUE(same(own.gemm_q8, set().gemm_q8));
    EXPECT_TRUE(same(own.attention_f32, set().attention_f32));
    EXPECT_TRUE(same(own.attention_f16, set().attention_f16));
    EXPECT_TRUE(same(own.attention_q8_0, set().attention_q8_0));
    EXPECT_TRUE(same(own.attention_merge, set().attention_merge));
    EXPECT_TRUE(same(own.pack_f16, set().pack_f16));
    EXPECT_TRUE(same(own.pack_q8_0, set().pack_q8_0));
    EXPECT_TRUE(same(own.softmax, set().softmax));
    EXPECT_TRUE(same(own.rmsnorm, set().rmsnorm));
    EXPECT_TRUE(same(own.layernorm, set().layernorm));
    EXPECT_TRUE(same(own.swiglu, set().swiglu));
    EXPECT_TRUE(same(own.gelu_tanh, set().gelu_tanh));
    EXPECT_TRUE(same(own.gelu_erf, set().gelu_erf));
    EXPECT_TRUE(same(own.geglu, set().geglu));
    EXPECT_TRUE(same(own.softcap, set().softcap));
    EXPECT_TRUE(same(own.add, set().add));
    EXPECT_TRUE(same(own.rope_pairs, set().rope_pairs));
    EXPECT_TRUE(same(own.rope_halves, set().rope_halves));
}

TEST_P(KernelCheck, NoTwoSetsShareAKernel)
{
    for (const KernelSet* other : kernel_sets()) {
        if (other != GetParam()) {
            // A set that leaves a kernel to the sets below shares it by not naming it.
            const auto apart = [](auto mine, auto others) { return mine == nullptr || mine != others; };
            EXPECT_TRUE(apart(GetParam()->gemv_f32, other->gemv_f32));
            EXPECT_TRUE(apart(GetParam()->gemm_f32, other->gemm_f32));
            EXPECT_TRUE(apart(GetParam()->gemv_f16, other->gemv_f16));
            EXPECT_TRUE(apart(GetParam()->gemm_q8, other->gemm_q8));
            EXPECT_TRUE(apart(GetParam()->softmax, other->softmax));
            EXPECT_TRUE(apart(GetParam()->attention_f16, other->attention_f16));
        }
    }
}

LLMK_CHECK_ALL_SETS();

} // namespace

} // namespace llmk::check
