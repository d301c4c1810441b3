// SPDX-License-Identifier: MIT
//
// SumOrder::as_single: a batch gives the bits of its rows one by one. Every type of weight, every architecture, every
// kernel set. Lookup decoding stands on this: what it accepts must be what would have been said without it.
#include "fake/tiny_arch.h"
#include "fake/tiny_engine.h"
#include "model/archs.h"
#include "model/ops.h"

#include <cstring>
#include <random>

namespace llmk {
namespace {

constexpr size_t kRows = 37; // past two blocks of rows, and no multiple of any
constexpr size_t kStride = kRows + 3;

/// Sets that this machine can run.
std::vector<KernelChoice> usable_sets()
{
    std::vector<KernelChoice> sets;
    for (const KernelSet* set : kernel_sets()) {
        auto choice = force_kernels(set->name, detect_cpu());
        if (choice.ok()) {
            sets.push_back(choice.take());
        }
    }
    return sets;
}

bool same_bits(std::span<const float> a, std::span<const float> b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Bytes of a tensor whose scales are all small numbers: without this bit no float of any width is large or NaN.
std::vector<uint8_t> random_bytes(size_t count, std::mt19937& random)
{
    std::vector<uint8_t> bytes(count);
    for (uint8_t& byte : bytes) {
        byte = static_cast<uint8_t>(random() & 0xbf);
    }
    return bytes;
}

struct Product {
    Product(TensorType type, size_t cols, size_t group, size_t batch_size, std::mt19937& random)
        : batch(batch_size), x(batch_size * cols), q8(x.size()), scales(x.size())
    {
        const size_t values = kRows * cols;
        const TensorTypeInfo& info = tensor_type_info(type);
        const size_t size = type == TensorType::q8_group ? values + values / group * sizeof(float)
                                                         : values / info.block_values * info.block_bytes;
        bytes = random_bytes(size, random);
        tensor = {bytes.data(), type, kRows, cols, group};
        for (float& value : x) {
            value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
        }
    }
    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;

    /// y, (rows of input, kStride).
    std::vector<float> run(FakePlatform& platform, const KernelChoice& kernels, SumOrder order, size_t first,
                           size_t count)
    {
        const Ops ops(platform, kernels);
        Workspace workspace;
        workspace.quantized = q8.data();
        workspace.quantized_scales = scales.data();
        workspace.order = order;
        std::vector<float> y(count * kStride);
        const float* const from = x.data() + first * tensor.cols;
        ops.matmul(y.data(), kStride, tensor,
                   ops.activate(workspace, from, tensor.cols, count, tensor.cols, tensor.group));
        return y;
    }

    size_t batch;
    std::vector<uint8_t> bytes;
    Tensor tensor;
    std::vector<float> x;
    std::vector<int8_t> q8;
    std::vector<float> scales;
};

TEST(ExactBatch, ProductsOfEveryType)
{
    std::mt19937 random(5);
    FakePlatform platform;
    for (size_t type = 0; type < kTensorTypes; ++type) {
        for (const size_t cols : {size_t{256}, size_t{768}}) {
            for (const size_t group : {size_t{4}, size_t{64}}) {
                const size_t batch = 2 + random() % (kLogitRows - 1);
                const bool grouped = static_cast<TensorType>(type) == TensorType::q8_group;
                Product product(static_cast<TensorType>(type), cols, grouped ? group : 0, batch, random);
                for (const KernelChoice& set : usable_sets()) {
                    platform.processors = 1 + random() % 3;
                    const auto all = product.run(platform, set, SumOrder::as_single, 0, batch);
                    for (size_t b = 0; b < batch; ++b) {
                        const auto one = product.run(platform, set, SumOrder::fastest, b, 1);
                        EXPECT_TRUE(same_bits({all.data() + b * kStride, kRows}, {one.data(), kRows}))
                            << tensor_type_name(static_cast<TensorType>(type)) << ", " << set.gemm.name << ", row " << b
                            << " of " << batch << ", " << cols << " columns";
                    }
                }
            }
        }
    }
}

TEST(ExactBatch, FloatsOfAnyWidth)
{
    std::mt19937 random(6);
    FakePlatform platform;
    for (size_t cols = 1; cols < 70; ++cols) {
        for (const size_t batch : {size_t{2}, size_t{3}, size_t{4}, size_t{5}, size_t{7}, size_t{8}}) {
            Product product(TensorType::f32, cols, 0, batch, random);
            for (const KernelChoice& set : usable_sets()) {
                const auto all = product.run(platform, set, SumOrder::as_single, 0, batch);
                for (size_t b = 0; b < batch; ++b) {
                    const auto one = product.run(platform, set, SumOrder::fastest, b, 1);
                    ASSERT_TRUE(same_bits({all.data() + b * kStride, kRows}, {one.data(), kRows}))
                        << set.gemm.name << ", row " << b << " of " << batch << ", " << cols << " columns";
                }
            }
        }
    }
}

/// A conversation of few words, so that much of it can be guessed, and some of it not.
std::vector<Token> repeating_tokens(size_t count, std::mt19937& random)
{
    std::vector<Token> tokens(count);
    for (size_t i = 0; i < count; ++i) {
        tokens[i] = random() % 10 == 0 ? static_cast<Token>(3 + random() % 200) : static_cast<Token>(20 + i % 5);
    }
    return tokens;
}

/// Runs tokens one by one with and without guesses. Returns how many guesses came true.
uint64_t expect_same_logits(Engine& plain, Engine& ahead, std::span<const Token> tokens, const std::string& what)
{
    for (Engine* engine : {&plain, &ahead}) {
        engine->session().rewind(0);
        EXPECT_TRUE(engine->session().prefill(tokens.first(9), {}).ok());
    }
    const auto before = ahead.session().lookups();
    for (size_t i = 9; i < tokens.size(); ++i) {
        EXPECT_TRUE(plain.session().decode(tokens[i]).ok());
        EXPECT_TRUE(ahead.session().decode_ahead(tokens[i], Lookup::kMostDrafted).ok());
        EXPECT_EQ(ahead.session().length(), i + 1);
        if (!same_bits(plain.session().logits(), ahead.session().logits())) {
            ADD_FAILURE() << what << ", position " << i;
            break;
        }
    }
    const auto lookups = ahead.session().lookups().since(before);
    EXPECT_GT(lookups.drafted, lookups.accepted) << what << ": some guesses are wrong";
    return lookups.accepted;
}

TEST(ExactBatch, EveryArchitecture)
{
    std::mt19937 random(7);
    const auto tokens = repeating_tokens(64, random);
    for (const char* name : kTinyArchitectures) {
        FakePlatform platform;
        platform.processors = 2;
        platform.add_file("m.gguf", tiny_arch(name).bytes());
        for (const KernelChoice& set : usable_sets()) {
            Engine plain(platform);
            Engine ahead(platform);
            for (Engine* engine : {&plain, &ahead}) {
                ASSERT_TRUE(engine->start(set.gemm.name).ok());
                ASSERT_TRUE(engine->load("m.gguf", {}, 0, {}).ok());
            }
            EXPECT_GT(expect_same_logits(plain, ahead, tokens, std::string(name) + " " + set.gemm.name), 10u);
        }
    }
}

TEST(ExactBatch, Llama2cInEveryVersion)
{
    std::mt19937 random(8);
    const auto tokens = repeating_tokens(250, random);
    for (int version = 0; version <= 2; ++version) {
        TinyShape shape;
        shape.version = version;
        shape.context = 250;
        shape.dim = 40; // no multiple of a vector or a block
        shape.hidden = 56;
        for (const KernelChoice& set : usable_sets()) {
            TinyEngine plain(shape);
            TinyEngine ahead(shape);
            for (TinyEngine* tiny : {&plain, &ahead}) {
                ASSERT_TRUE(tiny->engine->use_kernels(set.gemm.name).ok());
            }
            EXPECT_GT(expect_same_logits(*plain.engine, *ahead.engine, tokens, set.gemm.name), 50u);
        }
    }
}

} // namespace
} // namespace llmk
