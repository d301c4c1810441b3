// SPDX-License-Identifier: MIT
//
// A running model's cache: what is in it after prefill, decode, rewind and drop, and what trips leave.
#include "fake/first_keys.h"
#include "fake/tiny_engine.h"

#include <cmath>
#include <random>

namespace llmk {
namespace {

std::vector<Token> some_tokens(size_t count, uint32_t seed)
{
    std::mt19937 random(seed);
    std::vector<Token> tokens(count);
    for (Token& token : tokens) {
        token = static_cast<Token>(3 + random() % 287);
    }
    return tokens;
}

TEST(Session, CountsAndRefusesWhatDoesNotFit)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    EXPECT_EQ(session.length(), 0u);
    EXPECT_EQ(session.context(), 64u);
    const auto tokens = some_tokens(60, 1);
    ASSERT_TRUE(session.prefill(tokens, {}).ok());
    EXPECT_EQ(tiny.tokens(), tokens);
    const auto much = some_tokens(5, 2);
    EXPECT_EQ(session.prefill(much, {}).error().status, Status::invalid_argument);
    EXPECT_EQ(session.length(), 60u);
    const Token wrong = 290;
    EXPECT_EQ(session.decode(wrong).error().status, Status::invalid_argument);
    EXPECT_NE(session.decode(wrong).error().message.view().find("290"), std::string_view::npos);
    ASSERT_TRUE(session.prefill({much.data(), 4}, {}).ok());
    EXPECT_EQ(session.decode(5).error().status, Status::invalid_argument) << "full to the last place";
    EXPECT_TRUE(session.prefill({}, {}).ok());
}

TEST(Session, RewindForgets)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    const auto tokens = some_tokens(20, 3);
    ASSERT_TRUE(session.prefill(tokens, {}).ok());
    ASSERT_TRUE(session.decode(77).ok());
    const auto wanted = tiny.logits();
    ASSERT_TRUE(session.decode(8).ok());
    ASSERT_TRUE(session.decode(9).ok());
    session.rewind(20);
    EXPECT_EQ(tiny.tokens(), tokens);
    ASSERT_TRUE(session.decode(77).ok());
    EXPECT_EQ(tiny.logits(), wanted);
    session.rewind(100);
    EXPECT_EQ(session.length(), 21u) << "never forward";
}

TEST(Session, PretendedContextIsCopiesOfOneBatch)
{
    TinyShape shape;
    shape.context = 400;
    TinyEngine tiny(shape);
    Session& session = tiny.session();
    ASSERT_TRUE(session.pretend(300, 9).ok());
    EXPECT_EQ(tiny.tokens(), std::vector<Token>(300, 9));
    ASSERT_TRUE(session.decode(5).ok());
    for (const float logit : tiny.logits()) {
        ASSERT_TRUE(std::isfinite(logit));
    }
    EXPECT_EQ(session.pretend(401, 9).error().status, Status::invalid_argument);
    ASSERT_TRUE(session.pretend(0, 9).ok());
    EXPECT_EQ(session.length(), 0u);
}

TEST(Session, InterruptedBetweenLayers)
{
    struct Looks {
        size_t count = 0;
        size_t ends_at = 0;
    };
    TinyShape shape;
    shape.context = 600;
    shape.layers = 4;
    TinyEngine tiny(shape);
    TinyEngine other(shape);
    const auto begin = some_tokens(7, 1);
    const auto more = some_tokens(590, 2);
    ASSERT_TRUE(tiny.session().prefill(begin, {}).ok());
    Looks looks;
    const Interrupt interrupt = {&looks, [](void* context) {
                                     auto& look = *static_cast<Looks*>(context);
                                     return ++look.count == look.ends_at;
                                 }};
    for (const size_t ends_at : {1, 3, 4, 15}) { // in the first of five batches, in the second, and at the very end
        looks = {0, ends_at};
        const auto result = tiny.session().prefill(more, interrupt);
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().status, Status::cancelled);
        EXPECT_EQ(tiny.session().length(), 7u);
    }
    looks = {};
    ASSERT_TRUE(tiny.session().prefill(more, interrupt).ok());
    EXPECT_EQ(looks.count, 15u) << "five batches of four layers";
    ASSERT_TRUE(other.session().prefill(begin, {}).ok());
    ASSERT_TRUE(other.session().prefill(more, {}).ok());
    EXPECT_EQ(tiny.logits(), other.logits()) << "of what was stopped nothing stays";
}

