// SPDX-License-Identifier: MIT
//
// The transformer against itself: in batches, token by token, cut among processors; and the parts of it by hand.
#include "fake/tiny_engine.h"
#include "model/archs.h"
#include "model/ops.h"

#include <cmath>
#include <cstring>
#include <random>

namespace llmk {
namespace {

std::vector<Token> some_tokens(size_t count, uint32_t seed, uint32_t vocab = 290)
{
    std::mt19937 random(seed);
    std::vector<Token> tokens(count);
    for (Token& token : tokens) {
        token = static_cast<Token>(random() % vocab);
    }
    return tokens;
}

TinyShape shape_of(int version, bool shared, int kv_heads)
{
    TinyShape shape;
    shape.version = version;
    shape.shared = shared;
    shape.kv_heads = kv_heads;
    shape.context = 200;
    return shape;
}

TEST(Forward, InOneBatchEqualsTokenByToken)
{
    for (const auto& [version, shared, kv_heads] :
         {std::tuple(0, true, 2), std::tuple(0, false, 4), std::tuple(1, true, 1), std::tuple(2, true, 2),
          std::tuple(2, false, 1)}) {
        TinyEngine tiny(shape_of(version, shared, kv_heads));
        Session& session = tiny.session();
        const auto tokens = some_tokens(150, 3); // more than one batch
        ASSERT_TRUE(session.prefill(tokens, {}).ok());
        const auto batched = tiny.logits();
        session.rewind(0);
        for (const Token token : tokens) {
            ASSERT_TRUE(session.decode(token).ok());
        }
        EXPECT_LT(largest_difference(batched, tiny.logits()), 2e-5f) << version;
        EXPECT_GT(std::fabs(batched[10] - batched[11]), 0.0f) << "they do say something";
        session.rewind(0);
        for (size_t at = 0; at < tokens.size();) {
            const size_t part = std::min<size_t>(1 + at % 37, tokens.size() - at);
            ASSERT_TRUE(session.prefill({tokens.data() + at, part}, {}).ok());
            at += part;
        }
        EXPECT_LT(largest_difference(batched, tiny.logits()), 2e-5f) << version;
    }
}

TEST(Forward, AllLogitsAreThoseOfEachPosition)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    const auto tokens = some_tokens(20, 5);
    std::vector<float> rows(tokens.size() * 290);
    ASSERT_TRUE(session.run_all_logits(tokens, rows.data()).ok());
    EXPECT_EQ(session.length(), tokens.size());
    session.rewind(0);
    for (size_t i = 0; i < tokens.size(); ++i) {
        ASSERT_TRUE(session.decode(tokens[i]).ok());
        EXPECT_LT(largest_difference(std::span(rows).subspan(i * 290, 290), tiny.logits()), 2e-5f);
    }
}

TEST(Forward, EarlierTokensAreSeenLaterOnesAreNot)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    auto tokens = some_tokens(10, 6);
    ASSERT_TRUE(session.prefill(tokens, {}).ok());
    const auto first = tiny.logits();
    session.rewind(0);
    tokens[2] = (tokens[2] + 100) % 290;
    ASSERT_TRUE(session.prefill(tokens, {}).ok());
    EXPECT_GT(largest_difference(first, tiny.logits()), 1e-4f);
    std::vector<float> rows(2 * 290);
    session.rewind(0);
    ASSERT_TRUE(session.run_all_logits({tokens.data(), 2}, rows.data()).ok());
    std::vector<float> longer(10 * 290);
    session.rewind(0);
    ASSERT_TRUE(session.run_all_logits(tokens, longer.data()).ok());
    EXPECT_LT(largest_difference(rows, std::span(longer).first(rows.size())), 2e-5f);
}

TEST(Forward, ProcessorsInAnyOrderGiveTheSame)
{
    TinyShape shape = shape_of(0, true, 2);
    shape.dim = 96;
    shape.hidden = 257; // no multiple of any block
    shape.vocab = 1003;
    const auto tokens = some_tokens(40, 8, 1003);
    std::vector<std::vector<float>> results;
    for (const auto& [processors, reversed] : {std::pair(size_t{1}, false), std::pair(size_t{4}, false),
                                               std::pair(size_t{4}, true), std::pair(size_t{13}, true)}) {
        TinyEngine tiny(shape);
        tiny.platform.processors = processors;
        tiny.platform.parallel_reversed = reversed;
        ASSERT_TRUE(tiny.session().prefill(tokens, {}).ok());
        ASSERT_TRUE(tiny.session().decode(7).ok());
        results.push_back(tiny.logits());
    }
    for (size_t i = 1; i < results.size(); ++i) {
        EXPECT_EQ(results[i], results[0]) << "how rows are cut does not change a row, " << i;
    }
}

