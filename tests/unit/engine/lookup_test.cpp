// SPDX-License-Identifier: MIT
//
// Lookup decoding: what is guessed and when it pays; and that a conversation with guesses is the one without, whatever
// ends it.
#include "engine/lookup.h"

#include "fake/chat_model.h"
#include "fake/tiny_engine.h"

#include <random>

namespace llmk {
namespace {

using Tokens = std::vector<Token>;

/// Passes of one token that take this long each.
constexpr uint64_t kTicks = 1000;

/// A lookup that has seen all of `history`, token by token.
struct Reader {
    void read(const Tokens& tokens)
    {
        for (const Token token : tokens) {
            history.push_back(token);
            lookup.follow(history);
            lookup.took(0, kTicks);
        }
    }
    Tokens guess(size_t most = Lookup::kMostDrafted) const
    {
        Tokens out(most);
        out.resize(lookup.draft(history, out));
        return out;
    }
    /// What a pass costs, so often that it is known.
    void price(size_t drafted, uint64_t ticks)
    {
        for (int i = 0; i < 50; ++i) {
            lookup.took(drafted, ticks);
        }
    }

    Tokens history;
    Lookup lookup;
};

Tokens repeated(const Tokens& block, size_t times)
{
    Tokens all;
    for (size_t i = 0; i < times; ++i) {
        all.insert(all.end(), block.begin(), block.end());
    }
    return all;
}

TEST(Lookup, GuessesWhatFollowedBefore)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 12));
    reader.price(3, kTicks); // a token more costs nothing
    EXPECT_EQ(reader.guess(), (Tokens{1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(reader.guess(2), (Tokens{1, 2}));
    EXPECT_EQ(reader.guess(0), Tokens());
}

TEST(Lookup, AlwaysMeansAlways)
{
    Reader reader;
    reader.lookup.guess_always(true);
    reader.history = {1, 2, 3, 1, 2};
    reader.lookup.follow(reader.history);
    EXPECT_EQ(reader.guess(4), (Tokens{3, 1, 2, 3}));
    reader.price(1, 100 * kTicks);
    reader.lookup.reset();
    reader.lookup.follow(reader.history);
    EXPECT_EQ(reader.guess(4), (Tokens{3, 1, 2, 3}));
    reader.lookup.guess_always(false);
    EXPECT_EQ(reader.guess(4), Tokens());
}

TEST(Lookup, TakesTheLongestMatchAndTheLatestOfThose)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 12));
    reader.price(3, kTicks);
    reader.read({50, 51, 60, 50, 51, 61, 90, 91, 50, 51, 62, 70});
    reader.read({50, 51});
    ASSERT_GE(reader.guess().size(), 1u);
    EXPECT_EQ(reader.guess()[0], 62u) << "said last";
    reader.read({100, 90, 91, 50, 51});
    ASSERT_GE(reader.guess().size(), 3u);
    EXPECT_EQ(reader.guess(3), (Tokens{62, 70, 50})) << "four tokens in a row match, not two";
}

TEST(Lookup, AGuessRunsIntoItself)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 12));
    reader.price(3, kTicks);
    reader.read(repeated({30, 31}, 8));
    EXPECT_EQ(reader.guess(5), (Tokens{30, 31, 30, 31, 30}));
}

TEST(Lookup, NothingIsGuessedBeforePassesAreTimed)
{
    Reader reader;
    const Tokens tokens = repeated({1, 2}, Lookup::kFirstPasses);
    for (size_t i = 0; i < tokens.size(); ++i) {
        reader.history.push_back(tokens[i]);
        reader.lookup.follow(reader.history);
        if (i + 1 < Lookup::kFirstPasses) {
            reader.lookup.took(0, kTicks);
            EXPECT_EQ(reader.guess(), Tokens());
        }
    }
    reader.lookup.took(0, kTicks);
    EXPECT_FALSE(reader.guess().empty());
}

TEST(Lookup, NothingIsGuessedWhereItDoesNotPay)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 12));
    EXPECT_FALSE(reader.guess().empty());
    reader.price(1, 2 * kTicks); // a pass of two tokens takes as long as two passes
    EXPECT_EQ(reader.guess(), Tokens());
    reader.price(1, kTicks * 11 / 10);
    EXPECT_FALSE(reader.guess().empty()) << "it pays again";
}

