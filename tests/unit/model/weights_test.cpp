// SPDX-License-Identifier: MIT
//
// Weights from one file and from several into memory in one piece and in several, past 4 GiB too.
#include "model/weights.h"

#include "fake/gguf_file.h"
#include "fake/tiny_engine.h"

#include <cstring>

namespace llmk {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr const char* kFirst = "m-00001-of-00003.gguf";

/// The tensors' bytes where they lie in memory are those of the whole file.
void expect_loaded(const ModelDesc& desc, const GgufFile& whole)
{
    EXPECT_EQ(desc.tensors.size(), whole.tensors.size());
    for (const TensorDesc& tensor : desc.tensors) {
        const std::string name = (is_layer_role(tensor.role) ? "blk." + std::to_string(tensor.layer) + "." : "") +
                                 std::string(tensor_role_name(tensor.role)) + ".weight";
        const std::string& expected = const_cast<GgufFile&>(whole).tensor(name).data;
        ASSERT_NE(tensor.data, nullptr) << name;
        ASSERT_EQ(tensor.size_bytes, expected.size()) << name;
        EXPECT_EQ(std::memcmp(tensor.data, expected.data(), expected.size()), 0) << name;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data) % 64, tensor.offset_bytes % 64) << "the file's alignment";
    }
}

struct Loaded {
    explicit Loaded(FakePlatform& platform) : m_platform(platform) { weights.set_id(ZoneId::weights); }
    ~Loaded() { weights.release(m_platform); }
    Loaded(const Loaded&) = delete;
    Loaded& operator=(const Loaded&) = delete;

    Result<WeightsRead> read(ModelDesc& desc, const LoadObserver& observer = {})
    {
        return read_weights(m_platform, weights, desc, 4096, observer);
    }
    Arena weights;

private:
    FakePlatform& m_platform;
};

TEST(Weights, PartsInOnePieceAndInSeveral)
{
    const GgufFile whole = tiny_gguf();
    for (const auto& counts : {std::vector<size_t>{7, 5, 8}, {0, 12, 8}, {19, 0, 1}}) {
        for (const auto& extents : {std::vector<uint64_t>{kGiB}, {40 * 1024, 36 * 1024, 30 * 1024, 20 * 1024}}) {
            FakePlatform platform;
            add_shards(platform, "m", split_gguf(whole, counts));
            ModelDesc desc = describe_model(platform, kFirst).take();
            platform.extents = extents;
            Loaded loaded(platform);
            const auto read = loaded.read(desc);
            ASSERT_TRUE(read.ok()) << read.error().message.view();
            EXPECT_EQ(loaded.weights.extents().size() > 1, extents.size() > 1);
            expect_loaded(desc, whole);
            EXPECT_EQ(platform.open_files(), 0u);
            EXPECT_EQ(loaded.weights.broken_guard(), nullptr);
            platform.extents.push_back(kGiB);
        }
    }
}

TEST(Weights, ThePlanIsWhatIsTaken)
{
    FakePlatform platform;
    const GgufFile whole = tiny_gguf();
    add_shards(platform, "m", split_gguf(whole, {7, 5, 8}));
    ModelDesc desc = describe_model(platform, kFirst).take();
    Loaded loaded(platform);
    ASSERT_TRUE(loaded.read(desc).ok());
    EXPECT_EQ(loaded.weights.size_bytes(), Arena::extent_bytes(tensor_bytes(desc)));
    // Not the metadata, which are longer than the weights of a tiny model; a page a file at most on top.
    EXPECT_LT(tensor_bytes(desc), desc.weight_bytes + 3 * 2 * 4096);
}

TEST(Weights, TheObserverSeesTheSumOfAllFiles)
{
    struct Watcher {
        uint64_t done = 0, total = 0;
    } watcher;
    FakePlatform platform;
    add_shards(platform, "m", split_gguf(tiny_gguf(), {7, 5, 8}));
    ModelDesc desc = describe_model(platform, kFirst).take();
    Loaded loaded(platform);
    ASSERT_TRUE(loaded
                    .read(desc, {&watcher,
                                 [](void* context, uint64_t done, uint64_t total) {
                                     auto& self = *static_cast<Watcher*>(context);
                                     EXPECT_GT(done, self.done);
                                     self = {done, total};
                                     return true;
                                 }})
                    .ok());
    EXPECT_EQ(watcher.done, watcher.total);
    EXPECT_GE(watcher.total, desc.weight_bytes);
    EXPECT_LT(watcher.total, desc.weight_bytes + 3 * 4096 + 20 * 32) << "starts of sectors, and padding";
}

