// SPDX-License-Identifier: MIT
//
// Conversations: turns, what ends an answer, what a full context drops.
#include "fake/tiny_engine.h"

#include <algorithm>

namespace llmk {
namespace {

TEST(Chat, TurnsStayInTheCache)
{
    TinyEngine tiny;
    const auto first = tiny.encode("the hat");
    const std::string answer = tiny.say("the hat");
    EXPECT_FALSE(answer.empty());
    EXPECT_EQ(tiny.last.tokens, 12u);
    EXPECT_EQ(tiny.last.end, TurnEnd::max_tokens);
    EXPECT_EQ(tiny.last.prefill_tokens, first.size());
    EXPECT_EQ(tiny.session().length(), first.size() + 12);
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
    auto tokens = tiny.tokens();
    EXPECT_TRUE(std::equal(first.begin(), first.end(), tokens.begin()));
    std::string spoken;
    for (size_t i = first.size(); i < tokens.size(); ++i) {
        spoken += tiny.engine->model().tokenizer->piece(tokens[i - 1], tokens[i]);
    }
    Text<512> clean;
    Utf8Stream stream;
    stream.feed(spoken, clean);
    stream.finish(clean);
    EXPECT_EQ(answer, clean.view());
    (void)tiny.say("and");
    EXPECT_EQ(tiny.chat().turn_count(), 2u);
    EXPECT_EQ(tiny.session().length(), first.size() + 12 + tiny.encode("and").size() + 12);
    EXPECT_EQ(tiny.session().scratch().used_bytes(), 0u);
}

TEST(Chat, GreedyIsTheArgmaxOfEachStep)
{
    TinyEngine tiny;
    (void)tiny.say("the hat");
    const auto said = tiny.tokens();
    const size_t prompt = tiny.encode("the hat").size();
    TinyEngine other;
    ASSERT_TRUE(other.session().prefill({said.data(), prompt}, {}).ok());
    for (size_t i = prompt; i < said.size(); ++i) {
        const auto logits = other.logits();
        EXPECT_EQ(said[i], static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
        ASSERT_TRUE(other.session().decode(said[i]).ok());
    }
}

TEST(Chat, UndoClearRegenerate)
{
    TinyEngine tiny;
    EXPECT_FALSE(tiny.chat().undo());
    Ear ear;
    EXPECT_EQ(tiny.chat().regenerate(ear.sink()).error().status, Status::not_found);
    const std::string first = tiny.say("the hat");
    const size_t length = tiny.session().length();
    const std::string second = tiny.say("a cat");
    const auto tokens = tiny.tokens();
    ASSERT_TRUE(tiny.chat().regenerate(ear.sink()).ok());
    EXPECT_EQ(ear.text, second) << "greedy: the same again";
    EXPECT_EQ(tiny.tokens(), tokens);
    EXPECT_EQ(tiny.chat().turn_count(), 2u);
    EXPECT_TRUE(tiny.chat().undo());
    EXPECT_EQ(tiny.session().length(), length);
    EXPECT_EQ(tiny.say("a cat"), second);
    tiny.chat().clear();
    EXPECT_EQ(tiny.chat().turn_count(), 0u);
    EXPECT_EQ(tiny.session().length(), 0u);
    EXPECT_EQ(tiny.say("the hat"), first);
}

TEST(Chat, RegenerateWithAnotherSeedDiffers)
{
    TinyEngine tiny;
    tiny.chat().settings.sampler.temperature = 1.0f;
    tiny.chat().random.reseed(3);
    const std::string once = tiny.say("the hat");
    Ear ear;
    ASSERT_TRUE(tiny.chat().regenerate(ear.sink()).ok());
    EXPECT_NE(ear.text, once) << "the stream went on";
    tiny.chat().clear();
    tiny.chat().random.reseed(3);
    EXPECT_EQ(tiny.say("the hat"), once);
}

TEST(Chat, SystemPromptStaysInFront)
{
    TinyEngine tiny;
    Ear ear;
    const auto system = tiny.encode("be brief");
    ASSERT_TRUE(tiny.chat().set_system("be brief", ear.sink()).ok());
    EXPECT_EQ(tiny.chat().system(), "be brief");
    EXPECT_EQ(tiny.tokens(), system);
    (void)tiny.say("the hat");
    tiny.chat().clear();
    EXPECT_EQ(tiny.tokens(), system);
    EXPECT_FALSE(tiny.chat().undo());
    ASSERT_TRUE(tiny.chat().set_system("", ear.sink()).ok());
    EXPECT_EQ(tiny.session().length(), 0u);
    EXPECT_TRUE(tiny.chat().system().empty());
    EXPECT_EQ(tiny.chat().set_system(std::string(3000, 'a'), ear.sink()).error().status, Status::invalid_argument);
    const auto long_one = tiny.chat().set_system(std::string(300, 'q'), ear.sink());
    EXPECT_EQ(long_one.error().status, Status::invalid_argument) << "longer than the context";
    EXPECT_EQ(tiny.session().length(), 0u);
    EXPECT_FALSE(tiny.say("the hat").empty());
}

TEST(Chat, AFullContextDropsTheOldestWholeTurns)
{
    TinyEngine tiny; // 64 positions
    Ear ear;
    ASSERT_TRUE(tiny.chat().set_system("be brief", ear.sink()).ok());
    const auto system = tiny.tokens();
    std::vector<std::string> words = {"the hat", "a cat", "on it", "re in", "he"};
    size_t dropped = 0;
    for (int round = 0; round < 20; ++round) {
        const std::string& text = words[static_cast<size_t>(round) % words.size()];
        const auto prompt = tiny.encode(text);
        (void)tiny.say(text);
        EXPECT_EQ(tiny.last.tokens, 12u);
        for (const std::string& notice : tiny.notices) {
            EXPECT_EQ(notice.find("[context] full: the oldest turn"), 0u) << notice;
            ++dropped;
        }
        const auto tokens = tiny.tokens();
        EXPECT_LE(tokens.size(), 64u);
        EXPECT_TRUE(std::equal(system.begin(), system.end(), tokens.begin())) << "the system prompt stays";
        ASSERT_GE(tokens.size(), system.size() + prompt.size() + 12);
        EXPECT_TRUE(
            std::equal(prompt.begin(), prompt.end(), tokens.end() - static_cast<ptrdiff_t>(prompt.size()) - 12));
        const auto turns = static_cast<size_t>(std::count(tokens.begin(), tokens.end(), Token{1}));
        EXPECT_EQ(turns, tiny.chat().turn_count() + 1) << "whole turns, each begins with BOS, and the system prompt";
    }
    EXPECT_GT(dropped, 10u);
    EXPECT_LT(tiny.chat().turn_count(), 5u);
}

TEST(Chat, AnAnswerMayDropTurnsWhileItIsMade)
{
    TinyEngine tiny;
    (void)tiny.say("the hat");
    (void)tiny.say("a cat");
    tiny.chat().settings.max_tokens = 1000; // more than there is room for: a quarter is kept free beforehand
    const auto prompt = tiny.encode("on it");
    (void)tiny.say("on it");
    EXPECT_EQ(tiny.last.end, TurnEnd::context_full);
    EXPECT_EQ(tiny.chat().turn_count(), 1u) << "all the others went";
    EXPECT_EQ(tiny.session().length(), 64u);
    const auto tokens = tiny.tokens();
    EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), tokens.begin()));
    EXPECT_EQ(tiny.notices.size(), 2u);
    tiny.chat().settings.max_tokens = 12;
    (void)tiny.say("he");
    EXPECT_EQ(tiny.last.tokens, 12u) << "and the talk goes on";
}

