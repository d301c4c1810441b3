// SPDX-License-Identifier: MIT
//
// GGUF models as they run: the same numbers as the llama2.c file of the same weights, what the Llama architecture
// refuses, and packed weights against their floats.
#include "fake/gguf_file.h"
#include "fake/tiny_engine.h"
#include "model/archs.h"
#include "model/ops.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

namespace llmk {
namespace {

std::vector<float> logits_of(const std::string& name, const std::string& file, std::span<const Token> tokens)
{
    FakePlatform platform;
    platform.add_file(name, file);
    platform.add_file("tokenizer.bin", tokenizer_file(tiny_vocabulary(290)));
    Engine engine(platform);
    EXPECT_TRUE(engine.start("scalar").ok());
    auto loaded = engine.load(name, {}, 0, {});
    EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message.view());
    if (!loaded.ok()) {
        return {};
    }
    EXPECT_EQ(engine.zones()[ZoneId::weights].size_bytes(), engine.session().plan().weights);
    EXPECT_TRUE(engine.session().prefill(tokens.first(tokens.size() - 1), {}).ok());
    EXPECT_TRUE(engine.session().decode(tokens.back()).ok());
    const auto logits = engine.session().logits();
    EXPECT_FALSE(engine.zones().broken_guard());
    return {logits.begin(), logits.end()};
}

constexpr Token kTokens[] = {1, 270, 280, 265, 289, 3};

TEST(GgufModel, TheSameLogitsAsTheLlama2cFile)
{
    for (const bool shared : {true, false}) {
        TinyShape shape;
        shape.shared = shared;
        const auto expected = logits_of("m.bin", tiny_model(shape), kTokens);
        EXPECT_EQ(logits_of("m.gguf", tiny_gguf(shape).bytes(), kTokens), expected);
        GgufFile file = tiny_gguf(shape);
        file.alignment = 4096;
        EXPECT_EQ(logits_of("m.gguf", file.bytes(), kTokens), expected);
    }
}

TEST(GgufModel, ItsVocabularyIsItsOwn)
{
    FakePlatform platform;
    platform.add_file("m.gguf", tiny_gguf().bytes());
    platform.add_file("tokenizer.bin", "not looked at");
    const InspectedModel found = inspect_model(platform, "m.gguf", {}).take();
    EXPECT_EQ(found.desc.vocabulary.path.view(), "m.gguf");
    platform.add_file("other.bin", tokenizer_file(tiny_vocabulary(290)));
    EXPECT_EQ(inspect_model(platform, "m.gguf", "other.bin").take().desc.vocabulary.kind, VocabularyKind::llama2c);
    platform.add_file("small.gguf", tiny_gguf({.vocab = 280}).bytes());
    EXPECT_TRUE(inspect_model(platform, "m.gguf", "small.gguf").ok()) << "a table may be longer than the vocabulary";
    const auto wrong = inspect_model(platform, "small.gguf", "m.gguf");
    ASSERT_FALSE(wrong.ok());
    EXPECT_NE(wrong.error().message.view().find("has 290 tokens, the model's token_embd has 280 rows"),
              std::string_view::npos);
    GgufFile none = tiny_gguf();
    for (const char* key : {"model", "tokens", "scores", "token_type"}) {
        none.remove(std::string("tokenizer.ggml.") + key);
    }
    platform.add_file("none.gguf", none.bytes());
    const auto missing = inspect_model(platform, "none.gguf", {});
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.view().find("'tokenizer.ggml.tokens' is missing"), std::string_view::npos);
    EXPECT_TRUE(inspect_model(platform, "none.gguf", "other.bin").ok());
}

TEST(GgufModel, ChatsWithItsOwnTokenizer)
{
    FakePlatform platform;
    platform.add_file("m.gguf", tiny_gguf().bytes());
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    ASSERT_TRUE(engine.load("m.gguf", {}, 0, {}).ok());
    TinyEngine other;
    std::vector<Token> ids(100);
    auto count = engine.model().tokenizer->encode("the the in", BosRule::add, ids, engine.session().scratch());
    ids.resize(count.ok() ? count.value() : 0);
    EXPECT_EQ(ids, other.encode("the the in"));
    EXPECT_TRUE(engine.model().tokenizer->is_end(2));
    engine.unload();
}

