// SPDX-License-Identifier: MIT
//
// Checksums of the weights: the same whoever makes them and when, and wrong after any change.
#include "model/weight_checks.h"

#include "base/checksum.h"
#include "fake/gguf_file.h"
#include "fake/tiny_repl.h"
#include "platform/host/host_platform.h"

#include <vector>

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

/// The sums of the loaded tensors once more, as they become ready by ones, twos, threes ..., with a look every time.
Sums again(Platform& platform, Engine& engine, uint64_t total_bytes)
{
    ModelDesc& desc = engine.model().desc;
    const std::span<TensorDesc> tensors = desc.tensors.span();
    for (TensorDesc& tensor : tensors) {
        tensor.checksum = 0;
    }
    {
        WeightFinisher checks(platform, desc, total_bytes);
        EXPECT_TRUE(checks.prepare().ok());
        size_t count = 0;
        for (size_t step = 0; count < tensors.size(); ++step) {
            count = std::min(count + step % 4, tensors.size());
            checks.ready(count);
        }
        checks.finish();
    }
    Sums sums;
    for (const TensorDesc& tensor : tensors) {
        sums.push_back(tensor.checksum);
    }
    return sums;
}

/// Alone, with others that keep up and others that do not, parts in either order, over host threads: the same sums.
TEST(WeightChecks, WhoeverMakesThem)
{
    TinyEngine tiny(three_reads());
    FakePlatform& platform = tiny.platform;
    const Sums loaded = sums_of(*tiny.engine);
    EXPECT_EQ(platform.jobs_begun, 0u) << "so few bytes are not worth the start of the others";
    EXPECT_EQ(again(platform, *tiny.engine, UINT64_MAX), loaded);
    EXPECT_EQ(platform.jobs_begun, 0u) << "there are none";
    for (const bool reversed : {false, true}) {
        platform.processors = 4;
        platform.parallel_reversed = reversed;
        platform.jobs_begun = platform.parts_done_by_others = 0;
        EXPECT_EQ(again(platform, *tiny.engine, UINT64_MAX), loaded);
        EXPECT_GT(platform.jobs_begun, 1u);
        EXPECT_GT(platform.parts_done_by_others, 0u);
        EXPECT_TRUE(tiny.engine->verify().ok());
    }
    HostPlatform host({.root = {}, .threads = 3, .memory_bytes = uint64_t{1} << 30});
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(again(host, *tiny.engine, UINT64_MAX), loaded);
    }
}

/// A load that is cancelled leaves no job behind: its tensors' memory goes.
TEST(WeightChecks, WhatIsNotFinishedIsEnded)
{
    TinyEngine tiny(three_reads());
    tiny.platform.processors = 2;
    {
        WeightFinisher checks(tiny.platform, tiny.engine->model().desc, UINT64_MAX);
        ASSERT_TRUE(checks.prepare().ok());
        checks.ready(tiny.engine->model().desc.tensors.size());
        EXPECT_FALSE(tiny.platform.parallel_done());
    }
    EXPECT_TRUE(tiny.platform.parallel_done());
    auto pages = tiny.platform.pages_alloc(4096); // the fake complains if a job is under way
    ASSERT_TRUE(pages.ok());
    tiny.platform.pages_free(pages.value(), 4096);
}

/// Where the others would slow the reading down: the load makes no sums, the wait for a key does, and they are the
/// same.
TEST(WeightChecks, PutOffWhereFilesNeedTheProcessors)
{
    TinyEngine meanwhile(three_reads());
    TinyRepl desk(three_reads());
    Engine& engine = *desk.tiny.engine;
    EXPECT_FALSE(engine.work_off());
    desk.platform().emulated = true;
    desk.platform().processors = 4;
    ASSERT_TRUE(engine.load("tiny.bin", {}, 0, {}).ok());
    EXPECT_EQ(desk.platform().jobs_begun, 0u);
    for (const uint64_t sum : sums_of(engine)) {
        EXPECT_EQ(sum, 0u);
    }
    EXPECT_TRUE(engine.work_off()) << "a step is not all of it";
    EXPECT_NE(sums_of(engine), sums_of(*meanwhile.engine));
    desk.script.stop();
    desk.platform().type_at(1000, "/exit\r");
    EXPECT_EQ(desk.repl.run(), ReplExit::menu);
    EXPECT_EQ(sums_of(engine), sums_of(*meanwhile.engine));
    EXPECT_FALSE(engine.work_off());
    EXPECT_TRUE(engine.verify().ok());
}