TEST(Weights, WhatIsCutShortBetweenLookAndLoad)
{
    FakePlatform platform;
    add_shards(platform, "m", split_gguf(tiny_gguf(), {7, 5, 8}));
    ModelDesc desc = describe_model(platform, kFirst).take();
    auto& second = platform.volume().nodes["m-00002-of-00003.gguf"].content;
    const std::string kept = second;
    second.resize(second.size() - 100);
    {
        Loaded loaded(platform);
        const auto read = loaded.read(desc);
        ASSERT_FALSE(read.ok());
        EXPECT_EQ(read.error().message.view().find("m-00002-of-00003.gguf: reading stopped at byte "), 0u);
    }
    second = kept;
    platform.volume().nodes.erase("m-00003-of-00003.gguf");
    Loaded loaded(platform);
    EXPECT_EQ(loaded.read(desc).error().status, Status::not_found);
    EXPECT_EQ(platform.open_files(), 0u);
}

/// token_embd and what follows it are parted by a tensor that no text model has.
GgufFile with_a_vision_tensor(uint64_t values)
{
    GgufFile file = tiny_gguf();
    file.tensors.insert(file.tensors.begin() + 1, {"v.patch_embd.weight", {values}, 0, ""});
    return file;
}

TEST(Weights, BehindAHoleOfMoreThanFourGigabytes)
{
    // The header of a file whose second tensor is 5 GiB long; its data are not in memory here either.
    const uint64_t hole = 5 * kGiB;
    GgufFile file = with_a_vision_tensor(hole / 4);
    const GgufFile whole = tiny_gguf();
    // header() takes sizes from the data: patch the offsets behind the hole.
    std::string header = file.header();
    for (size_t i = 2; i < file.tensors.size(); ++i) {
        const std::string info = gguf_text(file.tensors[i].name);
        const size_t at = header.find(info) + info.size() + 4 + 8 * file.tensors[i].dimensions.size() + 4;
        uint64_t offset = 0;
        std::memcpy(&offset, header.data() + at, 8);
        offset += hole;
        std::memcpy(header.data() + at, &offset, 8);
    }
    std::string front = header + whole.tensors[0].data;
    ASSERT_EQ(whole.tensors[0].data.size() % 32, 0u);
    GgufFile rest;
    rest.tensors.assign(whole.tensors.begin() + 1, whole.tensors.end());
    const std::string behind = rest.bytes().substr(rest.header().size());

    FakePlatform platform;
    platform.add_large_file("big.gguf", front, hole, behind);
    InspectedModel candidate = inspect_model(platform, "big.gguf", {}).take();
    EXPECT_EQ(candidate.desc.file_size_bytes, front.size() + hole + behind.size());
    EXPECT_GT(candidate.desc.tensors[19].offset_bytes, hole);
    EXPECT_LT(tensor_bytes(candidate.desc), kMiB) << "the hole is not in memory";
    Loaded loaded(platform);
    ASSERT_TRUE(loaded.read(candidate.desc).ok());
    expect_loaded(candidate.desc, whole);
}