std::string refusal(const GgufFile& file)
{
    FakePlatform platform;
    platform.add_file("m.gguf", file.bytes());
    auto model = inspect_model(platform, "m.gguf", {});
    EXPECT_EQ(platform.open_files(), 0u);
    return model.ok() ? "" : std::string(model.error().message.view());
}

void expect_refused(const GgufFile& file, const std::string& words)
{
    EXPECT_NE(refusal(file).find(words), std::string::npos) << refusal(file) << " lacks " << words;
    EXPECT_EQ(refusal(file).find("m.gguf: "), 0u) << refusal(file);
}

TEST(LlamaCheck, MissingKeysAreNamed)
{
    EXPECT_EQ(refusal(tiny_gguf()), "");
    for (const char* name : {"embedding_length", "feed_forward_length", "block_count", "attention.head_count",
                             "context_length", "attention.layer_norm_rms_epsilon"}) {
        GgufFile file = tiny_gguf();
        const std::string key = std::string("llama.") + name;
        file.remove(key);
        expect_refused(file, "'" + key + "' is missing or 0");
    }
    GgufFile file = tiny_gguf({.kv_heads = 4});
    file.remove("llama.attention.head_count_kv");
    EXPECT_EQ(refusal(file), "") << "as many as there are heads";
    file = tiny_gguf();
    file.text("general.architecture", "mamba");
    expect_refused(file,
                   "architecture 'mamba' is not known; known are: gemma2, gemma3, gpt2, llama, phi3, qwen2, qwen3");
}

