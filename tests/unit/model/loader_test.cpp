// SPDX-License-Identifier: MIT
//
// Planning memory before anything is reserved, loading into pieces, and giving everything back when it fails.
#include "model/loader.h"

#include "fake/tiny_engine.h"

#include <algorithm>
#include <cstring>

namespace llmk {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

/// Large enough that weights are read in several pieces (some 9 MB of float32).
TinyShape large_shape()
{
    TinyShape shape;
    shape.dim = 64;
    shape.hidden = 96;
    shape.layers = 3;
    shape.vocab = 34'000;
    shape.context = 2048;
    return shape;
}

TEST(Plan, SizesAreWhatIsUsed)
{
    for (int version = 0; version <= 2; ++version) {
        for (const uint64_t context : {uint64_t{0}, uint64_t{1}, uint64_t{17}, uint64_t{64}, uint64_t{1000}}) {
            TinyShape shape;
            shape.version = version;
            TinyEngine tiny(shape, context);
            const MemoryPlan& plan = tiny.session().plan();
            EXPECT_EQ(plan.context, context == 0 || context > 64 ? 64 : context);
            EXPECT_EQ(plan.batch, std::min<uint64_t>(plan.context, kPrefillBatch));
            const Zones& zones = tiny.engine->zones();
            EXPECT_EQ(zones[ZoneId::weights].size_bytes(), plan.weights);
            EXPECT_EQ(zones[ZoneId::kv].size_bytes(), plan.kv);
            EXPECT_EQ(zones[ZoneId::acts].size_bytes(), plan.acts);
            EXPECT_EQ(zones[ZoneId::scratch].size_bytes(), plan.scratch);
            EXPECT_TRUE(zones[ZoneId::weights].frozen());
            EXPECT_FALSE(zones.broken_guard());
        }
    }
}

TEST(Plan, ContextShrinksToWhatIsThere)
{
    FakePlatform platform;
    add_tiny_model(platform, "big.bin", large_shape());
    const InspectedModel candidate = inspect_model(platform, "big.bin", {}).take();
    uint64_t last = 0;
    bool refused = false;
    for (uint64_t free = 40 * kMiB; free >= 10 * kMiB; free -= kMiB / 2) {
        platform.extents = {free};
        auto plan = fit_memory(platform, candidate, 0);
        if (!plan.ok()) {
            refused = true;
            EXPECT_EQ(plan.error().status, Status::out_of_memory);
            continue;
        }
        EXPECT_FALSE(refused) << "less memory cannot hold more";
        EXPECT_LE(plan.value().total(), free);
        EXPECT_GE(plan.value().context, kSmallestContext);
        EXPECT_LE(plan.value().context, last == 0 ? 2048 : last);
        last = plan.value().context;
    }
    EXPECT_TRUE(refused);
    EXPECT_LT(last, 2048u) << "it shrank before it was refused";
    platform.extents = {uint64_t{1} << 30};
    EXPECT_EQ(fit_memory(platform, candidate, 100).value().context, 100u);
    EXPECT_EQ(fit_memory(platform, candidate, 0).value().context, 2048u);
    EXPECT_EQ(fit_memory(platform, candidate, 1'000'000).value().context, 2048u);
}

TEST(Plan, WhatItPromisesCanBeLoaded)
{
    for (uint64_t free = 12 * kMiB; free <= 30 * kMiB; free += 3 * kMiB) {
        FakePlatform platform;
        add_tiny_model(platform, "big.bin", large_shape());
        Engine engine(platform);
        ASSERT_TRUE(engine.start("scalar").ok());
        platform.extents = {free, free / 3, 300'000};
        const bool fits = fit_memory(platform, inspect_model(platform, "big.bin", {}).take(), 0).ok();
        const auto loaded = engine.load("big.bin", {}, 0, {});
        EXPECT_EQ(loaded.ok(), fits) << free;
        EXPECT_EQ(engine.loaded(), fits);
        platform.extents[0] += uint64_t{1} << 40;
    }
}

TEST(Plan, RefusalHasTheNumbers)
{
    FakePlatform platform;
    add_tiny_model(platform, "big.bin", large_shape());
    const InspectedModel candidate = inspect_model(platform, "big.bin", {}).take();
    platform.extents = {3 * kMiB, 2 * kMiB};
    auto plan = fit_memory(platform, candidate, 0);
    ASSERT_FALSE(plan.ok());
    const std::string message(plan.error().message.view());
    const auto least = plan_memory(candidate, kSmallestContext).value();
    EXPECT_NE(message.find("big.bin: needs " + std::to_string(least.total()) + " bytes"), std::string::npos) << message;
    EXPECT_NE(message.find(std::to_string(5 * kMiB) + " bytes (5.0 MiB) are free"), std::string::npos) << message;
    EXPECT_NE(message.find("would fit"), std::string::npos) << message;
    platform.extents = {};
    EXPECT_FALSE(fit_memory(platform, candidate, 0).ok());
}

TEST(Plan, ContextsThatOverflow)
{
    FakePlatform platform;
    ModelDesc desc(platform);
    desc.head_count = desc.head_count_kv = desc.head_dim = desc.block_count = uint64_t{1} << 16;
    desc.context_length = uint64_t{1} << 31;
    desc.embedding_length = desc.feed_forward_length = 64;
    const auto plan = plan_session(desc, 0);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.error().status, Status::out_of_memory);
}

TEST(Inspect, FindsAndChecksTheVocabulary)
{
    FakePlatform platform;
    platform.add_file("x.bin", tiny_model({}));
    EXPECT_EQ(inspect_model(platform, "x.bin", {}).error().status, Status::not_found);
    const auto right = tokenizer_file(tiny_vocabulary(290));
    platform.add_file("tokenizer.bin", tokenizer_file(tiny_vocabulary(280)));
    EXPECT_EQ(inspect_model(platform, "x.bin", {}).error().status, Status::bad_format);
    platform.add_file("other.bin", right);
    const auto given = inspect_model(platform, "x.bin", "other.bin");
    ASSERT_TRUE(given.ok());
    platform.add_file("tok290.bin", right);
    const InspectedModel found = inspect_model(platform, "x.bin", {}).take();
    EXPECT_EQ(found.desc.vocabulary.path.view(), "tok290.bin");
    EXPECT_EQ(found.desc.vocabulary.text_bytes, right.size());
}

/// Logits of a few tokens, of a model loaded into these extents.
std::vector<float> logits_with(const TinyShape& shape, const std::vector<uint64_t>& extents, size_t& pieces)
{
    FakePlatform platform;
    add_tiny_model(platform, "big.bin", shape);
    Engine engine(platform);
    EXPECT_TRUE(engine.start("scalar").ok());
    platform.extents = extents;
    auto loaded = engine.load("big.bin", {}, 128, {});
    EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message.view());
    if (!loaded.ok()) {
        return {};
    }
    pieces = engine.zones()[ZoneId::weights].extents().size();
    const Token tokens[] = {1, 300, 4000, 33'000, 7};
    EXPECT_TRUE(engine.session().prefill(tokens, {}).ok());
    EXPECT_TRUE(engine.session().decode(500).ok());
    const auto logits = engine.session().logits();
    std::vector<float> result(logits.begin(), logits.end());
    engine.unload();
    platform.extents.push_back(uint64_t{1} << 40);
    return result;
}

TEST(Load, FragmentedMemoryGivesTheSameLogits)
{
    for (const int version : {0, 1}) {
        TinyShape shape = large_shape();
        shape.version = version;
        size_t pieces = 0;
        const auto whole = logits_with(shape, {uint64_t{1} << 30}, pieces);
        EXPECT_EQ(pieces, 2u) << "the file and the rest";
        // The largest tensor fits, the whole file nowhere; the rest of it goes elsewhere.
        size_t cut = 0;
        const auto parts =
            logits_with(shape, {10'600 * 1024, 8 * kMiB, 4 * kMiB, 4 * kMiB, 3 * kMiB, 200'000, 100'000}, cut);
        EXPECT_GT(cut, 2u);
        ASSERT_EQ(parts.size(), whole.size());
        EXPECT_EQ(parts, whole) << version;
    }
}

TEST(Load, WeightsSplitBetweenTensors)
{
    // A file of 35 KB, and no extent that holds so much.
    TinyShape shape;
    const std::string file = tiny_model(shape);
    FakePlatform whole_platform;
    FakePlatform platform;
    for (FakePlatform* each : {&whole_platform, &platform}) {
        add_tiny_model(*each, "x.bin", shape);
    }
    Zones zones(platform);
    Zones whole_zones(whole_platform);
    const auto load = [](FakePlatform& on, Zones& into, Model& model) {
        MemoryPlan plan = plan_memory(inspect_model(on, "x.bin", {}).take(), 0).value();
        return load_weights(on, into, model, plan, {});
    };
    Model model(std::move(inspect_model(platform, "x.bin", {}).value().desc));
    Model whole(std::move(inspect_model(whole_platform, "x.bin", {}).value().desc));
    const uint64_t kib = 1024; // tables of ours take a page now and then: leave them some
    platform.extents = {28 * kib, 16 * kib, 12 * kib, 36 * kib};
    ASSERT_TRUE(load(whole_platform, whole_zones, whole).ok());
    auto loaded = load(platform, zones, model);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message.view();
    EXPECT_EQ(whole_zones[ZoneId::weights].extents().size(), 2u) << "the weights and the rest";
    EXPECT_GT(zones[ZoneId::weights].extents().size(), 2u) << file.size();
    for (const TensorDesc& entry : model.desc.tensors) {
        const Tensor here = model.tensor(entry.role, entry.layer);
        const Tensor there = whole.tensor(entry.role, entry.layer);
        ASSERT_NE(here.data, nullptr);
        EXPECT_EQ(std::memcmp(here.data, there.data, entry.size_bytes), 0) << tensor_role_name(entry.role);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(here.data) % 64, entry.offset_bytes % 64) << "the file's alignment";
    }
    EXPECT_FALSE(zones.broken_guard());
}

struct Watcher {
    uint64_t last = 0;
    uint64_t total = 0;
    size_t calls = 0;
    size_t cancel_at = 0;
    LoadObserver observer()
    {
        return {this, [](void* context, uint64_t done, uint64_t whole) {
                    auto& self = *static_cast<Watcher*>(context);
                    EXPECT_GT(done, self.last);
                    EXPECT_LE(done, whole);
                    self.last = done;
                    self.total = whole;
                    return ++self.calls != self.cancel_at;
                }};
    }
};

TEST(Load, CancelledInTheMiddle)
{
    FakePlatform platform;
    add_tiny_model(platform, "big.bin", large_shape());
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    const uint64_t before = platform.pages_in_use();
    for (size_t at = 1;; ++at) {
        Watcher watcher;
        watcher.cancel_at = at;
        const auto loaded = engine.load("big.bin", {}, 0, watcher.observer());
        if (loaded.ok()) {
            EXPECT_GT(at, 2u) << "there was a middle";
            EXPECT_EQ(watcher.last, watcher.total);
            EXPECT_GT(watcher.total, tiny_model(large_shape()).size() * 9 / 10) << "all that is weights";
            break;
        }
        EXPECT_EQ(loaded.error().status, Status::cancelled);
        EXPECT_FALSE(engine.loaded());
        EXPECT_EQ(platform.pages_in_use(), before);
        EXPECT_EQ(platform.open_files(), 0u);
    }
}

TEST(Load, EveryReadErrorAndShortRead)
{
    FakePlatform platform;
    add_tiny_model(platform, "big.bin", large_shape());
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    const uint64_t before = platform.pages_in_use();
    for (size_t FakePlatform::*countdown : {&FakePlatform::fail_read_in, &FakePlatform::short_read_in}) {
        size_t at = 1;
        for (;; ++at) {
            platform.*countdown = at;
            const auto loaded = engine.load("big.bin", {}, 0, {});
            if (platform.*countdown != 0) {
                EXPECT_TRUE(loaded.ok()) << "the failure lay behind the last read";
                break;
            }
            if (loaded.ok()) {
                continue; // half of a head that is longer than what is looked at
            }
            EXPECT_NE(loaded.error().message.view().find("big."), std::string_view::npos)
                << loaded.error().message.view();
            EXPECT_FALSE(engine.loaded());
            EXPECT_EQ(platform.pages_in_use(), before) << at;
            EXPECT_EQ(platform.open_files(), 0u);
        }
        EXPECT_GT(at, 5u);
        platform.*countdown = 0;
        engine.unload();
    }
}

TEST(Load, EveryFailedAllocationAndOpen)
{
    FakePlatform platform;
    add_tiny_model(platform);
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    const uint64_t before = platform.pages_in_use();
    for (size_t FakePlatform::*countdown : {&FakePlatform::fail_alloc_in, &FakePlatform::fail_open_in}) {
        size_t failures = 0;
        for (size_t at = 1;; ++at) {
            platform.*countdown = at;
            const auto loaded = engine.load("tiny.bin", {}, 0, {});
            if (platform.*countdown != 0) {
                EXPECT_TRUE(loaded.ok());
                break;
            }
            failures += loaded.ok() ? 0 : 1;
            EXPECT_EQ(engine.loaded(), loaded.ok());
            engine.unload();
            EXPECT_EQ(platform.pages_in_use(), before) << at;
        }
        EXPECT_GE(failures, 3u);
        platform.*countdown = 0;
        engine.unload();
    }
    EXPECT_TRUE(engine.load("tiny.bin", {}, 0, {}).ok());
}

} // namespace
} // namespace llmk
