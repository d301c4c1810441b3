// SPDX-License-Identifier: MIT
//
// The sampler's chain against a straightforward one, step by step.
#include "engine/sampler.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

namespace llmk {
namespace {

SamplerSettings plain(float temperature) { return {.temperature = temperature, .top_p = 0.0f}; }

struct Table {
    Table() { EXPECT_TRUE(scratch.add_extent(platform, 1 << 20).ok()); }
    ~Table() { scratch.release(platform); }

    Token draw(const SamplerSettings& settings, std::vector<float> logits, RandomStream& random,
               std::vector<Token> history = {}, std::vector<Token> answer = {})
    {
        auto token = sample(settings, {logits, history, answer}, djiblas::kScalar, random, scratch);
        EXPECT_TRUE(token.ok());
        EXPECT_EQ(scratch.used_bytes(), 0u) << "working memory goes back";
        return token.ok() ? token.value() : UINT32_MAX;
    }
    Token draw(const SamplerSettings& settings, std::vector<float> logits, uint64_t seed = 1)
    {
        RandomStream random(seed);
        return draw(settings, std::move(logits), random);
    }

    FakePlatform platform;
    Arena scratch;
};

TEST(Sampler, GreedyTakesTheFirstOfTheLargest)
{
    Table table;
    EXPECT_EQ(table.draw(plain(0), {1, 5, 3, 5, 5}), 1u);
    EXPECT_EQ(table.draw(plain(0), {-3, -2, -7}), 1u);
    EXPECT_EQ(table.draw(plain(0), {0}), 0u);
    SamplerSettings few = plain(0);
    few.top_k = 2;
    EXPECT_EQ(table.draw(few, {1, 5, 3, 5, 5}), 1u);
    RandomStream random(1);
    RandomStream untouched(1);
    (void)table.draw(plain(0), {1, 2}, random);
    EXPECT_EQ(random.next_u32(), untouched.next_u32()) << "greedy takes nothing from the random stream";
}

/// Which tokens can be drawn, and how often each was.
std::map<Token, int> counts(Table& table, const SamplerSettings& settings, const std::vector<float>& logits, int draws)
{
    std::map<Token, int> result;
    RandomStream random(7);
    for (int i = 0; i < draws; ++i) {
        ++result[table.draw(settings, logits, random)];
    }
    return result;
}

TEST(Sampler, DrawsByProbability)
{
    Table table;
    const std::vector<float> logits = {std::log(0.1f), std::log(0.2f), std::log(0.3f), std::log(0.4f)};
    const auto seen = counts(table, plain(1), logits, 20'000);
    for (Token token = 0; token < 4; ++token) {
        EXPECT_NEAR(seen.at(token) / 20'000.0, 0.1 * (token + 1), 0.012);
    }
    // At temperature 0.5 probabilities are squared.
    const auto colder = counts(table, plain(0.5f), logits, 20'000);
    EXPECT_NEAR(colder.at(3) / 20'000.0, 16.0 / 30.0, 0.015);
}

TEST(Sampler, DrawsAsRunC)
{
    // run.c with top-p off: softmax, then the first id whose cumulative sum passes the coin.
    Table table;
    std::mt19937 random(21);
    RandomStream ours(77);
    RandomStream theirs(77);
    for (int round = 0; round < 500; ++round) {
        std::vector<float> logits(64);
        for (float& logit : logits) {
            logit = static_cast<float>(random() % 1000) / 100.0f - 5.0f;
        }
        std::vector<float> p = logits;
        djiblas::kScalar.softmax(p.data(), p.size());
        const float coin = theirs.next_f32();
        Token wanted = 0;
        for (float sum = p[0]; coin >= sum && wanted + 1 < p.size(); sum += p[wanted]) {
            ++wanted;
        }
        ASSERT_EQ(table.draw(plain(1), logits, ours), wanted);
    }
}

TEST(Sampler, TopKKeepsExactlyK)
{
    Table table;
    std::mt19937 random(4);
    for (const uint32_t k : {1u, 2u, 5u, 39u, 40u, 41u, 1000u}) {
        std::vector<float> logits(40);
        for (float& logit : logits) {
            logit = static_cast<float>(random() % 8) / 16.0f; // many ties, all likely
        }
        std::vector<Token> order(40);
        for (Token i = 0; i < 40; ++i) {
            order[i] = i;
        }
        std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) { return logits[a] > logits[b]; });
        order.resize(std::min<size_t>(k, 40));
        SamplerSettings settings = plain(1);
        settings.top_k = k;
        std::set<Token> seen;
        for (const auto& [token, count] : counts(table, settings, logits, 4000)) {
            seen.insert(token);
        }
        EXPECT_EQ(seen, std::set<Token>(order.begin(), order.end())) << k;
    }
}

/// Softmax, then top-k, top-p and min-p as their papers say, then the draw from what is left, likeliest first.
Token reference(const SamplerSettings& settings, const std::vector<float>& logits, float coin)
{
    struct Row {
        double p;
        Token token;
    };
    std::vector<Row> rows;
    for (Token i = 0; i < logits.size(); ++i) {
        rows.push_back({std::exp(static_cast<double>(logits[i]) / static_cast<double>(settings.temperature)), i});
    }
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.p > b.p; });
    if (settings.top_k > 0 && settings.top_k < rows.size()) {
        rows.resize(settings.top_k);
    }
    double all = 0;
    for (const Row& row : rows) {
        all += row.p;
    }
    double sum = 0;
    size_t kept = 0;
    while (kept < rows.size() && sum <= static_cast<double>(settings.top_p) * all) {
        sum += rows[kept++].p;
    }
    while (kept > 1 && rows[kept - 1].p < static_cast<double>(settings.min_p) * rows[0].p) {
        sum -= rows[--kept].p;
    }
    double reached = 0;
    for (size_t i = 0; i < kept; ++i) {
        reached += rows[i].p;
        if (static_cast<double>(coin) * sum < reached) {
            return rows[i].token;
        }
    }
    return rows[kept - 1].token;
}

TEST(Sampler, TopPAndMinPAsTheReference)
{
    Table table;
    std::mt19937 random(33);
    RandomStream ours(5);
    RandomStream theirs(5);
    int differences = 0;
    for (int round = 0; round < 3000; ++round) {
        std::vector<float> logits(50);
        for (float& logit : logits) {
            logit = static_cast<float>(random() % 100'000) / 10'000.0f;
        }
        SamplerSettings settings = plain(0.5f + static_cast<float>(random() % 10) / 10.0f);
        settings.top_p = 0.05f + static_cast<float>(random() % 90) / 100.0f;
        settings.min_p = random() % 2 == 0 ? 0.0f : static_cast<float>(random() % 50) / 100.0f;
        settings.top_k = random() % 2 == 0 ? 0u : static_cast<uint32_t>(1 + random() % 50);
        const Token wanted = reference(settings, logits, theirs.next_f32());
        differences += table.draw(settings, logits, ours) == wanted ? 0 : 1;
    }
    EXPECT_LE(differences, 6) << "float32 sums may fall on the other side of an edge, seldom";
}

TEST(Sampler, MinPAloneDropsTheUnlikely)
{
    Table table;
    SamplerSettings settings = plain(1);
    settings.min_p = 0.3f;
    const std::vector<float> logits = {std::log(0.5f), std::log(0.16f), std::log(0.14f), std::log(0.2f)};
    const auto seen = counts(table, settings, logits, 4000);
    EXPECT_EQ(seen.size(), 3u);
    EXPECT_EQ(seen.count(2), 0u) << "0.14 is less than 0.3 x 0.5";
    settings.min_p = 1.0f;
    EXPECT_EQ(counts(table, settings, logits, 100).size(), 1u);
}

TEST(Sampler, ANucleusSmallerThanOneToken)
{
    Table table;
    SamplerSettings settings = plain(1);
    for (const float p : {1e-9f, 0.001f, 0.003f}) {
        settings.top_p = p;
        EXPECT_EQ(table.draw(settings, std::vector<float>(300, 1.0f)), 0u) << "all equal: the first stays, " << p;
        EXPECT_EQ(table.draw(settings, {1.0f, 1.0f}), 0u);
        EXPECT_EQ(table.draw(settings, {1.0f}), 0u);
    }
}

TEST(Sampler, PenaltyLooksBackItsWindow)
{
    Table table;
    SamplerSettings settings = plain(0);
    settings.repeat_penalty = 2.0f;
    settings.repeat_window = 3;
    RandomStream random(1);
    const std::vector<float> logits = {1.0f, 4.0f, 3.0f, -1.0f};
    EXPECT_EQ(table.draw(settings, logits, random, {}), 1u);
    EXPECT_EQ(table.draw(settings, logits, random, {1}), 2u) << "4 / 2 is less than 3";
    EXPECT_EQ(table.draw(settings, logits, random, {1, 0, 0, 0}), 1u) << "too long ago";
    EXPECT_EQ(table.draw(settings, logits, random, {0, 1, 0, 0}), 2u);
    EXPECT_EQ(table.draw(settings, logits, random, {1, 1, 1}), 2u) << "once, however often it was said";
    EXPECT_EQ(table.draw(settings, logits, random, {1, 99'999, 1}), 2u) << "ids past the logits are passed over";
    EXPECT_EQ(table.draw(settings, {-1.0f, -1.5f}, random, {0}), 1u) << "negative ones are multiplied";
    settings.repeat_window = 0;
    EXPECT_EQ(table.draw(settings, logits, random, {1}), 1u);
}

TEST(Sampler, NoNgramTwice)
{
    Table table;
    SamplerSettings settings = plain(0);
    settings.no_repeat_ngram = 3;
    RandomStream random(1);
    const std::vector<float> logits = {0.0f, 5.0f, 4.0f, 3.0f};
    EXPECT_EQ(table.draw(settings, logits, random, {2, 3, 1, 2, 3}), 2u) << "2 3 1 was said";
    EXPECT_EQ(table.draw(settings, logits, random, {2, 3, 1, 2, 3, 2, 2, 3}), 3u) << "2 3 2 as well";
    EXPECT_EQ(table.draw(settings, logits, random, {3, 2, 1, 2, 3}), 1u);
    EXPECT_EQ(table.draw(settings, logits, random, {2, 3}), 1u) << "too short";
    EXPECT_EQ(table.draw(settings, logits, random, {}), 1u);
    settings.no_repeat_ngram = 1;
    EXPECT_EQ(table.draw(settings, logits, random, {1, 2}), 3u) << "no token twice";
    settings.no_repeat_ngram = 0;
    EXPECT_EQ(table.draw(settings, logits, random, {1, 1, 1, 1}), 1u);
}

TEST(Sampler, BansHoldWhenDrawing)
{
    Table table;
    SamplerSettings settings = plain(1);
    settings.no_repeat_ngram = 2;
    RandomStream random(3);
    for (int i = 0; i < 500; ++i) {
        EXPECT_NE(table.draw(settings, {1, 1, 1, 1}, random, {0, 2, 0}), 2u);
    }
    settings.top_k = 3; // of which one is banned: there are but two that are not
    for (int i = 0; i < 500; ++i) {
        EXPECT_LT(table.draw(settings, {1, 1, 1, 1}, random, {0, 2, 0, 3, 0}), 2u);
    }
}

TEST(Loop, EscapeBansOnceAndDrawsAgain)
{
    Table table;
    SamplerSettings settings = plain(0);
    settings.loop_escape = true;
    RandomStream random(1);
    const std::vector<Token> sevens(11, 7);
    std::vector<float> logits(10, 0.0f);
    logits[7] = 5.0f;
    logits[3] = 4.0f;
    EXPECT_EQ(table.draw(settings, logits, random, sevens, sevens), 3u);
    EXPECT_EQ(table.draw(settings, logits, random, sevens, {}), 7u) << "only what this answer said counts";
    settings.loop_escape = false;
    EXPECT_EQ(table.draw(settings, logits, random, sevens, sevens), 7u);
    settings = plain(1);
    settings.loop_escape = true;
    settings.top_k = 1;
    EXPECT_EQ(table.draw(settings, logits, random, sevens, sevens), 3u);
    // The second draw is kept whatever it closes, and takes one more number from the stream.
    settings = plain(1);
    settings.loop_escape = true;
    std::vector<float> sure(10, -50.0f);
    sure[7] = 50.0f;
    RandomStream drawn(1);
    RandomStream counted(1);
    EXPECT_NE(table.draw(settings, sure, drawn, sevens, sevens), 7u);
    (void)counted.next_u32();
    (void)counted.next_u32();
    EXPECT_EQ(drawn.next_u32(), counted.next_u32());
}

TEST(Sampler, SeedsReproduce)
{
    Table table;
    std::mt19937 random(8);
    std::vector<float> logits(300);
    for (float& logit : logits) {
        logit = static_cast<float>(random() % 1000) / 250.0f;
    }
    std::set<std::vector<Token>> texts;
    for (const uint64_t seed : {1u, 2u, 3u}) {
        std::vector<Token> twice[2];
        for (auto& tokens : twice) {
            RandomStream stream(seed);
            for (int i = 0; i < 50; ++i) {
                tokens.push_back(table.draw(story_sampler(), logits, stream, tokens, tokens));
            }
        }
        EXPECT_EQ(twice[0], twice[1]);
        texts.insert(twice[0]);
    }
    EXPECT_EQ(texts.size(), 3u);
}

TEST(Sampler, FullScratchIsAnErrorAndTakesNothing)
{
    // Of 100 tokens the candidates take 800 bytes, the ids of top-k 320 and the logits for another draw 400.
    for (const uint64_t room : {700, 1000, 1350, 1900}) {
        FakePlatform platform;
        Arena tight;
        ASSERT_TRUE(tight.add_extent(platform, 4096).ok());
        ASSERT_TRUE(tight.alloc(Arena::usable_bytes(tight.size_bytes()) - room).ok());
        const uint64_t used = tight.used_bytes();
        std::vector<float> logits(100, 1.0f);
        RandomStream random(1);
        const auto result = sample(story_sampler(), {logits, {}, {}}, djiblas::kScalar, random, tight);
        EXPECT_EQ(result.ok(), room == 1900) << room;
        if (!result.ok()) {
            EXPECT_EQ(result.error().status, Status::out_of_memory);
        }
        EXPECT_EQ(tight.used_bytes(), used);
        tight.release(platform);
    }
}

TEST(Sampler, DefaultsOfTheDesign)
{
    const auto story = story_sampler();
    EXPECT_EQ(story.temperature, 0.85f);
    EXPECT_EQ(story.top_k, 80u);
    EXPECT_EQ(story.top_p, 0.95f);
    EXPECT_EQ(story.min_p, 0.05f);
    EXPECT_EQ(story.repeat_penalty, 1.15f);
    EXPECT_EQ(story.repeat_window, 64u);
    EXPECT_EQ(story.no_repeat_ngram, 4u);
    const auto chat = chat_sampler();
    EXPECT_EQ(chat.temperature, 0.8f);
    EXPECT_EQ(chat.top_k, 40u);
    EXPECT_EQ(chat.top_p, 0.95f);
    EXPECT_EQ(chat.min_p, 0.05f);
    EXPECT_EQ(chat.repeat_penalty, 1.0f);
}

} // namespace
} // namespace llmk