TEST(Session, NanTripsAndLeavesTheLength)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    ASSERT_TRUE(session.prefill(some_tokens(5, 4), {}).ok());
    for (const bool decoding : {false, true}) {
        session.poison_next_logits();
        const auto more = some_tokens(3, 5);
        const auto result = decoding ? session.decode(9) : session.prefill(more, {});
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().status, Status::tripped);
        EXPECT_NE(result.error().message.view().find("token 0"), std::string_view::npos);
        EXPECT_EQ(session.length(), 5u);
        EXPECT_TRUE(session.decode(9).ok()) << "once";
        session.rewind(5);
    }
    EXPECT_EQ(tiny.engine->sentinel().trips(), 2u);
}

TEST(Session, BudgetsOverrunAreNoticed)
{
    TinyEngine tiny;
    Session& session = tiny.session();
    tiny.engine->sentinel().set_budget(Phase::decode, 1);
    tiny.platform.tick_step = 1000;
    ASSERT_TRUE(session.decode(5).ok()) << "not strict: logged only";
    EXPECT_NE(session.take_notice().view().find("[budget] decode"), std::string_view::npos);
    EXPECT_EQ(session.take_notice().size(), 0u) << "taken";
    tiny.engine->sentinel().set_strict(true);
    EXPECT_EQ(session.decode(5).error().status, Status::tripped);
    EXPECT_EQ(session.length(), 1u);
}

/// Of each type that a cache can have, how far a key may be off that was turned once: of the largest.
constexpr struct {
    KvType type;
    float tolerance;
} kTurned[] = {{KvType::f32, 4e-6f}, {KvType::f16, 1e-3f}, {KvType::q8_0, 1.5e-2f}};

TEST(Session, DropTurnsKeysBack)
{
    const auto tokens = some_tokens(60, 6);
    TinyShape shape;
    shape.dim = 64;
    shape.heads = 2;
    shape.kv_heads = 1;
    for (const auto& [type, tolerance] : kTurned) {
        for (const auto& [from, count] :
             {std::pair(size_t{0}, size_t{10}), std::pair(size_t{5}, size_t{1}), std::pair(size_t{10}, size_t{40}),
              std::pair(size_t{50}, size_t{10}), std::pair(size_t{20}, size_t{0})}) {
            TinyEngine tiny(shape, 0, type);
            ASSERT_EQ(tiny.session().plan().kv_type, type);
            ASSERT_TRUE(tiny.session().prefill(tokens, {}).ok());
            tiny.session().drop(from, count);
            auto left = tokens;
            left.erase(left.begin() + static_cast<ptrdiff_t>(from),
                       left.begin() + static_cast<ptrdiff_t>(from + count));
            EXPECT_EQ(tiny.tokens(), left);
            const auto shifted = first_keys(*tiny.engine, left.size());
            TinyEngine fresh(shape, 0, type);
            ASSERT_TRUE(fresh.session().prefill(left, {}).ok());
            const auto wanted = first_keys(*fresh.engine, left.size());
            const float largest = largest_difference(wanted, std::vector<float>(wanted.size()));
            EXPECT_LT(largest_difference(shifted, wanted), tolerance * largest)
                << from << " " << count << " " << kv_type_name(type);
            ASSERT_TRUE(tiny.session().decode(9).ok());
            EXPECT_EQ(tiny.session().length(), left.size() + 1);
        }
    }
}