TEST(LlamaCheck, NumbersThatDoNotFit)
{
    const struct {
        const char* key;
        uint32_t value;
        const char* words;
    } wrong[] = {
        {"attention.head_count_kv", 3, "does not divide"},
        {"attention.head_count_kv", 0, "missing or 0"},
        {"attention.head_count", 3, "does not divide"},
        {"attention.key_length", 5, "value_length"},
        {"rope.dimension_count", 6, "'llama.rope.dimension_count' is 6, expected an even number up to the 4 values"},
        {"rope.dimension_count", 3, "'llama.rope.dimension_count' is 3, expected an even number"},
        {"embedding_length", 32, "tensor token_embd.weight has 290 rows of 16 values, expected 290 of 32"},
        {"feed_forward_length", 25, "blk.0.ffn_gate.weight has 24 rows of 16 values, expected 25 of 16"},
        {"block_count", 1, "tensor blk.1.attn_norm.weight is there, but 'llama.block_count' is 1"},
        {"block_count", 3, "tensor blk.2.attn_norm.weight is missing"},
        {"block_count", 2'000'000'000, "tensor blk.2.attn_norm.weight is missing"}};
    for (const auto& each : wrong) {
        GgufFile file = tiny_gguf();
        file.u32(std::string("llama.") + each.key, each.value);
        if (std::string_view(each.key) == "attention.key_length") {
            file.u32("llama.attention.value_length", each.value);
            expect_refused(file, "'llama.attention.key_length' is 5: RoPE needs an even number");
        } else {
            expect_refused(file, each.words);
        }
    }
    GgufFile file = tiny_gguf();
    file.text("llama.rope.scaling.type", "dynamic");
    expect_refused(file, "'llama.rope.scaling.type' is 'dynamic', known are: none, linear, yarn, longrope");
    file.text("llama.rope.scaling.type", "none");
    EXPECT_EQ(refusal(file), "");
    file.u32("llama.context_length", 0x7fffffff);
    EXPECT_EQ(refusal(file), "") << "the context is shrunk to what fits";
}

TEST(LlamaCheck, TensorsThatAreMissingOrForeign)
{
    for (const std::string name : {"output_norm.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"}) {
        GgufFile file = tiny_gguf();
        file.remove_tensor(name);
        expect_refused(file, "tensor " + name + " is missing");
    }
    GgufFile headless = tiny_gguf();
    headless.remove_tensor("token_embd.weight");
    expect_refused(headless, "tensor token_embd.weight is missing");
    GgufFile file = tiny_gguf();
    file.tensors.push_back({"blk.0.ffn_gate_inp.weight", {16}, 0, std::string(64, '\0')});
    expect_refused(file, "tensor blk.0.ffn_gate_inp.weight has no part");
    file = tiny_gguf();
    file.tensors.clear();
    expect_refused(file, "has no tensors: it is a vocabulary only");
}

std::string floats(const std::vector<float>& values)
{
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

TEST(GgufModel, RopeFactorsDivideTheFrequencies)
{
    const auto plain = logits_of("m.gguf", tiny_gguf().bytes(), kTokens);
    GgufFile file = tiny_gguf();
    file.tensors.push_back({"rope_freqs.weight", {2}, 0, floats({1.0f, 1.0f})});
    EXPECT_EQ(logits_of("m.gguf", file.bytes(), kTokens), plain);
    file.tensors.back().data = floats({4.0f, 4.0f});
    const auto divided = logits_of("m.gguf", file.bytes(), kTokens);
    EXPECT_NE(divided, plain);
    GgufFile linear = tiny_gguf();
    linear.text("llama.rope.scaling.type", "linear");
    linear.f32("llama.rope.scaling.factor", 4.0f);
    EXPECT_EQ(logits_of("m.gguf", linear.bytes(), kTokens), divided);
    GgufFile old = tiny_gguf();
    old.f32("llama.rope.scale_linear", 4.0f);
    EXPECT_EQ(logits_of("m.gguf", old.bytes(), kTokens), divided);
}

TEST(GgufModel, HeadsNeedNotDivideTheEmbedding)
{
    // Two heads of four values over an embedding of sixteen: the query is narrower than the residual stream.
    GgufFile file = tiny_gguf({.heads = 4, .kv_heads = 4});
    file.u32("llama.attention.head_count", 2);
    file.u32("llama.attention.head_count_kv", 2);
    file.u32("llama.attention.key_length", 4);
    file.u32("llama.attention.value_length", 4);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
        for (const char* name : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
            auto& tensor = file.tensor(layer + name);
            tensor.dimensions = {16, 8};
            tensor.data.resize(16 * 8 * 4);
        }
        auto& output = file.tensor(layer + "attn_output.weight");
        output.dimensions = {8, 16};
        output.data.resize(16 * 8 * 4);
    }
    const auto batch = logits_of("m.gguf", file.bytes(), kTokens);
    ASSERT_EQ(batch.size(), 290u);
    for (const float logit : batch) {
        EXPECT_TRUE(std::isfinite(logit));
    }
    // Twice as wide as the embedding: four heads of eight.
    GgufFile wide = tiny_gguf({.heads = 4, .kv_heads = 4});
    wide.remove("llama.rope.dimension_count");
    wide.u32("llama.attention.key_length", 8);
    wide.u32("llama.attention.value_length", 8);
    for (const std::string layer : {"blk.0.", "blk.1."}) {
        for (const char* name : {"attn_q.weight", "attn_k.weight", "attn_v.weight"}) {
            auto& tensor = wide.tensor(layer + name);
            tensor.dimensions = {16, 32};
            tensor.data += tensor.data;
        }
        auto& output = wide.tensor(layer + "attn_output.weight");
        output.dimensions = {32, 16};
        output.data += output.data;
    }
    EXPECT_EQ(logits_of("m.gguf", wide.bytes(), kTokens).size(), 290u);
}

/// Binary16 of a float that is one exactly.
uint16_t half_of(float value)
{
    const auto bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) == 0) {
        return static_cast<uint16_t>(bits >> 16);
    }
    return static_cast<uint16_t>((bits >> 16 & 0x8000u) | ((bits >> 13 & 0x3ffffu) - (112u << 10)));
}

TEST(GgufModel, HalfPrecisionGivesTheLogitsOfItsFloats)
{
    GgufFile rounded = tiny_gguf();
    GgufFile halves = tiny_gguf();
    for (size_t i = 0; i < halves.tensors.size(); ++i) {
        std::string& from = rounded.tensors[i].data;
        std::string to;
        for (size_t at = 0; at < from.size(); at += 4) {
            uint32_t bits = 0;
            std::memcpy(&bits, from.data() + at, 4);
            bits = (bits >> 23 & 0xff) < 113 ? 0 : bits & 0xffffe000u; // what binary16 holds
            std::memcpy(from.data() + at, &bits, 4);
            to += raw(half_of(std::bit_cast<float>(bits)));
        }
        halves.tensors[i].data = to; // norms too
        halves.tensors[i].type = 1;
    }
    FakePlatform platform;
    platform.add_file("m.gguf", halves.bytes());
    EXPECT_EQ(inspect_model(platform, "m.gguf", {}).take().desc.type.view(), "F16");
    const auto expected = logits_of("m.gguf", rounded.bytes(), kTokens);
    const auto got = logits_of("m.gguf", halves.bytes(), kTokens);
    EXPECT_LT(largest_difference(got, expected), 1e-5f);
}

