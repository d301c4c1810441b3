// SPDX-License-Identifier: MIT
//
// GGUF: what is read out of well-formed files, and the sentence for each way of being wrong.
#include "format/gguf.h"

#include "fake/described.h"
#include "fake/gguf_file.h"

#include <gtest/gtest.h>

#include <bit>
#include <climits>

namespace llmk {
namespace {

constexpr const char* kPath = "m.gguf";

Outcome outcome_of(const std::string& file) { return llmk::outcome_of(kPath, file); }

void expect_refused(const std::string& file, std::string_view words, Status status = Status::bad_format)
{
    llmk::expect_refused(kPath, file, words, status);
}

TEST(Gguf, HoldsWhatTheFileSays)
{
    for (const uint32_t version : {2u, 3u}) {
        for (const bool shared : {true, false}) {
            TinyShape shape;
            shape.shared = shared;
            GgufFile file = tiny_gguf(shape);
            file.version = version;
            file.f32("llama.rope.freq_base", 500000.0f);
            file.set("llama.context_length", kGgufU64, raw<uint64_t>(4096));
            FakePlatform platform;
            platform.add_file(kPath, file.bytes());
            const ModelDesc desc = describe_model(platform, kPath).take();
            EXPECT_EQ(desc.format.view(), version == 2 ? "GGUF v2" : "GGUF v3");
            EXPECT_EQ(desc.architecture.view(), "llama");
            EXPECT_EQ(desc.type.view(), "F32");
            EXPECT_EQ(desc.kind, ModelKind::story);
            EXPECT_EQ(desc.embedding_length, 16u);
            EXPECT_EQ(desc.feed_forward_length, 24u);
            EXPECT_EQ(desc.block_count, 2u);
            EXPECT_EQ(desc.head_count, 4u);
            EXPECT_EQ(desc.head_count_kv, 2u);
            EXPECT_EQ(desc.head_dim, 4u);
            EXPECT_EQ(desc.context_length, 4096u);
            EXPECT_EQ(desc.vocab_size, 290u);
            EXPECT_EQ(desc.rope_freq_base, 500000.0f);
            EXPECT_EQ(desc.norm_rms_epsilon, 1e-5f);
            EXPECT_EQ(desc.tied_head, shared);
            EXPECT_EQ(desc.tensors.size(), file.tensors.size());
            const std::string bytes = file.bytes();
            for (const TensorDesc& tensor : desc.tensors) {
                EXPECT_EQ(tensor.offset_bytes % 32, 0u);
                EXPECT_EQ(tensor.size_bytes, tensor.rows * tensor.cols * 4);
                const std::string name =
                    (is_layer_role(tensor.role) ? "blk." + std::to_string(tensor.layer) + "." : "") +
                    std::string(tensor_role_name(tensor.role)) + ".weight";
                EXPECT_EQ(bytes.substr(tensor.offset_bytes, tensor.size_bytes), file.tensor(name).data) << name;
            }
            EXPECT_EQ(desc.vocabulary.kind, VocabularyKind::spm);
            EXPECT_EQ(desc.vocabulary.entries, 290u);
            EXPECT_EQ(desc.vocabulary.special.bos, 1u);
        }
    }
}

TEST(Gguf, AnyAlignment)
{
    for (const uint64_t alignment : {8u, 16u, 24u, 64u, 4096u, 40960u}) {
        GgufFile file = tiny_gguf();
        file.alignment = alignment;
        EXPECT_EQ(outcome_of(file.bytes()).message, "") << alignment;
    }
    for (const uint32_t alignment : {0u, 1u, 4u, 12u, 0xffffffffu}) {
        GgufFile file = tiny_gguf();
        file.u32("general.alignment", alignment);
        expect_refused(file.bytes(), "'general.alignment' is " + std::to_string(alignment));
    }
    GgufFile file = tiny_gguf();
    file.u32("general.alignment", 96); // but the offsets are multiples of 32
    expect_refused(file.bytes(), "expected a multiple of the alignment of 96");
}

TEST(Gguf, TheChatTemplateMakesAChatModel)
{
    GgufFile file = tiny_gguf();
    file.text("tokenizer.chat_template", std::string(3000, 'x'));
    FakePlatform platform;
    platform.add_file(kPath, file.bytes());
    const ModelDesc desc = describe_model(platform, kPath).take();
    EXPECT_EQ(desc.kind, ModelKind::chat);
    EXPECT_EQ(desc.chat_template_bytes, 3000u);
    EXPECT_EQ(file.bytes().substr(desc.chat_template_at, 3000), std::string(3000, 'x'));
    file.u32("tokenizer.chat_template", 1);
    expect_refused(file.bytes(), "'tokenizer.chat_template' is of type u32");
}

TEST(Gguf, ValuesOfEveryTypeArePassedOver)
{
    GgufFile file = tiny_gguf();
    const std::string strings = gguf_array(kGgufString, 2, gguf_text("one") + gguf_text(""));
    const std::string nested = gguf_array(kGgufArray, 3, strings + strings + gguf_array(kGgufU8, 0, ""));
    for (uint32_t type = kGgufU8; type <= kGgufF64; ++type) {
        constexpr size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
        const std::string key = "z." + std::to_string(type);
        if (type == kGgufString) {
            file.text(key, std::string(100'000, 'y'));
            file.set(key + "s", kGgufArray, strings);
        } else if (type == kGgufArray) {
            file.set(key, kGgufArray, nested);
            file.set(key + "s", kGgufArray, gguf_array(kGgufArray, 2, nested + nested));
        } else {
            file.set(key, type, std::string(kBytes[type], '\1'));
            file.set(key + "s", kGgufArray,
                     gguf_array(static_cast<GgufType>(type), 3000, std::string(3000 * kBytes[type], '\1')));
        }
    }
    EXPECT_EQ(outcome_of(file.bytes()).message, "");
}

TEST(Gguf, IntegersAndRealsOfAnyWidth)
{
    const struct {
        uint32_t type;
        std::string value;
    } twos[] = {{kGgufU8, raw<uint8_t>(2)},   {kGgufI8, raw<int8_t>(2)},    {kGgufU16, raw<uint16_t>(2)},
                {kGgufI16, raw<int16_t>(2)},  {kGgufU32, raw<uint32_t>(2)}, {kGgufI32, raw<int32_t>(2)},
                {kGgufU64, raw<uint64_t>(2)}, {kGgufI64, raw<int64_t>(2)}};
    for (const auto& two : twos) {
        GgufFile file = tiny_gguf();
        file.set("llama.block_count", two.type, two.value);
        EXPECT_EQ(outcome_of(file.bytes()).message, "") << two.type;
    }
    GgufFile file = tiny_gguf();
    file.set("llama.attention.layer_norm_rms_epsilon", kGgufF64, raw(1e-6));
    EXPECT_EQ(outcome_of(file.bytes()).message, "");
    file.set("llama.block_count", kGgufI8, raw<int8_t>(-2));
    expect_refused(file.bytes(), "'llama.block_count' is -2");
    file.set("llama.block_count", kGgufI64, raw<int64_t>(INT64_MIN));
    expect_refused(file.bytes(), "'llama.block_count' is -9223372036854775808");
    file.set("llama.block_count", kGgufU64, raw<uint64_t>(uint64_t{1} << 40));
    expect_refused(file.bytes(), "'llama.block_count' is 1099511627776");
    file.f32("llama.block_count", 2.0f);
    expect_refused(file.bytes(), "'llama.block_count' is of type f32, expected an integer");
}

TEST(Gguf, VersionsAndMagics)
{
    GgufFile file = tiny_gguf();
    file.version = 1;
    expect_refused(file.bytes(), "GGUF version 1 is not read", Status::unsupported);
    for (const uint32_t version : {0u, 4u, 100u}) {
        file.version = version;
        expect_refused(file.bytes(), "GGUF version " + std::to_string(version), Status::unsupported);
    }
    file.version = 0x03000000;
    expect_refused(file.bytes(), "byte-swapped", Status::unsupported);
    file.version = 3;
    file.magic = "FUGG";
    expect_refused(file.bytes(), "byte-swapped", Status::unsupported);
}

TEST(Gguf, TruncatedAtEveryByte)
{
    const GgufFile file = tiny_gguf({.vocab = 262});
    const std::string good = file.bytes();
    const size_t header = file.header().size();
    FakePlatform platform;
    for (size_t size = 0; size < good.size() - 64; size += size < header ? 1 : 61) {
        platform.add_file(kPath, std::string_view(good).substr(0, size));
        auto desc = describe_model(platform, kPath);
        ASSERT_FALSE(desc.ok()) << size;
        ASSERT_NE(desc.error().message.view().find(kPath), std::string_view::npos);
        if (size > 4) {
            ASSERT_NE(desc.error().message.view().find("GGUF"), std::string_view::npos) << desc.error().message.view();
        }
    }
    EXPECT_EQ(outcome_of(good).message, "");
}

TEST(Gguf, EveryByteOfTheHeaderMayBeWrong)
{
    const GgufFile file = tiny_gguf({.layers = 1, .vocab = 262});
    const std::string good = file.bytes();
    FakePlatform platform;
    for (size_t at = 0; at < file.header().size(); ++at) {
        for (const char value : {'\x00', '\x01', '\x7f', '\xff'}) {
            std::string bad = good;
            bad[at] = value;
            platform.add_file(kPath, bad);
            (void)describe_model(platform, kPath).ok(); // either; the sanitizers watch
        }
    }
}

TEST(Gguf, CountsAreNotTrusted)
{
    for (const uint64_t many : {uint64_t{1}, uint64_t{100'000}, uint64_t{1} << 32, UINT64_MAX / 2, UINT64_MAX - 100}) {
        FakePlatform platform;
        platform.extents = {4u << 20}; // who believes a count runs out of memory
        GgufFile file = tiny_gguf();
        file.more_pairs = many;
        EXPECT_NE(outcome_of(file.bytes()).status, Status::ok);
        file = tiny_gguf();
        file.more_tensors = many;
        EXPECT_NE(outcome_of(file.bytes()).status, Status::ok);
        for (const GgufType type : {kGgufU8, kGgufU64, kGgufString, kGgufArray, kGgufF32}) {
            file = tiny_gguf();
            file.set("z", kGgufArray, gguf_array(type, many + 1'000'000, "abc"));
            expect_refused(file.bytes(), "'z' claims");
        }
        file = tiny_gguf();
        file.set("z", kGgufString, raw(many + 1'000'000));
        expect_refused(file.bytes(), "ends inside a metadata text");
    }
    GgufFile file = tiny_gguf();
    file.more_pairs = UINT64_MAX / 2;
    expect_refused(file.bytes(), "metadata pairs");
    file = tiny_gguf();
    file.more_tensors = UINT64_MAX / 2;
    expect_refused(file.bytes(), "tensors");
}

TEST(Gguf, WrongMetadata)
{
    GgufFile file = tiny_gguf();
    file.pairs.push_back({"llama.block_count", kGgufU32, raw<uint32_t>(2)});
    expect_refused(file.bytes(), "'llama.block_count' is there twice");
    for (const uint32_t type : {13u, 14u, 0xffffffffu}) {
        file = tiny_gguf();
        file.set("z", type, "abcd");
        expect_refused(file.bytes(), "'z' has the value type " + std::to_string(type));
        file.set("z", kGgufArray, gguf_array(static_cast<GgufType>(type), 1, "abcd"));
        expect_refused(file.bytes(), "'z' has the value type " + std::to_string(type));
    }
    file = tiny_gguf();
    file.set("", kGgufU8, "a");
    expect_refused(file.bytes(), "key of the GGUF file is 0 bytes long");
    file = tiny_gguf();
    file.set(std::string(70'000, 'k'), kGgufU8, "a");
    expect_refused(file.bytes(), "70000 bytes long");
    file = tiny_gguf();
    std::string deep = gguf_array(kGgufU8, 0, "");
    for (int i = 0; i < 1000; ++i) {
        deep = gguf_array(kGgufArray, 1, deep);
    }
    file.set("deep\n\x01", kGgufArray, deep);
    expect_refused(file.bytes(), "'deep?"
                                 "?' has arrays within arrays");
    file = tiny_gguf();
    file.remove("general.architecture");
    expect_refused(file.bytes(), "'general.architecture' is missing");
    file = tiny_gguf();
    file.text("general.architecture", std::string(1000, 'a'));
    expect_refused(file.bytes(), "'general.architecture' is 1000 bytes long");
    file = tiny_gguf();
    file.boolean("tokenizer.ggml.add_bos_token", true);
    file.pairs.back().value = "\2";
    expect_refused(file.bytes(), "'tokenizer.ggml.add_bos_token' is 2");
    for (const float value : {-1.0f, std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0x7f800000u)}) {
        file = tiny_gguf();
        file.f32("llama.rope.freq_base", value);
        expect_refused(file.bytes(), "'llama.rope.freq_base' is ");
    }
    file = tiny_gguf();
    file.u32("llama.attention.value_length", 8);
    expect_refused(file.bytes(), "'llama.attention.value_length' is 8", Status::unsupported);
}

TEST(Gguf, WrongTensors)
{
    const auto with = [](auto change) {
        GgufFile file = tiny_gguf();
        change(file.tensor("blk.1.attn_q.weight"));
        return file.bytes();
    };
    using T = GgufFile::Tensor;
    expect_refused(with([](T& t) { t.name = "blk.0.attn_q.weight"; }),
                   "the tensor 'blk.0.attn_q.weight' is there twice");
    expect_refused(with([](T& t) { t.name = ""; }), "name of a tensor is 0 bytes long");
    expect_refused(with([](T& t) { t.name.resize(1000, 'x'); }), "name of a tensor is 1000 bytes long");
    expect_refused(with([](T& t) { t.dimensions = {}; }), "blk.1.attn_q.weight has 0 dimensions");
    expect_refused(with([](T& t) { t.dimensions = {1, 1, 1, 1, 1}; }), "blk.1.attn_q.weight has 5 dimensions");
    expect_refused(with([](T& t) { t.dimensions = {16, 0}; }), "dimension 1 of tensor blk.1.attn_q.weight is 0");
    const uint64_t big = uint64_t{1} << 33;
    expect_refused(with([&](T& t) { t.dimensions = {big, big}; }), "blk.1.attn_q.weight overflows");
    expect_refused(with([&](T& t) { t.dimensions = {1, big, big}; }), "blk.1.attn_q.weight overflows");
    expect_refused(with([&](T& t) { t.dimensions = {1, UINT64_MAX / 4 + 2}; }), "overflows");
    expect_refused(with([&](T& t) { t.dimensions = {big, 1}; }), "blk.1.attn_q.weight leaves the file");
    expect_refused(with([](T& t) { t.dimensions = {16, 17}; }), "blk.1.attn_q.weight and blk.0.attn_k.weight overlap");
    expect_refused(with([](T& t) { t.type = 8; }), "rows of 16 values, not a multiple of Q8_0's blocks of 32");
    const struct {
        uint32_t type;
        const char* words;
    } types[] = {{4, "of type 4 (Q4_2)"},
                 {16, "of type 16 (IQ2_XXS)"},
                 {24, "of type 24 (I8)"},
                 {34, "(TQ1_0)"},
                 {39, "(MXFP4)"},
                 {40, "of type 40 (unknown)"},
                 {0xffffffffu, "of type 4294967295 (unknown)"}};
    for (const auto& each : types) {
        expect_refused(with([&](T& t) { t.type = each.type; }), each.words, Status::unsupported);
    }
}

TEST(Gguf, ForeignTensorsAreToldFromNeedlessOnes)
{
    const auto foreign = [](const std::string& name) {
        GgufFile file = tiny_gguf();
        file.tensors.push_back({name, {8}, 0, std::string(32, '\0')});
        FakePlatform platform;
        platform.add_file(kPath, file.bytes());
        return std::string(describe_model(platform, kPath).take().foreign_tensor.view());
    };
    for (const char* name : {"blk.0.attn_q.scale", "blk.1.ffn_gate_exps.weight", "token_embd.bias",
                             "token_embd_norm.weight", "blk.0.output.weight", "blk.0.attn_q_norm.bias",
                             "blk.x.attn_q.weight", "blk.99999999999999999999.attn_q.weight", "blk.0"}) {
        EXPECT_EQ(foreign(name), name);
    }
    for (const char* name : {"blk.0.attn_rot_embd.weight", "v.patch_embd.weight", "something"}) {
        EXPECT_EQ(foreign(name), "");
    }
}

TEST(Gguf, TensorsInAnyOrder)
{
    GgufFile file = tiny_gguf();
    const std::string good = file.bytes();
    // Swap the first two infos' offsets: the table comes out sorted all the same.
    std::swap(file.tensors[1], file.tensors[2]);
    std::swap(file.tensors[1].name, file.tensors[2].name);
    FakePlatform platform;
    platform.add_file(kPath, file.bytes());
    const ModelDesc desc = describe_model(platform, kPath).take();
    for (size_t i = 1; i < desc.tensors.size(); ++i) {
        EXPECT_GT(desc.tensors[i].offset_bytes, desc.tensors[i - 1].offset_bytes);
    }
}

TEST(Gguf, DeviceErrorsComeOutAndCloseTheFile)
{
    FakePlatform platform;
    platform.add_file(kPath, tiny_gguf().bytes());
    for (size_t FakePlatform::*countdown :
         {&FakePlatform::fail_read_in, &FakePlatform::short_read_in, &FakePlatform::fail_alloc_in}) {
        size_t failures = 0;
        for (size_t at = 1;; ++at) {
            platform.*countdown = at;
            const bool ok = describe_model(platform, kPath).ok();
            EXPECT_EQ(platform.open_files(), 0u);
            EXPECT_EQ(platform.pages_in_use(), 0u);
            if (platform.*countdown != 0) {
                EXPECT_TRUE(ok);
                break;
            }
            failures += ok ? 0 : 1;
        }
        EXPECT_GE(failures, 1u);
        platform.*countdown = 0;
    }
}

} // namespace
} // namespace llmk
