// SPDX-License-Identifier: MIT
//
// The whole: start, load, another context, other kernels, and what is left when one of them fails.
#include "fake/tiny_engine.h"

namespace llmk {
namespace {

TEST(Engine, StartsAndLogs)
{
    FakePlatform platform;
    {
        Engine engine(platform);
        ASSERT_TRUE(engine.start("").ok());
        EXPECT_FALSE(engine.loaded());
        EXPECT_GE(engine.log().count(), 3u);
        EXPECT_EQ(engine.log().at(0).code, LogCode::boot);
        EXPECT_GE(engine.log().capacity(), 1000u);
        EXPECT_FALSE(engine.kernels().forced);
        EXPECT_FALSE(engine.kernels().measured) << "with no model there is nothing to measure with";
    }
    EXPECT_EQ(platform.pages_in_use(), 0u);
}

TEST(Engine, NoMemoryAtStart)
{
    FakePlatform platform;
    platform.fail_alloc_in = 1;
    Engine engine(platform);
    const auto started = engine.start("auto");
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.error().status, Status::out_of_memory);
}

TEST(Engine, ForcedKernelsRun)
{
    TinyEngine tiny;
    const std::string wanted = tiny.say("the hat");
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "scalar");
    EXPECT_TRUE(tiny.engine->kernels().forced);
    EXPECT_GT(tiny.engine->sentinel().budget(Phase::decode).cycles_per_token, 0u);
    ASSERT_TRUE(tiny.engine->use_kernels("sse2").ok());
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "sse2");
    EXPECT_STREQ(tiny.session().kernels().name, "sse2") << "the running session takes them over";
    EXPECT_EQ(tiny.engine->sentinel().budget(Phase::decode).cycles_per_token, 0u) << "other speeds";
    tiny.chat().clear();
    EXPECT_EQ(tiny.say("the hat"), wanted);
    const auto unknown = tiny.engine->use_kernels("avx9");
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().status, Status::not_found);
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "sse2") << "an error changes nothing";
    const KernelChoice kept = tiny.engine->kernels();
    ASSERT_TRUE(tiny.engine->use_attention("scalar").ok());
    EXPECT_STREQ(tiny.engine->kernels().attention.name, "scalar");
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "sse2");
    EXPECT_FALSE(tiny.engine->use_attention("avx9").ok());
    EXPECT_TRUE(tiny.engine->use_attention("auto").ok());
    ASSERT_TRUE(tiny.engine->use_kernels("auto").ok());
    EXPECT_FALSE(tiny.engine->kernels().forced);
    tiny.engine->restore_kernels(kept);
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "sse2");
    EXPECT_FALSE(tiny.say("and").empty());
}

TEST(Engine, LoadsAnotherInPlaceOfTheFirst)
{
    TinyEngine tiny;
    TinyShape other;
    other.seed = 9;
    other.version = 2;
    add_tiny_model(tiny.platform, "other.bin", other);
    (void)tiny.say("the hat");
    ASSERT_TRUE(tiny.engine->load("other.bin", {}, 32, {}).ok());
    EXPECT_EQ(tiny.engine->model().desc.path.view(), "other.bin");
    EXPECT_EQ(tiny.session().context(), 32u);
    EXPECT_EQ(tiny.session().length(), 0u);
    EXPECT_EQ(tiny.chat().turn_count(), 0u);
    EXPECT_FALSE(tiny.say("the hat").empty());
}

TEST(Engine, AFailedLoadLeavesNothing)
{
    TinyEngine tiny;
    const uint64_t loaded = tiny.platform.pages_in_use();
    tiny.platform.add_file("bad.bin", "no model at all");
    for (const char* path : {"bad.bin", "away.bin"}) {
        EXPECT_FALSE(tiny.engine->load(path, {}, 0, {}).ok());
        EXPECT_FALSE(tiny.engine->loaded());
        EXPECT_LT(tiny.platform.pages_in_use(), loaded);
        tiny.engine->unload();
    }
    ASSERT_TRUE(tiny.engine->load("tiny.bin", {}, 0, {}).ok());
    EXPECT_EQ(tiny.platform.pages_in_use(), loaded);
    EXPECT_FALSE(tiny.say("the hat").empty());
}

TEST(Engine, AnotherContext)
{
    TinyEngine tiny;
    tiny.chat().settings.max_tokens = 5;
    tiny.chat().settings.stops[0] = "xyz";
    const std::string wanted = tiny.say("the hat");
    for (const uint64_t context : {uint64_t{16}, uint64_t{64}, uint64_t{8}, uint64_t{1000}}) {
        ASSERT_TRUE(tiny.engine->set_context(context).ok());
        EXPECT_EQ(tiny.session().context(), std::min<uint64_t>(context, 64)) << "at most the model's";
        EXPECT_EQ(tiny.session().length(), 0u);
        EXPECT_EQ(tiny.chat().turn_count(), 0u);
        EXPECT_EQ(tiny.chat().settings.max_tokens, 5u) << "settings stay";
        EXPECT_EQ(tiny.chat().settings.stops[0].view(), "xyz");
    }
    EXPECT_EQ(tiny.say("the hat"), wanted);
}

TEST(Engine, AnotherContextKeepsTheRandomStream)
{
    TinyEngine tiny;
    tiny.chat().random.reseed(77);
    ASSERT_TRUE(tiny.engine->set_context(32).ok());
    RandomStream wanted(77);
    EXPECT_EQ(tiny.chat().random.next_u32(), wanted.next_u32());
}

TEST(Engine, AContextThatDoesNotFitPutsTheOldOneBack)
{
    TinyShape shape;
    shape.context = 100'000;
    TinyEngine tiny(shape, 64);
    const uint64_t used = tiny.platform.pages_in_use(); // a chat takes some for its texts once it has turns
    const std::string wanted = tiny.say("the hat");
    tiny.platform.extents[0] = 1'000'000;
    const auto result = tiny.engine->set_context(100'000);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::out_of_memory);
    ASSERT_TRUE(tiny.engine->loaded());
    EXPECT_EQ(tiny.session().context(), 64u);
    EXPECT_EQ(tiny.platform.pages_in_use(), used);
    EXPECT_EQ(tiny.say("the hat"), wanted);
    tiny.platform.fail_alloc_in = 2; // nor can the old one be had again: there is nothing to go on with
    EXPECT_FALSE(tiny.engine->set_context(100'000).ok());
    EXPECT_EQ(tiny.platform.fail_alloc_in, 0u);
    EXPECT_FALSE(tiny.engine->loaded());
    tiny.platform.extents[0] = uint64_t{1} << 30;
    EXPECT_TRUE(tiny.engine->load("tiny.bin", {}, 64, {}).ok());
    EXPECT_EQ(tiny.platform.pages_in_use(), used);
}

} // namespace
} // namespace llmk
