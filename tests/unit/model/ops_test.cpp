// SPDX-License-Identifier: MIT
//
// Products of weights that are not GGUF's blocks, with every kernel set: float32, and int8 with int8 inputs. Blocks are
// gguf_model_test.cpp's.
#include "model/ops.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace llmk {
namespace {

constexpr size_t kRows = 37; // past two blocks of rows, and no multiple of any
constexpr size_t kStride = kRows + 3;
constexpr float kUntouched = 99.0f;

double dot(const float* a, const float* b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    return sum;
}

double norm(const float* v, size_t n) { return std::sqrt(dot(v, v, n)); }

/// A weight, the floats that it stands for, and inputs.
struct Product {
    std::vector<uint8_t> bytes;
    Tensor tensor;
    std::vector<float> weights; ///< (kRows, cols)
    std::vector<float> x;       ///< (batch, cols)
    size_t batch;

    /// float32 where `group` is 0, int8 in groups otherwise. Rows and inputs differ in size, so that a scale taken from
    /// the wrong place shows.
    Product(size_t cols, size_t group, size_t batch_size, std::mt19937& random)
        : weights(kRows * cols), x(batch_size * cols), batch(batch_size)
    {
        std::uniform_real_distribution<float> values(-1.0f, 1.0f);
        for (size_t i = 0; i < weights.size(); ++i) {
            const size_t row = i / cols;
            weights[i] = values(random) * static_cast<float>(1 + row);
        }
        for (size_t i = 0; i < x.size(); ++i) {
            x[i] = values(random) * static_cast<float>(1 + i % 7);
        }
        if (group == 0) {
            tensor = {reinterpret_cast<const uint8_t*>(weights.data()), TensorType::f32, kRows, cols, 0};
            return;
        }
        std::vector<float> scales(weights.size() / group);
        bytes.resize(weights.size() + scales.size() * sizeof(float));
        djiblas::kScalar.quantize_q8(reinterpret_cast<int8_t*>(bytes.data()), scales.data(), weights.data(),
                                     weights.size(), group);
        std::memcpy(bytes.data() + weights.size(), scales.data(), scales.size() * sizeof(float));
        tensor = {bytes.data(), TensorType::q8_group, kRows, cols, group};
        for (size_t r = 0; r < kRows; ++r) {
            Ops::read_row(weights.data() + r * cols, tensor, r);
        }
    }
    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;