/// Bytes of `count` blocks whose scales are small numbers and whose codes are anything.
std::vector<uint8_t> random_blocks(const TensorTypeInfo& type, size_t count, std::mt19937& random)
{
    std::vector<uint8_t> bytes(count * type.block_bytes);
    for (uint8_t& byte : bytes) {
        byte = static_cast<uint8_t>(random());
    }
    const struct {
        TensorType type;
        std::vector<size_t> halves; ///< where a block has binary16 numbers
    } scales[] = {{TensorType::f16, {0}},     {TensorType::bf16, {0}},      {TensorType::q8_0, {0}},
                  {TensorType::q4_0, {0}},    {TensorType::q4_1, {0, 2}},   {TensorType::q5_0, {0}},
                  {TensorType::q5_1, {0, 2}}, {TensorType::q2_k, {80, 82}}, {TensorType::q3_k, {108}},
                  {TensorType::q4_k, {0, 2}}, {TensorType::q5_k, {0, 2}},   {TensorType::q6_k, {208}},
                  {TensorType::iq4_nl, {0}},  {TensorType::iq4_xs, {0}}};
    for (const auto& each : scales) {
        for (size_t block = 0; each.type == type.type && block < count; ++block) {
            for (const size_t at : each.halves) {
                // About 2^-7 as binary16, about 0.01 as bfloat16, of either sign.
                const uint8_t high = type.type == TensorType::bf16 ? 0x3c : 0x20;
                bytes[block * type.block_bytes + at + 1] = static_cast<uint8_t>(high | (random() & 0x80u));
            }
        }
    }
    return bytes;
}

TEST(Ops, PackedProductsAreThoseOfTheFloats)
{
    std::mt19937 random(7);
    std::uniform_real_distribution<float> values(-1.0f, 1.0f);
    FakePlatform platform;
    for (const KernelSet* set : kernel_sets()) {
        auto choice = force_kernels(set->name, detect_cpu());
        if (!choice.ok()) {
            continue;
        }
        const KernelChoice kernels = choice.take();
        const Ops ops(platform, kernels);
        for (size_t t = 0; t < kTensorTypes; ++t) {
            const TensorTypeInfo& type = tensor_type_info(static_cast<TensorType>(t));
            if (type.type == TensorType::f32 || type.type == TensorType::q8_group) {
                continue;
            }
            for (const size_t cols : {size_t{256}, size_t{768}, size_t{1280}}) {
                constexpr size_t kRows = 19;
                const auto bytes = random_blocks(type, kRows * cols / type.block_values, random);
                const Tensor tensor = {bytes.data(), type.type, kRows, cols, 0};
                std::vector<float> weights(kRows * cols);
                for (size_t r = 0; r < kRows; ++r) {
                    Ops::read_row(weights.data() + r * cols, tensor, r);
                }
                for (const size_t batch : {1u, 2u, 5u, 64u, 70u, 130u}) {
                    std::vector<float> x(batch * cols);
                    for (float& value : x) {
                        value = values(random);
                    }
                    constexpr size_t kStride = kRows + 3;
                    std::vector<float> y(batch * kStride, 99.0f);
                    ops.matmul(y.data(), kStride, tensor, {x.data(), cols, batch, cols});
                    for (size_t b = 0; b < batch; ++b) {
                        for (size_t r = 0; r < kStride; ++r) {
                            double sum = 99.0;
                            double size = 0.0;
                            for (size_t c = 0; r < kRows && c < cols; ++c) {
                                const double product =
                                    static_cast<double>(weights[r * cols + c]) * static_cast<double>(x[b * cols + c]);
                                sum = c == 0 ? product : sum + product;
                                size += std::fabs(product);
                            }
                            ASSERT_NEAR(y[b * kStride + r], sum, 1e-5 * size)
                                << type.name << ' ' << set->name << ' ' << cols;
                        }
                    }
                }
            }
        }
    }
}

} // namespace
} // namespace llmk