TEST(Lookup, APriceOfABadMomentIsForgotten)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 12));
    reader.price(1, 2 * kTicks);
    reader.read(repeated({1, 2, 3, 4, 5, 6, 7, 8, 9}, 100));
    EXPECT_FALSE(reader.guess().empty());
}

TEST(Lookup, TextWithoutRepetitionsIsLeftAlone)
{
    // Pairs that come again, but each time go on differently: matches that never come true.
    Reader reader;
    std::mt19937 random(1);
    size_t guesses = 0;
    for (Token i = 0; i < 2000; ++i) {
        const Token common = random() % 8;
        reader.read({common, common + 10, 1000 + i});
        reader.price(1, kTicks * 13 / 10);
        guesses += reader.guess().size();
    }
    EXPECT_LT(guesses, 10u);
}

TEST(Lookup, OddsGrowWithWhatComesTrue)
{
    // A price at which only what is nearly certain pays.
    Reader reader;
    std::mt19937 random(2);
    Tokens noise(50);
    for (Token& token : noise) {
        token = static_cast<Token>(random() % 100000);
    }
    reader.read(noise);
    reader.price(1, kTicks * 17 / 10);
    reader.read({noise[0], noise[1], noise[2], noise[3], noise[4], noise[5], noise[6], noise[7], noise[8], noise[9]});
    const size_t before = reader.guess().size();
    reader.read(repeated(noise, 10));
    reader.price(1, kTicks * 17 / 10);
    EXPECT_EQ(before, 0u);
    EXPECT_GT(reader.guess().size(), 0u);
}

TEST(Lookup, AnotherHistoryIsNoGround)
{
    Reader reader;
    reader.read(repeated({1, 2, 3, 4, 5}, 20));
    reader.price(3, kTicks);
    ASSERT_FALSE(reader.guess().empty());
    reader.history.resize(7); // rewound, and not followed yet
    EXPECT_EQ(reader.guess(), Tokens());
    reader.lookup.follow(reader.history);
    EXPECT_EQ(reader.guess(3), (Tokens{3, 4, 5}));
    reader.history = {};
    reader.lookup.follow(reader.history);
    EXPECT_EQ(reader.guess(), Tokens());
}

// --- conversations --------------------------------------------------------------------------------------------------

/// Two conversations that are told the same; one guesses.
struct Pair {
    explicit Pair(const TinyShape& shape = wide()) : plain(shape), ahead(shape)
    {
        for (TinyEngine* tiny : {&plain, &ahead}) {
            tiny->chat().settings.max_tokens = 60;
        }
        plain.chat().settings.lookup = 0;
    }
    static TinyShape wide()
    {
        TinyShape shape;
        shape.context = 400;
        return shape;
    }
    /// Does the same to both.
    template <class Function> void both(const Function& function)
    {
        function(plain);
        function(ahead);
    }
    /// Says the same to both; the answers, what is kept and the random streams are the same.
    void say(std::string_view text)
    {
        const std::string wanted = plain.say(text);
        EXPECT_EQ(ahead.say(text), wanted);
        expect_same();
        drafted += ahead.last.lookups.drafted;
        accepted += ahead.last.lookups.accepted;
        EXPECT_EQ(plain.last.lookups.drafted, 0u);
        EXPECT_LE(ahead.last.lookups.accepted, ahead.last.lookups.drafted);
    }
    void expect_same()
    {
        EXPECT_EQ(ahead.tokens(), plain.tokens());
        EXPECT_EQ(ahead.notices, plain.notices);
        EXPECT_EQ(ahead.last.tokens, plain.last.tokens);
        EXPECT_EQ(ahead.last.end, plain.last.end);
        RandomStream a = ahead.chat().random;
        RandomStream b = plain.chat().random;
        EXPECT_EQ(a.next_u32(), b.next_u32());
    }

    TinyEngine plain;
    TinyEngine ahead;
    uint64_t drafted = 0;
    uint64_t accepted = 0;
};

const char* const kTexts[] = {"the hat", "a cat on the hat", "on it on it on it", "", "the cat", "the hat"};

TEST(LookupChat, GreedyAnswersAreTheSame)
{
    Pair pair;
    for (const char* text : kTexts) {
        pair.say(text);
    }
    EXPECT_GT(pair.accepted, 100u);
    EXPECT_GT(pair.drafted, pair.accepted) << "some guesses are wrong, and leave nothing";
}