    std::vector<float> run(FakePlatform& platform, const KernelChoice& kernels) const
    {
        const Ops ops(platform, kernels);
        std::vector<int8_t> quantized(x.size());
        std::vector<float> scales(x.size());
        Workspace workspace;
        workspace.quantized = quantized.data();
        workspace.quantized_scales = scales.data();
        std::vector<float> y(batch * kStride, kUntouched);
        ops.matmul(y.data(), kStride, tensor,
                   ops.activate(workspace, x.data(), tensor.cols, batch, tensor.cols, tensor.group));
        return y;
    }
};

/// Within `float_share` of |w| |x| of the product of the floats, and within 1e-5 of it of what the scalar set gives.
void check(size_t cols, size_t group, size_t batch, double float_share, std::mt19937& random)
{
    const Product product(cols, group, batch, random);
    FakePlatform platform;
    const auto scalar = product.run(platform, force_kernels("scalar", CpuFeatures()).take());
    for (const KernelSet* set : kernel_sets()) {
        auto choice = force_kernels(set->name, detect_cpu());
        if (!choice.ok()) {
            continue; // not on this machine
        }
        platform.processors = 3;
        const auto got = product.run(platform, choice.value());
        for (size_t b = 0; b < batch; ++b) {
            for (size_t r = 0; r < kStride; ++r) {
                const float y = got[b * kStride + r];
                if (r >= kRows) {
                    ASSERT_EQ(y, kUntouched) << "the gap between rows is not touched";
                    continue;
                }
                const float* const w = product.weights.data() + r * cols;
                const float* const x = product.x.data() + b * cols;
                const double size = norm(w, cols) * norm(x, cols);
                ASSERT_NEAR(y, dot(w, x, cols), float_share * size)
                    << set->name << ", group " << group << ", row " << r << " of " << cols << ", batch " << b;
                ASSERT_NEAR(y, scalar[b * kStride + r], 1e-5 * size)
                    << set->name << ", group " << group << ", row " << r << " of " << cols << ", batch " << b;
            }
        }
    }
}

/// Which of the 64 lines of 4096 bytes the first value of a row lies in.
template <class T> size_t line_of_row(size_t row, uint64_t cols)
{
    return row * row_stride<T>(cols) * sizeof(T) % 4096 / 64;
}

TEST(RowStride, SixteenRowsBeginInDifferentLines)
{
    for (const uint64_t cols : {1, 32, 48, 49, 192, 288, 768, 992, 1024, 2048, 4096, 5632, 11008}) {
        std::vector<size_t> floats, bytes;
        for (size_t row = 0; row < 16; row++) {
            floats.push_back(line_of_row<float>(row, cols));
            bytes.push_back(line_of_row<int8_t>(row, cols));
        }
        std::sort(floats.begin(), floats.end());
        std::sort(bytes.begin(), bytes.end());
        EXPECT_EQ(std::unique(floats.begin(), floats.end()), floats.end()) << cols;
        EXPECT_EQ(std::unique(bytes.begin(), bytes.end()), bytes.end()) << cols;
        EXPECT_GE(row_stride<float>(cols), cols);
        EXPECT_LT(row_stride<float>(cols), cols + 256);
        EXPECT_GE(row_stride<int8_t>(cols), cols);
        EXPECT_EQ(row_stride<int8_t>(cols) % djiblas::kInputBlock, 0u);
    }
}

TEST(Ops, FloatProductsOfEverySet)
{
    std::mt19937 random(11);
    for (const size_t cols : {1u, 5u, 64u, 288u, 513u}) {
        for (const size_t batch : {1u, 2u, 5u, 70u}) {
            ASSERT_NO_FATAL_FAILURE(check(cols, 0, batch, 1e-6, random)) << cols << " " << batch;
        }
    }
}

/// Inputs are rounded to int8: half a step of 1/127 of the group's largest value each, of either sign.
TEST(Ops, Int8ProductsOfEverySet)
{
    std::mt19937 random(12);
    for (const size_t cols : {64u, 288u, 1280u}) {
        for (const size_t group : {8u, 16u, 32u}) {
            for (const size_t batch : {1u, 2u, 5u, 70u}) {
                ASSERT_NO_FATAL_FAILURE(check(cols, group, batch, 1e-2, random)) << cols << " " << batch;
            }
        }
    }
}

TEST(Ops, InputsReachAllRowsOnAnyNumberOfProcessors)
{
    constexpr size_t kCols = 256;
    constexpr size_t kMostRows = 1111;
    constexpr size_t kMostInputs = 8;
    std::mt19937 random(7);
    std::uniform_real_distribution<float> values(-1.0f, 1.0f);
    std::vector<float> weights(kMostRows * kCols);
    std::vector<float> x(kMostInputs * kCols);
    std::generate(weights.begin(), weights.end(), [&] { return values(random); });
    std::generate(x.begin(), x.end(), [&] { return values(random); });
    const KernelChoice kernels = force_kernels("scalar", CpuFeatures()).take();
    FakePlatform platform;
    const Ops ops(platform, kernels);
    const auto product = [&](size_t rows, size_t inputs, size_t processors) {
        platform.processors = processors;
        std::vector<float> y(inputs * kMostRows, kUntouched);
        const Tensor tensor = {reinterpret_cast<const uint8_t*>(weights.data()), TensorType::f32, rows, kCols, 0};
        ops.matmul(y.data(), kMostRows, tensor, {x.data(), kCols, inputs, kCols});
        return y;
    };
    for (const size_t inputs : {size_t{1}, kMostInputs}) {
        for (size_t rows = 1; rows <= kMostRows; rows += rows < 300 ? 13 : 101) {
            const std::vector<float> alone = product(rows, inputs, 1);
            ASSERT_EQ(static_cast<size_t>(std::count(alone.begin(), alone.end(), kUntouched)),
                      inputs * (kMostRows - rows));
            for (const size_t processors : {2u, 3u, 8u, 64u}) {
                ASSERT_EQ(product(rows, inputs, processors), alone)
                    << rows << " rows, " << inputs << " inputs, " << processors << " processors";
            }
        }
    }
}

} // namespace
} // namespace llmk
