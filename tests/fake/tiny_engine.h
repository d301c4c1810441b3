// SPDX-License-Identifier: MIT
//
// An engine with a tiny model on a fake platform, scalar kernels, and a place where turns go.
#pragma once

#include "engine/engine.h"
#include "fake/tiny_model.h"

#include <gtest/gtest.h>

namespace llmk {

/// What a turn said, its notices, and after how many looks it is interrupted.
struct Ear {
    std::string text;
    std::vector<std::string> notices;
    size_t looks = 0;
    size_t interrupt_at = 0; ///< the n-th look says yes; 0 never

    TurnSink sink()
    {
        return {this, [](void* context, std::string_view utf8) { static_cast<Ear*>(context)->text += utf8; },
                [](void* context, std::string_view line) { static_cast<Ear*>(context)->notices.emplace_back(line); },
                [](void* context) {
                    auto& ear = *static_cast<Ear*>(context);
                    return ++ear.looks == ear.interrupt_at;
                }};
    }
};

struct TinyEngine {
    explicit TinyEngine(const TinyShape& shape = {}, uint64_t context = 0, KvType kv_type = KvType::f16)
    {
        add_tiny_model(platform, "tiny.bin", shape);
        engine.emplace(platform);
        EXPECT_TRUE(engine->start("scalar").ok());
        engine->want_kv_type(kv_type);
        auto loaded = engine->load("tiny.bin", {}, context, {});
        EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message.view());
        chat().settings.sampler = {.temperature = 0.0f, .top_p = 0.0f};
        chat().settings.max_tokens = 12;
    }
    Chat& chat() { return engine->chat(); }
    Session& session() { return engine->session(); }

    /// Says a text and returns the answer's; the turn must go well.
    std::string say(std::string_view text)
    {
        Ear ear;
        auto stats = chat().say(text, ear.sink());
        EXPECT_TRUE(stats.ok()) << (stats.ok() ? "" : stats.error().message.view());
        if (stats.ok()) {
            last = stats.value();
        }
        notices = ear.notices;
        return ear.text;
    }
    std::vector<Token> tokens()
    {
        const auto all = session().tokens();
        return {all.begin(), all.end()};
    }
    std::vector<float> logits()
    {
        const auto all = session().logits();
        return {all.begin(), all.end()};
    }
    std::vector<Token> encode(std::string_view text)
    {
        const Tokenizer& tokenizer = *engine->model().tokenizer;
        std::vector<Token> ids(tokenizer.max_tokens(text.size()));
        auto count = tokenizer.encode(text, BosRule::add, ids, session().scratch());
        EXPECT_TRUE(count.ok());
        ids.resize(count.ok() ? count.value() : 0);
        return ids;
    }

    FakePlatform platform;
    std::optional<Engine> engine;
    TurnStats last;
    std::vector<std::string> notices;
};

/// The largest difference of two rows.
inline float largest_difference(std::span<const float> a, std::span<const float> b)
{
    EXPECT_EQ(a.size(), b.size());
    float most = 0.0f;
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
        const float difference = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        most = difference > most ? difference : most;
    }
    return most;
}

} // namespace llmk