TEST(LookupChat, DrawnAnswersAreTheSame)
{
    uint64_t accepted = 0;
    for (const uint64_t seed : {1u, 2u, 3u}) {
        for (const SamplerSettings& sampler : {story_sampler(), chat_sampler(), SamplerSettings{.temperature = 0.3f}}) {
            Pair pair;
            pair.both([&](TinyEngine& tiny) {
                tiny.chat().settings.sampler = sampler;
                tiny.chat().settings.sampler.temperature *= 0.1f; // a random model says anything otherwise
                tiny.chat().reseed(seed);
            });
            for (const char* text : kTexts) {
                pair.say(text);
            }
            accepted += pair.accepted;
        }
    }
    EXPECT_GT(accepted, 100u);
}

TEST(LookupChat, MaxTokensAnywhere)
{
    Pair pair;
    for (uint32_t most = 1; most < 40; ++most) {
        pair.both([&](TinyEngine& tiny) {
            tiny.chat().clear();
            tiny.chat().settings.max_tokens = most;
        });
        pair.say("the hat");
        EXPECT_EQ(pair.ahead.last.tokens, most);
        pair.say("a cat"); // the next turn goes on behind what was kept
    }
    EXPECT_GT(pair.accepted, 100u);
}

TEST(LookupChat, AStopTextInTheMiddleOfAGuess)
{
    Pair whole;
    const std::string answer = whole.plain.say("the hat");
    uint64_t accepted = 0;
    for (size_t at = 0; at + 3 < answer.size(); at += 2) {
        Pair pair;
        pair.both([&](TinyEngine& tiny) { tiny.chat().settings.stops[0] = std::string_view(answer).substr(at, 3); });
        pair.say("the hat");
        EXPECT_EQ(pair.ahead.last.end, TurnEnd::stop_text);
        pair.say("a cat");
        accepted += pair.accepted;
    }
    EXPECT_GT(accepted, 20u);
}

TEST(LookupChat, InterruptedAnywhere)
{
    for (size_t look = 2; look < 40; look += 3) { // the first is between the prompt's two layers
        Pair pair;
        std::string texts[2];
        size_t i = 0;
        pair.both([&](TinyEngine& tiny) {
            Ear ear;
            ear.interrupt_at = look;
            auto stats = tiny.chat().say("the hat", ear.sink());
            ASSERT_TRUE(stats.ok());
            tiny.last = stats.value();
            texts[i++] = ear.text;
        });
        EXPECT_EQ(texts[0], texts[1]);
        EXPECT_EQ(pair.ahead.last.end, TurnEnd::interrupted);
        pair.expect_same();
        pair.say("a cat");
    }
}

TEST(LookupChat, AFullContext)
{
    // Turns are dropped before a turn, and in the middle of one; at the end one fills the whole context.
    for (const int context : {64, 90}) {
        TinyShape shape;
        shape.context = context;
        Pair pair(shape);
        for (const uint32_t most : {20u, 30u, 25u, 40u, 35u, 500u, 10u}) {
            pair.both([&](TinyEngine& tiny) { tiny.chat().settings.max_tokens = most; });
            pair.say("on it on it");
        }
        EXPECT_GT(pair.accepted, 20u);
    }
}

TEST(LookupChat, RegenerateAndUndo)
{
    Pair pair;
    pair.both([](TinyEngine& tiny) { tiny.chat().settings.sampler.temperature = 0.05f; });
    pair.say("the hat");
    pair.say("a cat");
    pair.both([](TinyEngine& tiny) {
        Ear ear;
        ASSERT_TRUE(tiny.chat().regenerate(ear.sink()).ok());
        ASSERT_TRUE(tiny.chat().regenerate(ear.sink()).ok());
    });
    pair.expect_same();
    pair.both([](TinyEngine& tiny) { EXPECT_TRUE(tiny.chat().undo()); });
    pair.say("on it");
}

TEST(LookupChat, EndTokensOfATemplate)
{
    // The fifth token of an answer and the template's end token change places in the head.
    std::string texts[2];
    uint64_t accepted = 0;
    for (const uint32_t lookup : {0u, 7u}) {
        FakePlatform platform;
        platform.add_file("m.gguf", chat_model());
        Engine engine(platform);
        ASSERT_TRUE(engine.start("scalar").ok());
        ASSERT_TRUE(engine.load("m.gguf", {}, 0, {}).ok());
        engine.chat().settings.sampler = {.temperature = 0.0f, .top_p = 0.0f};
        engine.chat().settings.max_tokens = 40;
        engine.chat().settings.lookup = lookup;
        for (const char* text : kTexts) {
            Ear ear;
            auto stats = engine.chat().say(text, ear.sink());
            ASSERT_TRUE(stats.ok());
            texts[lookup == 0 ? 0 : 1] += ear.text + "|";
            accepted += stats.value().lookups.accepted;
        }
    }
    EXPECT_EQ(texts[0], texts[1]);
    EXPECT_GT(accepted, 20u);
}

