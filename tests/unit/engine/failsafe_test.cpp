// SPDX-License-Identifier: MIT
//
// A turn that the sentinel stops leaves no trace: each kind of failure, then the same turn again.
#include "fake/tiny_engine.h"

namespace llmk {
namespace {

constexpr Failure kFailures[] = {Failure::prefill, Failure::decode, Failure::alloc, Failure::guard, Failure::nan};

TEST(Failsafe, EachFailureIsTakenBack)
{
    TinyEngine calm;
    calm.chat().settings.sampler = story_sampler();
    const std::string before = calm.say("the hat");
    const std::string wanted = calm.say("a cat");
    const auto tokens = calm.tokens();
    for (const Failure failure : kFailures) {
        TinyEngine tiny;
        tiny.chat().settings.sampler = story_sampler(); // draws: the random stream must be put back too
        EXPECT_EQ(tiny.say("the hat"), before);
        const auto length = tiny.session().length();
        for (int round = 0; round < 3; ++round) {
            const uint64_t trips = tiny.engine->sentinel().trips();
            tiny.chat().inject(failure);
            Ear ear;
            const auto result = tiny.chat().say("a cat", ear.sink());
            ASSERT_FALSE(result.ok()) << static_cast<int>(failure);
            EXPECT_EQ(result.error().status, Status::tripped);
            EXPECT_FALSE(result.error().message.view().empty());
            EXPECT_EQ(tiny.engine->sentinel().trips(), trips + 1);
            EXPECT_EQ(tiny.session().length(), length);
            EXPECT_EQ(tiny.chat().turn_count(), 1u);
            EXPECT_FALSE(tiny.engine->zones().broken_guard()) << "guards are written anew";
            EXPECT_EQ(tiny.session().scratch().used_bytes(), 0u);
        }
        EXPECT_EQ(tiny.say("a cat"), wanted) << static_cast<int>(failure);
        EXPECT_EQ(tiny.tokens(), tokens);
        const RingLog& log = tiny.engine->log();
        size_t rewinds = 0;
        for (size_t i = 0; i < log.count(); ++i) {
            rewinds += log.at(i).code == LogCode::rewind ? 1 : 0;
        }
        EXPECT_EQ(rewinds, 3u);
    }
}

TEST(Failsafe, AFailureHitsOneTurnOnly)
{
    // The answer ends before the middle, where these are injected: nothing of it may stay for the next turn.
    for (const Failure failure : {Failure::alloc, Failure::guard, Failure::nan}) {
        TinyEngine tiny;
        tiny.chat().settings.max_tokens = 2;
        tiny.chat().inject(failure);
        (void)tiny.say("the hat");
        tiny.chat().settings.max_tokens = 12;
        (void)tiny.say("the hat");
        EXPECT_EQ(tiny.engine->sentinel().trips(), 0u) << static_cast<int>(failure);
    }
}

TEST(Failsafe, PoisonDoesNotOutliveItsTurn)
{
    // The draw after the injection is the end token: no further logits are computed in this turn.
    TinyShape shape;
    shape.shared = false;
    Token fourth = 0;
    for (bool found = false; !found; shape.seed += found ? 0 : 1) { // a model whose fourth token is not among the first
        ASSERT_LT(shape.seed, 100u);
        TinyEngine plain(shape);
        (void)plain.say("the hat");
        const auto tokens = plain.tokens();
        const auto answer = std::span(tokens).subspan(plain.encode("the hat").size());
        fourth = answer[3];
        found = fourth != answer[0] && fourth != answer[1] && fourth != answer[2];
    }
    std::string file = tiny_model(shape);
    const size_t row = 16 * sizeof(float);
    char* classifier = file.data() + file.size() - 290 * row;
    std::swap_ranges(classifier + 2 * row, classifier + 3 * row, classifier + fourth * row);
    TinyEngine tiny(shape);
    tiny.platform.add_file("tiny.bin", file);
    ASSERT_TRUE(tiny.engine->load("tiny.bin", {}, 0, {}).ok());
    tiny.chat().settings.sampler = {.temperature = 0.0f, .top_p = 0.0f};
    tiny.chat().inject(Failure::nan);
    (void)tiny.say("the hat");
    EXPECT_EQ(tiny.last.tokens, 3u);
    (void)tiny.say("a cat");
    EXPECT_EQ(tiny.engine->sentinel().trips(), 0u);
}

TEST(Failsafe, AFailedRegenerationKeepsTheTurn)
{
    for (const Failure failure : kFailures) {
        TinyEngine tiny;
        (void)tiny.say("the hat");
        (void)tiny.say("a cat");
        const auto before = tiny.tokens();
        tiny.chat().inject(failure);
        Ear ear;
        ASSERT_EQ(tiny.chat().regenerate(ear.sink()).error().status, Status::tripped);
        EXPECT_EQ(tiny.chat().turn_count(), 2u);
        EXPECT_EQ(tiny.tokens(), before);
        EXPECT_FALSE(tiny.say("on it").empty());
    }
}

TEST(Failsafe, FullScratchWhileEncodingTrips)
{
    TinyEngine tiny;
    (void)tiny.say("the hat");
    tiny.session().scratch().fail_next_alloc();
    Ear ear;
    const auto result = tiny.chat().say("a cat", ear.sink());
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::tripped);
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
    EXPECT_EQ(tiny.session().scratch().used_bytes(), 0u);
    EXPECT_FALSE(tiny.say("a cat").empty());
}

TEST(Failsafe, StrictBudgetTripsAndTheSessionLives)
{
    TinyEngine tiny;
    tiny.engine->sentinel().set_strict(true);
    (void)tiny.say("the hat");
    const auto before = tiny.tokens();
    tiny.engine->sentinel().set_budget(Phase::decode, 1);
    Ear ear;
    const auto result = tiny.chat().say("a cat", ear.sink());
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::tripped);
    EXPECT_NE(result.error().message.view().find("budget"), std::string_view::npos);
    EXPECT_EQ(tiny.tokens(), before);
    tiny.engine->sentinel().set_budget(Phase::decode, 0);
    EXPECT_FALSE(tiny.say("a cat").empty());
}

} // namespace
} // namespace llmk