TEST(Chat, ATextLongerThanTheContext)
{
    TinyEngine tiny;
    (void)tiny.say("the hat");
    const auto before = tiny.tokens();
    Ear ear;
    const auto result = tiny.chat().say(std::string(100, 'q'), ear.sink());
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::invalid_argument);
    EXPECT_NE(result.error().message.view().find("102 tokens"), std::string_view::npos)
        << result.error().message.view();
    EXPECT_EQ(tiny.tokens(), before) << "nothing was dropped for it";
    EXPECT_EQ(tiny.chat().say(std::string(kMaxPromptBytes + 1, 'q'), ear.sink()).error().status,
              Status::invalid_argument);
    (void)tiny.say(std::string(61, 'q')); // 63 tokens: one place is left
    EXPECT_EQ(tiny.last.end, TurnEnd::context_full);
}

TEST(Chat, InterruptedKeepsWhatWasSaid)
{
    TinyEngine tiny;
    const std::string whole = tiny.say("the hat");
    tiny.chat().clear();
    Ear ear;
    ear.interrupt_at = 6; // one look between the two layers of the prompt, and the fifth before the fifth token
    auto stats = tiny.chat().say("the hat", ear.sink());
    ASSERT_TRUE(stats.ok());
    EXPECT_EQ(stats.value().end, TurnEnd::interrupted);
    EXPECT_EQ(stats.value().tokens, 4u);
    EXPECT_EQ(tiny.session().length(), tiny.encode("the hat").size() + 4);
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
    EXPECT_FALSE(ear.text.empty());
}

TEST(Chat, InterruptedWhileThePromptIsRead)
{
    TinyShape shape;
    shape.context = 600;
    TinyEngine tiny(shape);
    (void)tiny.say("the hat");
    const auto before = tiny.tokens();
    Ear ear;
    ear.interrupt_at = 1;
    const auto stats = tiny.chat().say(std::string(400, 'q'), ear.sink());
    ASSERT_FALSE(stats.ok());
    EXPECT_EQ(stats.error().status, Status::cancelled);
    EXPECT_EQ(tiny.tokens(), before);
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
}