TEST(LookupChat, FailuresAreTakenBack)
{
    for (const Failure failure : {Failure::decode, Failure::alloc, Failure::guard, Failure::nan}) {
        Pair pair;
        pair.say("the hat");
        pair.say("the hat");
        const Tokens before = pair.ahead.tokens();
        const auto trips = pair.ahead.engine->sentinel().trips();
        pair.both([&](TinyEngine& tiny) {
            Ear ear;
            tiny.chat().inject(failure);
            const auto result = tiny.chat().say("the hat", ear.sink());
            ASSERT_FALSE(result.ok()) << static_cast<int>(failure);
            EXPECT_EQ(result.error().status, Status::tripped);
        });
        EXPECT_EQ(pair.ahead.tokens(), before);
        EXPECT_EQ(pair.ahead.engine->sentinel().trips(), trips + 1);
        pair.expect_same();
        pair.say("the hat");
        pair.say("a cat");
        EXPECT_GT(pair.accepted, 20u);
    }
}

TEST(LookupSession, ATripInTheMiddleOfAGuess)
{
    // A NaN in the logits of a token that was run ahead trips when the token is said, and not before.
    TinyEngine tiny(Pair::wide());
    Session& session = tiny.session();
    const Tokens tokens = repeated({20, 21, 22, 23, 24}, 20);
    ASSERT_TRUE(session.prefill(std::span(tokens).first(10), {}).ok());
    size_t i = 10;
    while (session.lookups().accepted < 10) {
        ASSERT_TRUE(session.decode_ahead(tokens[i++], Lookup::kMostDrafted).ok());
    }
    while (session.lookups().drafted == session.lookups().accepted) { // to the start of a guess
        ASSERT_TRUE(session.decode_ahead(tokens[i++], Lookup::kMostDrafted).ok());
    }
    session.poison_next_logits();
    const auto result = session.decode_ahead(tokens[i], Lookup::kMostDrafted);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().status, Status::tripped);
    EXPECT_EQ(session.length(), i);
    EXPECT_TRUE(session.decode_ahead(tokens[i], Lookup::kMostDrafted).ok()) << "run again";
    tiny.engine->sentinel().inject(Phase::decode);
    EXPECT_FALSE(session.decode_ahead(tokens[i + 1], Lookup::kMostDrafted).ok());
    EXPECT_EQ(session.length(), i + 1);
}

TEST(LookupSession, ToTheLastPosition)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    const Tokens tokens = repeated({20, 21, 22}, 30);
    ASSERT_TRUE(session.prefill(std::span(tokens).first(5), {}).ok());
    for (size_t i = 5; i < session.context(); ++i) {
        ASSERT_TRUE(session.decode_ahead(tokens[i], Lookup::kMostDrafted).ok());
        EXPECT_EQ(session.length(), i + 1);
    }
    EXPECT_GT(session.lookups().accepted, 30u);
    EXPECT_EQ(session.decode_ahead(20, 0).error().status, Status::invalid_argument);
    EXPECT_FALSE(tiny.engine->zones().broken_guard());
}

TEST(LookupSession, BudgetsLearnFromSingleTokensOnly)
{
    // Ten times as long for a pass of more tokens: a budget is for a token, not for a pass.
    TinyEngine tiny(Pair::wide());
    tiny.platform.tick_step = 1000;
    Session& session = tiny.session();
    const Tokens tokens = repeated({20, 21, 22, 23, 24}, 40);
    ASSERT_TRUE(session.prefill(std::span(tokens).first(10), {}).ok());
    for (size_t i = 10; session.lookups().drafted == 0; ++i) {
        ASSERT_LT(i, tokens.size());
        ASSERT_TRUE(session.decode_ahead(tokens[i], Lookup::kMostDrafted).ok());
    }
    const auto budget = tiny.engine->sentinel().budget(Phase::decode);
    EXPECT_EQ(budget.last, 1000u / 2) << "of two tokens";
    EXPECT_EQ(budget.average, 1000u);
    EXPECT_GE(budget.cycles_per_token, 6000u);
}

} // namespace
} // namespace llmk