/// A model of three files of 3 GiB each: ffn tensors large enough, nothing behind the headers but zeros.
void add_nine_gigabytes(FakePlatform& platform)
{
    constexpr uint64_t kDim = 4096;
    constexpr uint64_t kHidden = 3 * kGiB / 4 / kDim;
    TinyShape shape;
    shape.layers = 1;
    GgufFile whole = tiny_gguf(shape);
    whole.u32("llama.embedding_length", kDim);
    whole.u32("llama.feed_forward_length", kHidden);
    whole.u32("llama.rope.dimension_count", kDim / 4);
    const uint64_t kv_dim = kDim / 2;
    for (GgufFile::Tensor& tensor : whole.tensors) {
        const bool kv =
            tensor.name.find("attn_k.") != std::string::npos || tensor.name.find("attn_v.") != std::string::npos;
        const bool up =
            tensor.name.find("ffn_gate") != std::string::npos || tensor.name.find("ffn_up") != std::string::npos;
        const bool down = tensor.name.find("ffn_down") != std::string::npos;
        const bool table = tensor.name.starts_with("token_embd");
        const bool norm = tensor.dimensions.size() == 1;
        tensor.dimensions = {down ? kHidden : kDim};
        if (!norm) {
            tensor.dimensions.push_back(table ? 290 : kv ? kv_dim : up ? kHidden : kDim);
        }
        tensor.data.clear();
    }
    // One large tensor a file, at offset 0: gate, down, and the rest with up.
    std::vector<GgufFile::Tensor> rest;
    std::vector<GgufFile::Tensor> large;
    for (const GgufFile::Tensor& tensor : whole.tensors) {
        (tensor.name.find("ffn_gate") != std::string::npos || tensor.name.find("ffn_down") != std::string::npos ||
                 tensor.name.find("ffn_up") != std::string::npos
             ? large
             : rest)
            .push_back(tensor);
    }
    ASSERT_EQ(large.size(), 3u);
    for (GgufFile::Tensor& tensor : rest) {
        uint64_t bytes = 4;
        for (const uint64_t length : tensor.dimensions) {
            bytes *= length;
        }
        tensor.data.assign(bytes, '\0');
    }
    rest.push_back(large[2]);
    whole.tensors = {large[0], large[1]};
    whole.tensors.insert(whole.tensors.end(), rest.begin(), rest.end());
    const auto shards = split_gguf(whole, {1, 1, rest.size()});
    for (size_t i = 0; i < 3; ++i) {
        platform.add_large_file(shard_name("big", i + 1, 3), shards[i].bytes(), 3 * kGiB, "");
    }
}

TEST(Weights, NineGigabytesAreFiguredOut)
{
    FakePlatform platform;
    add_nine_gigabytes(platform);
    auto inspected = inspect_model(platform, "big-00002-of-00003.gguf", {});
    ASSERT_TRUE(inspected.ok()) << inspected.error().message.view();
    const InspectedModel candidate = inspected.take();
    EXPECT_GT(candidate.desc.file_size_bytes, 9 * kGiB);
    EXPECT_GT(candidate.desc.weight_bytes, 9 * kGiB);
    const MemoryPlan plan = plan_memory(candidate, 64).take();
    EXPECT_GT(plan.weights, candidate.desc.weight_bytes);
    EXPECT_LT(plan.weights, candidate.desc.weight_bytes + kMiB);

    platform.extents = {plan.total() + 16 * kMiB};
    EXPECT_EQ(fit_memory(platform, candidate, 64).value().total(), plan.total());
    // A PC's memory: some below 4 GiB, the rest above. No extent holds the whole, each file fits in one.
    platform.extents = {7 * kGiB, 3 * kGiB + 256 * kMiB, kGiB};
    EXPECT_TRUE(fit_memory(platform, candidate, 64).ok());
    platform.extents = {5 * kGiB, 5 * kGiB, 2 * kGiB}; // as much, but only two large tensors fit
    EXPECT_FALSE(fit_memory(platform, candidate, 64).ok());
    platform.extents = {8 * kGiB};
    const auto refused = fit_memory(platform, candidate, 64);
    ASSERT_FALSE(refused.ok());
    const std::string message(refused.error().message.view());
    EXPECT_NE(message.find("big-00001-of-00003.gguf: needs " + std::to_string(plan.total()) + " bytes"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find("8589934592 bytes (8.0 GiB) are free"), std::string::npos) << message;
}

TEST(Weights, ASplitModelSaysTheSame)
{
    std::vector<float> logits[2];
    for (const bool split : {false, true}) {
        FakePlatform platform;
        const GgufFile whole = tiny_gguf();
        platform.add_file("m.gguf", whole.bytes());
        add_shards(platform, "m", split_gguf(whole, {7, 5, 8}));
        Engine engine(platform);
        ASSERT_TRUE(engine.start("scalar").ok());
        const auto loaded = engine.load(split ? kFirst : "m.gguf", {}, 0, {});
        ASSERT_TRUE(loaded.ok()) << loaded.error().message.view();
        const Token tokens[] = {1, 260, 280, 7};
        ASSERT_TRUE(engine.session().prefill(tokens, {}).ok());
        const auto all = engine.session().logits();
        logits[split ? 1 : 0].assign(all.begin(), all.end());
    }
    EXPECT_EQ(logits[0], logits[1]);
}

} // namespace
} // namespace llmk