/// A product in double, for comparison.
TEST(Ops, MatmulOfOddShapes)
{
    std::mt19937 random(2);
    FakePlatform platform;
    const KernelChoice kernels = force_kernels("scalar", CpuFeatures()).take();
    for (const size_t processors : {1u, 3u, 16u}) {
        platform.processors = processors;
        platform.parallel_reversed = processors == 3;
        const Ops ops(platform, kernels);
        for (const auto& [rows, cols, batch] :
             {std::tuple(1, 5, 1), std::tuple(17, 33, 1), std::tuple(333, 129, 1), std::tuple(15, 7, 3),
              std::tuple(333, 65, 5), std::tuple(1001, 40, 2)}) {
            std::vector<float> weights(static_cast<size_t>(rows) * static_cast<size_t>(cols));
            std::vector<float> x(static_cast<size_t>(batch) * static_cast<size_t>(cols));
            for (auto* list : {&weights, &x}) {
                for (float& value : *list) {
                    value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
                }
            }
            const size_t stride = static_cast<size_t>(rows) + 3;
            std::vector<float> y(stride * static_cast<size_t>(batch), 99.0f);
            const Tensor tensor = {reinterpret_cast<const uint8_t*>(weights.data()), TensorType::f32,
                                   static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), 0};
            ops.matmul(y.data(), stride, tensor, {x.data(), tensor.cols, static_cast<size_t>(batch), tensor.cols});
            for (int b = 0; b < batch; ++b) {
                for (int r = 0; r < rows; ++r) {
                    double sum = 0;
                    const float* row = weights.data() + ptrdiff_t{r} * cols;
                    const float* input = x.data() + ptrdiff_t{b} * cols;
                    for (int c = 0; c < cols; ++c) {
                        sum += static_cast<double>(row[c]) * static_cast<double>(input[c]);
                    }
                    ASSERT_NEAR(y[static_cast<size_t>(b) * stride + static_cast<size_t>(r)], sum, 1e-4);
                }
                for (size_t r = static_cast<size_t>(rows); r < stride; ++r) {
                    ASSERT_EQ(y[static_cast<size_t>(b) * stride + r], 99.0f) << "the gap between rows is not touched";
                }
            }
        }
    }
}

TEST(Ops, PartsAreAtLeastWorthHandingOut)
{
    FakePlatform platform;
    const KernelChoice kernels = force_kernels("scalar", CpuFeatures()).take();
    const Ops ops(platform, kernels);
    EXPECT_EQ(ops.parts_for(uint64_t{1} << 40, 100), 1u) << "one processor";
    platform.processors = 8;
    EXPECT_EQ(ops.parts_for(100, 100), 1u) << "too little";
    EXPECT_EQ(ops.parts_for(0, 0), 1u);
    EXPECT_GT(ops.parts_for(uint64_t{1} << 30, 1000), 8u);
    EXPECT_EQ(ops.parts_for(uint64_t{1} << 30, 3), 3u);
}

TEST(Ops, RowsOfPackedTensors)
{
    // 2 rows of 4 in groups of 2: int8, then scales at any byte.
    std::vector<uint8_t> bytes(1 + 8 + 16);
    const int8_t values[] = {1, -2, 3, 4, 127, -127, 0, 5};
    const float scales[] = {0.5f, 2.0f, 0.25f, 1.0f};
    std::memcpy(bytes.data() + 1, values, 8);
    std::memcpy(bytes.data() + 9, scales, 16);
    const Tensor tensor = {bytes.data() + 1, TensorType::q8_group, 2, 4, 2};
    float row[4];
    Ops::read_row(row, tensor, 1);
    EXPECT_EQ(row[0], 31.75f);
    EXPECT_EQ(row[1], -31.75f);
    EXPECT_EQ(row[2], 0.0f);
    EXPECT_EQ(row[3], 5.0f);
    Ops::read_row(row, tensor, 0);
    EXPECT_EQ(row[1], -1.0f);
    EXPECT_EQ(row[2], 6.0f);
}

TEST(Architectures, AreFoundByName)
{
    EXPECT_EQ(find_architecture("llama").value(), &kLlama);
    const auto unknown = find_architecture("mamba");
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().status, Status::unsupported);
    EXPECT_NE(unknown.error().message.view().find("mamba"), std::string_view::npos);
    EXPECT_NE(unknown.error().message.view().find("llama"), std::string_view::npos);
}

TEST(Architectures, AMissingTensorIsNamed)
{
    FakePlatform platform;
    add_tiny_model(platform);
    Model model(std::move(inspect_model(platform, "tiny.bin", {}).value().desc));
    Arena arena;
    ASSERT_TRUE(arena.add_extent(platform, 1 << 20).ok());
    const auto bound = kLlama.bind(model, arena); // no range of the file is in memory
    ASSERT_FALSE(bound.ok());
    EXPECT_EQ(bound.error().status, Status::bad_format);
    EXPECT_NE(bound.error().message.view().find("token_embd"), std::string_view::npos);
    arena.release(platform);
}

} // namespace
} // namespace llmk