TEST(Chat, StopStringsNeverComeOut)
{
    TinyEngine tiny;
    tiny.chat().settings.max_tokens = 30;
    const std::string whole = tiny.say("the hat");
    size_t tried = 0;
    for (size_t length = 1; length <= 5; ++length) {
        for (size_t at = 0; at + length <= whole.size(); at += 3) {
            const std::string stop = whole.substr(at, length);
            tiny.chat().clear();
            tiny.chat().settings.stops[2] = stop;
            const std::string cut = tiny.say("the hat");
            EXPECT_EQ(cut, whole.substr(0, whole.find(stop))) << stop;
            EXPECT_EQ(tiny.last.end, TurnEnd::stop_text);
            ++tried;
        }
    }
    EXPECT_GT(tried, 20u);
    tiny.chat().settings.stops[2] = "never said";
    tiny.chat().clear();
    EXPECT_EQ(tiny.say("the hat"), whole) << "what was held back comes at the end";
}

TEST(Chat, EndTokenEndsTheAnswer)
{
    TinyShape shape;
    shape.shared = false;
    TinyEngine plain(shape);
    (void)plain.say("the hat");
    const auto tokens = plain.tokens();
    const size_t prompt = plain.encode("the hat").size();
    // In the classifier, the fourth token's row and that of EOS (and then BOS) change places.
    const Token fourth = tokens[prompt + 3];
    const auto first = std::find(tokens.begin() + static_cast<ptrdiff_t>(prompt), tokens.end(), fourth);
    const auto wanted = static_cast<uint64_t>(first - tokens.begin()) - prompt;
    for (const Token end : {Token{2}, Token{1}}) {
        std::string file = tiny_model(shape);
        const size_t row = 16 * sizeof(float);
        char* classifier = file.data() + file.size() - 290 * row;
        std::swap_ranges(classifier + end * row, classifier + (end + 1) * row, classifier + fourth * row);
        TinyEngine tiny(shape);
        tiny.platform.add_file("tiny.bin", file);
        ASSERT_TRUE(tiny.engine->load("tiny.bin", {}, 0, {}).ok());
        tiny.chat().settings.sampler = {.temperature = 0.0f, .top_p = 0.0f};
        (void)tiny.say("the hat");
        EXPECT_EQ(tiny.last.end, TurnEnd::end_token);
        EXPECT_EQ(tiny.last.tokens, wanted);
        EXPECT_EQ(tiny.session().length(), prompt + wanted) << "the end token is not kept";
    }
}

TEST(Chat, MaxTokensAndStats)
{
    TinyEngine tiny;
    for (const uint32_t most : {1u, 2u, 7u}) {
        tiny.chat().clear();
        tiny.chat().settings.max_tokens = most;
        (void)tiny.say("the hat");
        EXPECT_EQ(tiny.last.tokens, most);
    }
    tiny.platform.tick_step = 10'000'000; // 10 ms a look at the clock
    tiny.chat().clear();
    (void)tiny.say("the hat");
    EXPECT_GT(tiny.last.prefill_ms, 0u);
    EXPECT_GT(tiny.last.time_ms, 0u);
    EXPECT_NEAR(tiny.last.tokens_per_second, 7000.0 / static_cast<double>(tiny.last.time_ms), 0.2);
    for (int i = 0; i <= static_cast<int>(TurnEnd::interrupted); ++i) {
        EXPECT_FALSE(turn_end_name(static_cast<TurnEnd>(i)).empty());
    }
}

TEST(Chat, MoreTurnsThanTheTableHolds)
{
    TinyShape shape;
    shape.context = 4096;
    TinyEngine tiny(shape);
    tiny.chat().settings.max_tokens = 1;
    for (size_t i = 0; i < Chat::kMaxTurns + 5; ++i) {
        (void)tiny.say("");
        EXPECT_EQ(tiny.chat().turn_count(), std::min(i + 1, Chat::kMaxTurns));
    }
    EXPECT_EQ(tiny.notices.size(), 1u);
}

TEST(Chat, RestoredTokensAreATurn)
{
    TinyEngine tiny;
    (void)tiny.say("the hat");
    const auto kept = tiny.tokens();
    const std::string next = tiny.say("a cat");
    tiny.chat().clear();
    Ear ear;
    ASSERT_TRUE(tiny.chat().restore(kept, ear.sink()).ok());
    EXPECT_EQ(tiny.tokens(), kept);
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
    EXPECT_EQ(tiny.say("a cat"), next);
    const std::vector<Token> many(65, 5);
    EXPECT_EQ(tiny.chat().restore(many, ear.sink()).error().status, Status::invalid_argument);
    ASSERT_TRUE(tiny.chat().restore({many.data(), 64}, ear.sink()).ok()) << "in place of what was there";
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
    EXPECT_EQ(ear.notices.size(), 2u);
    (void)tiny.say("on it");
    EXPECT_EQ(tiny.chat().turn_count(), 1u);
}

} // namespace
} // namespace llmk