/// Where positions are absolute, keys cannot be turned: what is left is run again, and all of it is as of a fresh run.
TEST(Session, DropRunsTheRestAgainWherePositionsAreAbsolute)
{
    const auto tokens = some_tokens(60, 8);
    for (const auto& [from, count] : {std::pair(size_t{0}, size_t{10}), std::pair(size_t{5}, size_t{30})}) {
        TinyEngine tiny;
        Architecture absolute = *tiny.engine->model().architecture;
        absolute.shift_keys = nullptr;
        tiny.engine->model().architecture = &absolute;
        ASSERT_TRUE(tiny.session().prefill(tokens, {}).ok());
        tiny.session().drop(from, count);
        auto left = tokens;
        left.erase(left.begin() + static_cast<ptrdiff_t>(from), left.begin() + static_cast<ptrdiff_t>(from + count));
        EXPECT_EQ(tiny.tokens(), left);
        TinyEngine fresh;
        ASSERT_TRUE(fresh.session().prefill(left, {}).ok());
        EXPECT_LT(largest_difference(tiny.logits(), fresh.logits()), 1e-5f);
        ASSERT_TRUE(tiny.session().decode(9).ok());
        ASSERT_TRUE(fresh.session().decode(9).ok());
        EXPECT_LT(largest_difference(tiny.logits(), fresh.logits()), 1e-5f);
    }
}

TEST(Session, DropAndDropAgainStaysExact)
{
    TinyEngine tiny({}, 0, KvType::f32);
    auto left = some_tokens(60, 7);
    ASSERT_TRUE(tiny.session().prefill(left, {}).ok());
    for (int i = 0; i < 25; ++i) { // many small turns: errors must not add up
        tiny.session().drop(1, 2);
        left.erase(left.begin() + 1, left.begin() + 3);
    }
    EXPECT_EQ(tiny.tokens(), left);
    TinyEngine fresh({}, 0, KvType::f32);
    ASSERT_TRUE(fresh.session().prefill(left, {}).ok());
    EXPECT_LT(largest_difference(first_keys(*tiny.engine, left.size()), first_keys(*fresh.engine, left.size())), 1e-4f);
}

/// Packed keys are rounded anew by each turn; the errors go in all directions, so they add up as a random walk does.
TEST(Session, DropAndDropAgainWithAPackedCache)
{
    TinyEngine tiny;
    ASSERT_EQ(tiny.session().plan().kv_type, KvType::f16);
    auto left = some_tokens(60, 7);
    ASSERT_TRUE(tiny.session().prefill(left, {}).ok());
    for (int i = 0; i < 25; ++i) {
        tiny.session().drop(1, 2);
        left.erase(left.begin() + 1, left.begin() + 3);
    }
    TinyEngine fresh;
    ASSERT_TRUE(fresh.session().prefill(left, {}).ok());
    const float off = largest_difference(first_keys(*tiny.engine, left.size()), first_keys(*fresh.engine, left.size()));
    EXPECT_LT(off, 5 * 2.5e-3f);
    EXPECT_GT(off, 1e-5f) << "of a type that rounds";
}

TEST(Session, OpenFailsWithoutLeaks)
{
    TinyEngine tiny;
    const MemoryPlan plan = tiny.session().plan();
    const uint64_t loaded = tiny.platform.pages_in_use();
    tiny.session().close();
    const uint64_t closed = tiny.platform.pages_in_use();
    EXPECT_LT(closed, loaded);
    for (size_t at = 1; at <= 3; ++at) {
        tiny.platform.fail_alloc_in = at;
        EXPECT_EQ(tiny.session().open(plan).error().status, Status::out_of_memory);
        EXPECT_EQ(tiny.platform.pages_in_use(), closed) << at;
    }
    EXPECT_TRUE(tiny.session().open(plan).ok());
    EXPECT_EQ(tiny.platform.pages_in_use(), loaded);
    EXPECT_TRUE(tiny.session().decode(1).ok());
}

} // namespace
} // namespace llmk