/// /verify wants them at once; and from then on it finds what changes.
TEST(WeightChecks, WhatWasPutOffIsMadeForVerify)
{
    TinyRepl desk;
    Engine& engine = *desk.tiny.engine;
    desk.platform().emulated = true;
    for (const auto& [command, said] :
         {std::pair{"/verify", "as they were loaded"}, {"/test_failsafe weights", "[failsafe] weights: passed"}}) {
        ASSERT_TRUE(engine.load("tiny.bin", {}, 0, {}).ok());
        EXPECT_TRUE(has(desk.enter(command), said));
        EXPECT_NE(engine.model().desc.tensors[3].checksum, 0u);
        EXPECT_TRUE(has(desk.enter("/verify"), "as they were loaded"));
        auto* const byte = const_cast<uint8_t*>(engine.model().desc.tensors[3].data);
        *byte ^= 1;
        EXPECT_FALSE(engine.verify().ok());
        *byte ^= 1;
    }
    engine.unload();
    EXPECT_FALSE(engine.work_off());
}

/// Packed weights are laid out the same when the others begin after the last read.
TEST(WeightChecks, PackedWeightsAreLaidOutAfterTheLastRead)
{
    constexpr size_t kTensorCount = 3;
    std::vector<uint8_t> read(64 * 8 * 34);
    for (size_t i = 0; i < read.size(); ++i) {
        read[i] = static_cast<uint8_t>(i * 7 + i / 251);
    }
    std::vector<std::vector<uint8_t>> laid_out;
    for (const bool emulated : {false, true}) {
        FakePlatform platform;
        platform.processors = 4;
        platform.emulated = emulated;
        std::vector<std::vector<uint8_t>> data(kTensorCount, read);
        ModelDesc desc(platform);
        for (uint32_t i = 0; i < kTensorCount; ++i) {
            TensorDesc tensor = {TensorRole::ffn_down, TensorType::q8_0, i, 64, 256, i * read.size(), read.size()};
            tensor.data = data[i].data();
            ASSERT_TRUE(desc.tensors.push(tensor).ok());
        }
        WeightFinisher finisher(platform, desc, UINT64_MAX);
        ASSERT_TRUE(finisher.prepare().ok());
        for (size_t count = 1; count <= kTensorCount; ++count) {
            finisher.ready(count);
        }
        EXPECT_EQ(platform.jobs_begun == 0, emulated);
        finisher.finish();
        EXPECT_GT(platform.jobs_begun, 0u);
        EXPECT_EQ(finisher.late(), emulated);
        for (size_t i = 0; i < kTensorCount; ++i) {
            EXPECT_TRUE(desc.tensors[i].panels) << i;
            EXPECT_EQ(desc.tensors[i].checksum == 0, emulated) << i;
            EXPECT_NE(data[i], read) << i;
            laid_out.push_back(data[i]);
        }
    }
    for (const auto& tensor : laid_out) {
        EXPECT_EQ(tensor, laid_out[0]);
    }
}

/// From the threshold on the reader leaves it to the others: a file of zeros behind a header.
TEST(WeightChecks, ALargeModelIsSummedByTheOthers)
{
    FakePlatform platform;
    platform.processors = 2;
    TinyShape shape;
    shape.dim = 1024;
    shape.hidden = 512;
    shape.layers = 1;
    shape.vocab = 36'000;
    const int32_t header[] = {shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads, shape.vocab, 64};
    const uint64_t head = static_cast<uint64_t>(shape.dim) / static_cast<uint64_t>(shape.heads);
    const uint64_t dim = 1024;
    const uint64_t floats =
        36'000 * dim + 2 * dim + dim * dim * 2 + dim * head * 2 * 2 + 3 * dim * 512 + dim + 64 * head;
    platform.add_large_file("zeros.bin", {reinterpret_cast<const char*>(header), sizeof header}, floats * 4, "");
    platform.add_file("zeros.tok.bin", tokenizer_file(tiny_vocabulary(shape.vocab)));
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    const auto loaded = engine.load("zeros.bin", {}, 0, {});
    ASSERT_TRUE(loaded.ok()) << loaded.error().message.view();
    EXPECT_GT(platform.jobs_begun, 0u);
    const uint64_t begun = platform.jobs_begun;
    EXPECT_TRUE(engine.verify().ok());
    EXPECT_EQ(platform.jobs_begun, begun) << "/verify waits for what it began";
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
