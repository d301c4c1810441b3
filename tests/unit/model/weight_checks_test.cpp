// SPDX-License-Identifier: MIT
//
// Checksums of the weights: the same whoever makes them and when, and wrong after any change.
#include "model/weight_checks.h"

#include "base/checksum.h"
#include "fake/gguf_file.h"
#include "fake/tiny_repl.h"
#include "platform/host/host_platform.h"

#include <filesystem>
#include <fstream>

namespace llmk {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Three reads; the table is complete after the second, and ends within a block.
TinyShape three_reads()
{
    TinyShape shape;
    shape.vocab = 18'000;
    shape.dim = 64;
    shape.hidden = 96;
    shape.layers = 40;
    return shape;
}

using Sums = std::vector<uint64_t>;

/// Of the tensors: what lies beside them holds addresses.
Sums sums_of(Engine& engine)
{
    Sums sums;
    for (const TensorDesc& tensor : engine.model().desc.tensors) {
        sums.push_back(tensor.checksum);
    }
    return sums;
}

TEST(WeightChecks, ASumIsThatOfTheBlocksInMemory)
{
    TinyEngine tiny(three_reads());
    size_t several = 0;
    for (const TensorDesc& tensor : tiny.engine->model().desc.tensors) {
        uint64_t expected = 0;
        uint64_t block = 0;
        for (uint64_t at = 0; at < tensor.size_bytes; at += kCheckBlockBytes, ++block) {
            expected += checksum(tensor.data + at, std::min(kCheckBlockBytes, tensor.size_bytes - at), block);
        }
        several += block > 1 ? 1 : 0;
        EXPECT_EQ(tensor.checksum, expected) << tensor_name(tensor.role, tensor.layer).view();
    }
    EXPECT_GT(several, 0u);
}

/// Alone, with others that keep up, with others that do not, parts in either order, over host threads: the same sums.
TEST(WeightChecks, WhoeverMakesThem)
{
    const auto fake = [](size_t processors, bool reversed, size_t& by_others) {
        FakePlatform platform;
        platform.processors = processors;
        platform.parallel_reversed = reversed;
        add_tiny_model(platform, "tiny.bin", three_reads());
        Engine engine(platform);
        EXPECT_TRUE(engine.start("scalar").ok());
        EXPECT_TRUE(engine.load("tiny.bin", {}, 0, {}).ok());
        EXPECT_GT(platform.jobs_begun, 1u) << "one for what the first read brought, one for the rest";
        by_others = platform.parts_done_by_others;
        return sums_of(engine);
    };
    size_t by_others = 0;
    const Sums alone = fake(1, false, by_others);
    EXPECT_EQ(by_others, 0u);
    EXPECT_EQ(fake(1, true, by_others), alone);
    EXPECT_EQ(fake(4, false, by_others), alone);
    EXPECT_EQ(fake(4, true, by_others), alone);

    const std::string folder = testing::TempDir() + "weight_checks";
    std::filesystem::create_directories(folder);
    FakePlatform files;
    add_tiny_model(files, "tiny.bin", three_reads());
    for (const auto& [path, node] : files.volume().nodes) {
        std::ofstream(folder + "/" + path, std::ios::binary) << node.content;
    }
    for (const size_t threads : {1u, 3u}) {
        HostPlatform host({.root = folder, .threads = threads, .memory_bytes = uint64_t{1} << 30});
        Engine engine(host);
        ASSERT_TRUE(engine.start("scalar").ok());
        const auto loaded = engine.load("tiny.bin", {}, 0, {});
        ASSERT_TRUE(loaded.ok()) << loaded.error().message.view();
        EXPECT_EQ(sums_of(engine), alone);
        EXPECT_TRUE(engine.verify().ok());
    }
    std::filesystem::remove_all(folder);
}

TEST(WeightChecks, OthersWorkWhileTheReaderReads)
{
    FakePlatform platform;
    platform.processors = 2;
    const GgufFile whole = tiny_gguf();
    add_shards(platform, "m", split_gguf(whole, {7, 5, 8})); // three files, so three reads at least
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    ASSERT_TRUE(engine.load("m-00001-of-00003.gguf", {}, 0, {}).ok());
    EXPECT_GT(platform.parts_done_by_others, 0u);
    EXPECT_TRUE(engine.verify().ok());
}

TEST(WeightChecks, AFlippedBitIsFoundAndNamed)
{
    TinyEngine tiny(three_reads());
    Engine& engine = *tiny.engine;
    auto good = engine.verify();
    ASSERT_TRUE(good.ok());
    EXPECT_GE(good.value().bytes, engine.model().desc.weight_bytes);
    for (const TensorDesc& tensor : engine.model().desc.tensors) {
        for (const uint64_t at : {uint64_t{0}, tensor.size_bytes / 2, tensor.size_bytes - 1}) {
            auto* const byte = const_cast<uint8_t*>(tensor.data + at);
            *byte ^= 0x80;
            const auto bad = engine.verify();
            *byte ^= 0x80;
            ASSERT_FALSE(bad.ok()) << at;
            EXPECT_EQ(bad.error().status, Status::tripped);
            const std::string said(bad.error().message.view());
            EXPECT_TRUE(has(said, tensor_name(tensor.role, tensor.layer).view())) << said;
            EXPECT_TRUE(has(said, "(1 of ")) << said;
        }
    }
    EXPECT_TRUE(engine.verify().ok());
}

TEST(WeightChecks, TheVocabularyCountsToo)
{
    TinyEngine tiny;
    Engine& engine = *tiny.engine;
    const Arena::Extent& last = engine.zones()[ZoneId::weights].extents().back();
    for (const uint64_t at : {uint64_t{Arena::kFrontBytes}, last.used_bytes - 1}) {
        last.base[at] ^= 1;
        const auto bad = engine.verify();
        last.base[at] ^= 1;
        ASSERT_FALSE(bad.ok());
        EXPECT_TRUE(has(std::string(bad.error().message.view()), "the vocabulary"));
    }
    EXPECT_TRUE(engine.verify().ok());
}

TEST(WeightChecks, VerifySaysSoAndTripsTheSentinel)
{
    TinyRepl desk;
    EXPECT_TRUE(has(desk.enter("/verify"), "of WEIGHTS are as they were loaded"));
    Engine& engine = *desk.tiny.engine;
    const std::string before = desk.enter("the hat");
    const uint64_t trips = engine.sentinel().trips();
    const TensorDesc& tensor = engine.model().desc.tensors[3];
    auto* const byte = const_cast<uint8_t*>(tensor.data);
    *byte ^= 1;
    const std::string said = desk.enter("/verify");
    *byte ^= 1;
    EXPECT_TRUE(has(said, "error: tiny.bin: " + std::string(tensor_name(tensor.role, tensor.layer).view()))) << said;
    EXPECT_TRUE(has(said, "[failsafe] what happened is in llmk-dump.txt")) << said;
    EXPECT_NE(desk.platform().content("llmk-dump.txt"), nullptr);
    EXPECT_EQ(engine.sentinel().trips(), trips + 1);
    EXPECT_TRUE(has(desk.enter("/verify"), "as they were loaded"));
    EXPECT_FALSE(has(desk.enter("and then"), "error")) << "the prompt lives";
}

TEST(WeightChecks, TheFailsafeTestFlipsABitAndPutsItBack)
{
    TinyRepl desk;
    const std::string said = desk.enter("/test_failsafe weights");
    EXPECT_TRUE(has(said, "checksum is no longer that of the load")) << said;
    EXPECT_TRUE(has(said, "[failsafe] weights: passed, the prompt lives")) << said;
    EXPECT_TRUE(has(desk.enter("/verify"), "as they were loaded"));
}

TEST(WeightChecks, BenchReadSaysBothSpeeds)
{
    TinyRepl desk;
    desk.platform().reads = 0;
    const std::string said = desk.enter("/bench read");
    EXPECT_TRUE(has(said, "tiny.bin: ")) << said;
    EXPECT_TRUE(has(said, " MB/s (median of 5, ")) << said;
    EXPECT_TRUE(has(said, "its weights were loaded at ")) << said;
    EXPECT_EQ(desk.platform().reads, 5u);
    desk.platform().fail_read_in = 2;
    EXPECT_TRUE(has(desk.enter("/bench read"), "error: "));
    EXPECT_EQ(desk.platform().open_files(), 0u);
}

} // namespace
} // namespace llmk
