// SPDX-License-Identifier: MIT
//
// llama2.c model files of the three versions: what a right one says, and the sentence each wrong field gets.
#include "format/llama2c.h"

#include "fake/described.h"
#include "fake/tiny_model.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstring>

namespace llmk {
namespace {

constexpr const char* kPath = "models/x.bin";

Outcome outcome_of(const std::string& file) { return llmk::outcome_of(kPath, file); }

void expect_refused(const std::string& file, std::string_view words, Status status = Status::bad_format)
{
    llmk::expect_refused(kPath, file, words, status);
}

/// All that versions and heads can be.
std::vector<TinyShape> shapes()
{
    std::vector<TinyShape> all;
    for (int version = 0; version <= 2; ++version) {
        for (const bool shared : {true, false}) {
            TinyShape shape;
            shape.version = version;
            shape.shared = shared;
            all.push_back(shape);
        }
    }
    return all;
}

TEST(Llama2c, HyperParameters)
{
    for (const TinyShape& shape : shapes()) {
        FakePlatform platform;
        const std::string file = tiny_model(shape);
        platform.add_file(kPath, file);
        auto result = describe_model(platform, kPath);
        ASSERT_TRUE(result.ok()) << result.error().message.view();
        const ModelDesc& desc = result.value();
        EXPECT_EQ(desc.path.view(), kPath);
        EXPECT_EQ(desc.format.view(), "llama2.c v" + std::to_string(shape.version));
        EXPECT_EQ(desc.architecture.view(), "llama");
        EXPECT_EQ(desc.kind, ModelKind::story);
        EXPECT_EQ(desc.embedding_length, 16u);
        EXPECT_EQ(desc.feed_forward_length, 24u);
        EXPECT_EQ(desc.block_count, 2u);
        EXPECT_EQ(desc.head_count, 4u);
        EXPECT_EQ(desc.head_count_kv, 2u);
        EXPECT_EQ(desc.head_dim, 4u);
        EXPECT_EQ(desc.context_length, 64u);
        EXPECT_EQ(desc.vocab_size, 290u);
        EXPECT_EQ(desc.tied_head, shape.shared);
        EXPECT_EQ(desc.group_size, shape.version == 2 ? 8u : 0u);
        EXPECT_EQ(desc.file_size_bytes, file.size());
        EXPECT_EQ(desc.rope_freq_base, 10000.0f);
        EXPECT_EQ(desc.norm_rms_epsilon, 1e-5f);
        const uint64_t block = 2 * 16 + 2 * 16 * 16 + 2 * 8 * 16 + 3 * 16 * 24;
        EXPECT_EQ(desc.parameters, 2 * block + 16 + 290 * 16 * (shape.shared ? 1 : 2));
    }
}

TEST(Llama2c, TensorsLieOneBehindTheOther)
{
    for (const TinyShape& shape : shapes()) {
        FakePlatform platform;
        const std::string file = tiny_model(shape);
        platform.add_file(kPath, file);
        auto result = describe_model(platform, kPath);
        ASSERT_TRUE(result.ok());
        const ModelDesc& desc = result.value();
        ASSERT_EQ(desc.tensors.size(), 2u + 9u * 2u + (shape.shared ? 0u : 1u));
        uint64_t at = tiny_header_bytes(shape.version);
        uint64_t sum = 0;
        for (const TensorDesc& tensor : desc.tensors) {
            const bool norm = tensor.role == TensorRole::attn_norm || tensor.role == TensorRole::ffn_norm ||
                              tensor.role == TensorRole::output_norm;
            const bool packed = shape.version == 2 && !norm;
            EXPECT_EQ(tensor.type, packed ? TensorType::q8_group : TensorType::f32);
            if (tensor.role == TensorRole::output && shape.version == 0) {
                at += 64 * 4 * 4; // the RoPE tables stand in front of the classifier
            }
            EXPECT_EQ(tensor.offset_bytes, at) << tensor_role_name(tensor.role) << " " << tensor.layer;
            const uint64_t count = tensor.rows * tensor.cols;
            EXPECT_EQ(tensor.size_bytes, packed ? count + count / 8 * 4 : count * 4);
            EXPECT_EQ(tensor.rows == 1, norm);
            at += tensor.size_bytes;
            sum += tensor.size_bytes;
        }
        EXPECT_EQ(desc.weight_bytes, sum);
        EXPECT_EQ(at + (shape.version == 0 && shape.shared ? 64u * 4u * 4u : 0u), file.size());
    }
}

TEST(Llama2c, OrderOfTensors)
{
    using enum TensorRole;
    const TensorRole legacy[] = {token_embd, attn_norm, attn_q,   attn_k, attn_v,     attn_output,
                                 ffn_norm,   ffn_gate,  ffn_down, ffn_up, output_norm};
    const TensorRole versioned[] = {attn_norm, ffn_norm,    output_norm, token_embd, attn_q, attn_k,
                                    attn_v,    attn_output, ffn_gate,    ffn_down,   ffn_up};
    for (const TinyShape& shape : shapes()) {
        FakePlatform platform;
        platform.add_file(kPath, tiny_model(shape));
        auto result = describe_model(platform, kPath);
        ASSERT_TRUE(result.ok());
        std::vector<TensorRole> roles;
        for (const TensorDesc& tensor : result.value().tensors) {
            if (roles.empty() || roles.back() != tensor.role) {
                roles.push_back(tensor.role);
            }
        }
        const std::span<const TensorRole> order = shape.version == 0 ? std::span(legacy) : std::span(versioned);
        std::vector<TensorRole> wanted(order.begin(), order.end());
        if (!shape.shared) {
            wanted.push_back(output);
        }
        EXPECT_EQ(roles, wanted);
    }
}

TEST(Llama2c, EachWrongFieldIsNamed)
{
    const char* names[] = {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"};
    for (const TinyShape& shape : shapes()) {
        const std::string good = tiny_model(shape);
        ASSERT_EQ(outcome_of(good).status, Status::ok);
        const size_t fields = shape.version == 0 ? 0 : 8;
        for (size_t i = 0; i < 7; ++i) {
            for (const int32_t value : {0, -1, INT32_MIN}) {
                if (i == 5 && shape.version == 0 && value == -1) {
                    continue; // one token with a classifier of its own: wrong by size only
                }
                std::string bad = good;
                patch_i32(bad, fields + 4 * i, value);
                expect_refused(bad, names[i]);
            }
            std::string huge = good;
            patch_i32(huge, fields + 4 * i, INT32_MAX);
            if (i < 6 || shape.version == 0) { // seq_len sizes nothing in the later versions
                expect_refused(huge, "");
            }
        }
    }
}

TEST(Llama2c, HeadsMustDivide)
{
    for (const TinyShape& shape : shapes()) {
        const std::string good = tiny_model(shape);
        const size_t fields = shape.version == 0 ? 0 : 8;
        std::string bad = good;
        patch_i32(bad, fields + 12, 3);
        expect_refused(bad, "n_heads is 3, which does not divide dim (16)");
        bad = good;
        patch_i32(bad, fields + 16, 3);
        expect_refused(bad, "n_kv_heads is 3, which does not divide n_heads (4)");
        bad = good;
        patch_i32(bad, fields + 12, 16);
        expect_refused(bad, "RoPE needs an even number");
        bad = good;
        patch_i32(bad, fields + 16, 8);
        expect_refused(bad, "n_kv_heads is 8");
    }
}

TEST(Llama2c, SizesMustBeExact)
{
    for (const TinyShape& shape : shapes()) {
        const std::string good = tiny_model(shape);
        expect_refused(good + "x", std::to_string(good.size()));
        expect_refused(good.substr(0, good.size() - 1), std::to_string(good.size() - 1));
        expect_refused(good.substr(0, good.size() / 2), "the file ends inside");
        for (size_t size = 0; size < 300; ++size) {
            const auto outcome = outcome_of(good.substr(0, size));
            ASSERT_EQ(outcome.status, Status::bad_format) << size;
            ASSERT_NE(outcome.message.find(kPath), std::string::npos);
        }
    }
}

TEST(Llama2c, ProductsThatOverflow)
{
    for (const TinyShape& shape : shapes()) {
        std::string file = tiny_model(shape);
        const size_t fields = shape.version == 0 ? 0 : 8;
        for (const size_t i : {0u, 1u, 2u, 5u, 6u}) {
            patch_i32(file, fields + 4 * i, 0x40000000);
        }
        EXPECT_NE(outcome_of(file).status, Status::ok);
        for (const size_t i : {0u, 1u, 2u, 5u, 6u}) {
            patch_i32(file, fields + 4 * i, 0x7ffffff0);
        }
        EXPECT_NE(outcome_of(file).status, Status::ok);
    }
}

TEST(Llama2c, VersionAndFlags)
{
    TinyShape shape;
    shape.version = 2;
    const std::string good = tiny_model(shape);
    for (const int32_t version : {0, 3, -1, INT32_MAX}) {
        std::string bad = good;
        patch_i32(bad, 4, version);
        expect_refused(bad, "version " + std::to_string(version), Status::unsupported);
    }
    std::string bad = good;
    bad[36] = 2;
    expect_refused(bad, "shared_classifier is 2");
    bad = good;
    bad[36] = 0;
    expect_refused(bad, "ends inside output");
    for (const int32_t group : {0, -8, 5, 32, INT32_MIN}) {
        bad = good;
        patch_i32(bad, 37, group);
        expect_refused(bad, "group_size is " + std::to_string(group));
    }
    bad = good;
    patch_i32(bad, 37, 4); // divides, but then there must be more scales
    expect_refused(bad, "");
    bad = good;
    patch_i32(bad, 0, 0x616b3433);
    EXPECT_EQ(outcome_of(bad).status, Status::bad_format);
}

TEST(Formats, EmptyMissingFolderAndGguf)
{
    expect_refused("", "empty");
    expect_refused("short", "");
    std::string gguf = "GGUF";
    gguf.resize(4096, '\0');
    expect_refused(gguf, "GGUF", Status::unsupported);
    FakePlatform platform;
    platform.add_directory("folder.bin");
    EXPECT_FALSE(describe_model(platform, "folder.bin").ok());
    EXPECT_EQ(describe_model(platform, "away.bin").error().status, Status::not_found);
    EXPECT_EQ(describe_model(platform, std::string(400, 'x')).error().status, Status::invalid_argument);
}

TEST(Formats, DeviceErrorsComeOutAndCloseTheFile)
{
    FakePlatform platform;
    platform.add_file(kPath, tiny_model({}));
    platform.fail_read_in = 1;
    EXPECT_EQ(describe_model(platform, kPath).error().status, Status::io_error);
    platform.fail_open_in = 1;
    EXPECT_EQ(describe_model(platform, kPath).error().status, Status::io_error);
    platform.fail_alloc_in = 1;
    EXPECT_EQ(describe_model(platform, kPath).error().status, Status::out_of_memory);
    EXPECT_EQ(platform.open_files(), 0u);
    EXPECT_EQ(platform.pages_in_use(), 0u);
    EXPECT_TRUE(describe_model(platform, kPath).ok());
}

TEST(Formats, Names)
{
    EXPECT_EQ(file_name("a/b\\c.bin"), "c.bin");
    EXPECT_EQ(file_name("c.bin"), "c.bin");
    EXPECT_EQ(folder_of("a/b\\c.bin"), "a/b\\");
    EXPECT_EQ(folder_of("c.bin"), "");
    EXPECT_EQ(tensor_role_name(TensorRole::ffn_down), "ffn_down");
    EXPECT_EQ(tensor_type_name(TensorType::q8_group), "Q8_GROUP");
}

TEST(Formats, RepositoryModelsAreRead)
{
    for (const char* name : {"tiny_mha", "tiny_mqa", "tiny_odd_dim", "tiny_v0_separate", "tiny_v0_shared", "tiny_v1",
                             "tiny_v2_gs32", "tiny_v2_odd_group", "tiny_v2_separate"}) {
        const auto file = repository_file("tests/golden/data/" + std::string(name) + ".bin");
        EXPECT_EQ(outcome_of(file).message, "") << name;
    }
}

} // namespace
} // namespace llmk
