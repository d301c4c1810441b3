// SPDX-License-Identifier: MIT
//
// Conversations through templates: what is in the cache is what the whole conversation rendered at once would be.
#include "fake/chat_model.h"
#include "fake/tiny_engine.h"

#include <algorithm>

namespace llmk {
namespace {

using Tokens = std::vector<Token>;

struct Said {
    std::string user;
    std::string answer;
};
const std::vector<Said> kTalk = {{"the hat", "It is a hat."}, {"  and a cat?\n", " on it "}, {"the rest", "is fine"}};

struct Talk {
    explicit Talk(const ChatShape& shape = {})
    {
        platform.add_file("chat.gguf", chat_model(shape));
        engine.emplace(platform);
        EXPECT_TRUE(engine->start("scalar").ok());
        auto loaded = engine->load("chat.gguf", {}, 0, {});
        EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message.view());
        chat().settings.sampler = {.temperature = 0.0f, .top_p = 0.0f};
        chat().settings.max_tokens = 6;
    }
    Chat& chat() { return engine->chat(); }
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
    void use(const std::string& family)
    {
        auto how = engine->find_chat_template(family);
        ASSERT_TRUE(how.ok());
        ASSERT_TRUE(chat().use_template(how.value(), {}).ok());
    }
    Tokens tokens()
    {
        const auto all = engine->session().tokens();
        return {all.begin(), all.end()};
    }
    Tokens encode(const Prompt& prompt, TextStart start = TextStart::fresh)
    {
        const Tokenizer& tokenizer = *engine->model().tokenizer;
        Tokens ids(prompt.max_tokens(tokenizer));
        auto count = prompt.encode(tokenizer, start, ids, engine->session().scratch());
        EXPECT_TRUE(count.ok());
        ids.resize(count.ok() ? count.value() : 0);
        return ids;
    }
    /// The whole conversation at once; its last message is a user's.
    Tokens rendered(const std::vector<Said>& talk, const std::string& system)
    {
        const ChatTemplate& how = chat().chat_template();
        Prompt prompt(platform);
        EXPECT_TRUE(prompt.front(how, system).ok());
        for (size_t i = 0; i < talk.size(); ++i) {
            EXPECT_TRUE(prompt.user(how, talk[i].user, i == 0, system).ok());
            EXPECT_TRUE(prompt.open(how).ok());
            if (i + 1 < talk.size()) {
                EXPECT_TRUE(prompt.answer(how, talk[i].answer).ok());
                EXPECT_TRUE(prompt.close(how).ok());
            } else {
                EXPECT_TRUE(prompt.thought(how).ok());
            }
        }
        return encode(prompt);
    }
    Transcript transcript(const std::vector<Said>& talk)
    {
        Transcript out(platform);
        for (const Said& turn : talk) {
            out.begin(turn.user);
            out.add(turn.answer);
            out.keep();
        }
        return out;
    }
    /// Without the answer that was made.
    Tokens prompt_tokens()
    {
        Tokens all = tokens();
        all.resize(all.size() - last.tokens);
        return all;
    }

    FakePlatform platform;
    std::optional<Engine> engine;
    TurnStats last;
    std::vector<std::string> notices;
};

TEST(ChatTemplates, TurnsAreTheWholeConversation)
{
    for (const bool space_before : {true, false}) {
        Talk talk({.context = 1500, .jinja = kChatml, .space_before = space_before, .swapped = {}});
        EXPECT_EQ(talk.chat().chat_template().family->name, "chatml");
        for (const TemplateFamily& family : template_families()) {
            talk.use(std::string(family.name));
            for (const std::string system : {"", "be brief", " be\nbrief "}) {
                for (const size_t turns : {1u, 2u, 3u}) {
                    const std::vector<Said> said(kTalk.begin(), kTalk.begin() + static_cast<ptrdiff_t>(turns));
                    const std::vector<Said> before(said.begin(), said.end() - 1);
                    ASSERT_TRUE(talk.chat().set_system(system, {}).ok());
                    auto put = talk.chat().replay(talk.transcript(before), {});
                    ASSERT_TRUE(put.ok());
                    EXPECT_EQ(put.value(), turns - 1);
                    (void)talk.say(said.back().user);
                    if (family.is_raw()) {
                        continue; // an answer goes on with the text there, where a merge may cross the border
                    }
                    EXPECT_EQ(talk.prompt_tokens(), talk.rendered(said, system))
                        << family.name << ", " << turns << " turns, system '" << system << "'";
                }
            }
        }
    }
}

TEST(ChatTemplates, AnAnswerIsClosedBeforeTheNextTurn)
{
    Talk talk;
    const Token end = chat_token("<|im_end|>");
    const std::string answer = talk.say("the hat");
    EXPECT_EQ(talk.last.end, TurnEnd::max_tokens);
    Tokens first = talk.tokens();
    EXPECT_EQ(first[0], 1u);
    EXPECT_EQ(std::count(first.begin(), first.end(), end), 1) << "of the user's message: the answer is open";
    (void)talk.say("a cat");
    Prompt next(talk.platform);
    const ChatTemplate& how = talk.chat().chat_template();
    ASSERT_TRUE(next.close(how).ok());
    ASSERT_TRUE(next.user(how, "a cat", false, {}).ok());
    ASSERT_TRUE(next.open(how).ok());
    Tokens wanted = first;
    const Tokens rest = talk.encode(next, TextStart::continued);
    wanted.insert(wanted.end(), rest.begin(), rest.end());
    EXPECT_EQ(talk.prompt_tokens(), wanted);
    EXPECT_EQ(wanted[first.size()], end);
    ASSERT_TRUE(talk.chat().undo());
    EXPECT_EQ(talk.tokens(), first) << "open again";
    EXPECT_EQ(talk.chat().transcript().answer(0), answer);
    (void)talk.say("a cat");
    EXPECT_EQ(talk.prompt_tokens(), wanted) << "and closed once";
    Ear ear;
    ASSERT_TRUE(talk.chat().regenerate(ear.sink()).ok());
    EXPECT_EQ(talk.prompt_tokens(), wanted);
    EXPECT_EQ(talk.chat().transcript().count(), 2u);
    EXPECT_EQ(talk.chat().transcript().answer(1), ear.text);
    EXPECT_EQ(talk.chat().transcript().user(1), "a cat");
}

TEST(ChatTemplates, ATripLeavesTheAnswerOpen)
{
    Talk talk;
    for (const bool first : {true, false}) {
        if (!first) {
            (void)talk.say("the hat");
        }
        const Tokens before = talk.tokens();
        for (const Failure failure : {Failure::prefill, Failure::decode, Failure::nan, Failure::alloc}) {
            talk.chat().inject(failure);
            Ear ear;
            EXPECT_FALSE(talk.chat().say("a cat", ear.sink()).ok());
            EXPECT_EQ(talk.tokens(), before);
            EXPECT_EQ(talk.chat().transcript().count(), first ? 0u : 1u);
        }
    }
    Talk other;
    (void)other.say("the hat");
    EXPECT_EQ(talk.say("a cat"), other.say("a cat")) << "as if nothing had been";
    EXPECT_EQ(talk.tokens(), other.tokens());
}

TEST(ChatTemplates, TheEndTokenEndsAnAnswerAndIsNotPrinted)
{
    Talk plain;
    plain.chat().settings.max_tokens = 12;
    const std::string whole = plain.say("the hat");
    const Tokens all = plain.tokens();
    const size_t prompt = plain.prompt_tokens().size();
    for (const char* end : {"<|im_end|>", "<|eot_id|>"}) {
        // The row of the fifth token and that of the end token change places.
        const Token fifth = all[prompt + 4];
        ASSERT_EQ(std::find(all.begin() + static_cast<ptrdiff_t>(prompt), all.end(), fifth) - all.begin(), prompt + 4);
        ChatShape shape;
        shape.swapped = {{fifth, chat_token(end)}};
        Talk talk(shape);
        talk.chat().settings.max_tokens = 12;
        const std::string said = talk.say("the hat");
        EXPECT_EQ(talk.last.end, TurnEnd::end_token) << end;
        EXPECT_EQ(talk.last.tokens, 4u);
        EXPECT_EQ(whole.find(said), 0u);
        EXPECT_EQ(said.find('<'), std::string::npos) << said;
        EXPECT_EQ(talk.tokens().size(), prompt + 4);
    }
}

TEST(ChatTemplates, WithoutAnEndTokenItsNameEndsAnAnswer)
{
    Talk talk;
    talk.use("vicuna");
    talk.chat().settings.max_tokens = 30;
    const std::string whole = talk.say("the hat");
    ASSERT_GT(whole.size(), 8u);
    ChatTemplate how = talk.chat().chat_template();
    TemplateFamily family = *how.family;
    const std::string stop = whole.substr(3, 3);
    family.stop = stop;
    how.family = &family;
    ASSERT_TRUE(talk.chat().use_template(how, {}).ok());
    talk.chat().clear();
    EXPECT_EQ(talk.say("the hat"), whole.substr(0, whole.find(stop)));
    EXPECT_EQ(talk.last.end, TurnEnd::stop_text);
    talk.use("raw");
}

TEST(ChatTemplates, TypedMarkersAreLetters)
{
    Talk talk;
    (void)talk.say("<|im_end|>");
    const Tokens all = talk.prompt_tokens();
    EXPECT_EQ(std::count(all.begin(), all.end(), chat_token("<|im_end|>")), 1);
}

TEST(ChatTemplates, TheSystemPromptStaysWhenTurnsGo)
{
    for (const char* family : {"chatml", "zephyr", "llama2", "mistral", "gemma", "vicuna"}) {
        Talk talk({.context = 110, .jinja = kChatml, .space_before = false, .swapped = {}});
        talk.use(family);
        ASSERT_TRUE(talk.chat().set_system("be brief", {}).ok());
        const Tokens system = talk.tokens();
        const std::vector<std::string> texts = {"the hat", "a cat", "on it", "re in", "he"};
        std::vector<Said> kept;
        size_t dropped = 0;
        for (size_t round = 0; round < 12; ++round) {
            const std::string& text = texts[round % texts.size()];
            (void)talk.say(text);
            dropped += talk.notices.size();
            const Tokens now = talk.tokens();
            EXPECT_LE(now.size(), 110u);
            EXPECT_TRUE(std::equal(system.begin(), system.end(), now.begin())) << family;
            EXPECT_EQ(talk.chat().transcript().count(), talk.chat().turn_count());
            EXPECT_EQ(talk.chat().transcript().user(talk.chat().turn_count() - 1), text);
        }
        EXPECT_GT(dropped, 3u) << family;
        // Where words do not cross the borders, what is left is exactly the rest of the conversation.
        if (std::string(family) == "chatml" || std::string(family) == "gemma") {
            Tokens wanted = talk.tokens();
            Prompt first(talk.platform);
            const ChatTemplate& how = talk.chat().chat_template();
            ASSERT_TRUE(first.front(how, "be brief").ok());
            ASSERT_TRUE(first.user(how, talk.chat().transcript().user(0), true, "be brief").ok());
            ASSERT_TRUE(first.open(how).ok());
            const Tokens start = talk.encode(first);
            ASSERT_LE(start.size(), wanted.size());
            wanted.resize(start.size());
            EXPECT_EQ(start, wanted) << family;
        }
    }
}

TEST(ChatTemplates, ThoughtsGoWhenTheNextTurnBegins)
{
    Talk plain;
    plain.use("qwen3");
    plain.chat().settings.max_tokens = 12;
    (void)plain.say("the hat");
    const size_t prompt = plain.prompt_tokens().size();
    ChatShape shape;
    shape.swapped = {{plain.tokens()[prompt + 4], chat_token("</think>")}};
    Talk talk(shape);
    talk.use("qwen3");
    talk.chat().settings.max_tokens = 12;
    const std::string answer = talk.say("the hat");
    ASSERT_NE(answer.find("</think>"), std::string::npos) << answer;
    const std::string rest(without_thoughts(*find_template_family("qwen3"), answer));
    ASSERT_NE(rest, "");
    Ear ear;
    ear.interrupt_at = 1; // while the answer is read again
    const auto stopped = talk.chat().say("a cat", ear.sink());
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().status, Status::cancelled);
    (void)talk.say("a cat");
    EXPECT_EQ(talk.prompt_tokens(), talk.rendered({{"the hat", rest}, {"a cat", ""}}, ""));
    ASSERT_TRUE(talk.chat().undo());
    (void)talk.say("a cat");
    EXPECT_EQ(talk.prompt_tokens(), talk.rendered({{"the hat", rest}, {"a cat", ""}}, "")) << "once is enough";
}

TEST(ChatTemplates, AnotherTemplateKeepsTheConversation)
{
    Talk talk;
    ASSERT_TRUE(talk.chat().set_system("be brief", {}).ok());
    ASSERT_TRUE(talk.chat().replay(talk.transcript({kTalk[0]}), {}).ok());
    for (const char* family : {"zephyr", "gemma", "raw", "chatml"}) {
        talk.use(family);
        EXPECT_EQ(talk.chat().turn_count(), 1u);
        EXPECT_EQ(talk.chat().system(), "be brief");
        EXPECT_EQ(talk.chat().transcript().user(0), kTalk[0].user);
        EXPECT_EQ(talk.chat().transcript().answer(0), kTalk[0].answer);
    }
    (void)talk.say("a cat");
    EXPECT_EQ(talk.prompt_tokens(), talk.rendered({kTalk[0], {"a cat", ""}}, "be brief"));
}

TEST(ChatTemplates, AReplayTakesTheLastTurnsThatFit)
{
    Talk talk({.context = 150, .jinja = kChatml, .space_before = false, .swapped = {}});
    std::vector<Said> many;
    for (int i = 0; i < 20; ++i) {
        many.push_back({"turn " + std::to_string(i), "yes"});
    }
    const auto replay = [&](const Transcript& old) {
        auto put = talk.chat().replay(old, {});
        EXPECT_TRUE(put.ok());
        return put.ok() ? put.value() : 999;
    };
    const size_t fitted = replay(talk.transcript(many));
    EXPECT_GT(fitted, 0u);
    EXPECT_LT(fitted, 20u);
    EXPECT_EQ(talk.chat().turn_count(), fitted);
    EXPECT_EQ(talk.chat().transcript().user(fitted - 1), "turn 19");
    EXPECT_LE(talk.tokens().size(), 150u - 6);
    talk.chat().clear();
    EXPECT_EQ(replay(talk.transcript({{std::string(200, 'q'), "no"}})), 0u) << "larger than the context";
    Transcript gap = talk.transcript({{"a", "b"}});
    gap.keep_unknown();
    gap.begin("c");
    gap.keep();
    EXPECT_EQ(replay(gap), 1u) << "none before the one that is not known";
    Ear ear;
    ear.interrupt_at = 2; // in the second turn
    talk.chat().clear();
    const auto stopped = talk.chat().replay(talk.transcript({kTalk[0], kTalk[0]}), ear.sink());
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().status, Status::cancelled);
    EXPECT_EQ(talk.chat().turn_count(), 0u);
}

TEST(ChatTemplates, SavedTokensComeBackBehindBos)
{
    Talk talk;
    (void)talk.say("the hat");
    const Tokens all = talk.tokens();
    const auto said = talk.chat().said();
    const Tokens kept(said.begin(), said.end());
    EXPECT_EQ(kept.size() + 1, all.size()) << "BOS stands in front of all turns";
    Talk other;
    ASSERT_TRUE(other.chat().restore(kept, {}).ok());
    EXPECT_EQ(other.tokens(), all);
    EXPECT_EQ(other.say("a cat"), talk.say("a cat"));
    EXPECT_EQ(other.tokens(), talk.tokens());
    ASSERT_TRUE(other.chat().undo());
    Ear ear;
    EXPECT_EQ(other.chat().regenerate(ear.sink()).error().status, Status::not_found);
}

TEST(ChatTemplates, AFileWithoutOneIsRaw)
{
    ChatShape shape;
    shape.jinja = "";
    Talk talk(shape);
    EXPECT_EQ(talk.chat().chat_template().family, &raw_family());
    EXPECT_EQ(talk.chat().chat_template().origin, TemplateOrigin::absent);
    shape.jinja = "who knows";
    Talk unknown(shape);
    EXPECT_EQ(unknown.chat().chat_template().family->name, "chatml");
    EXPECT_EQ(unknown.chat().chat_template().origin, TemplateOrigin::fallback);
    shape.jinja = std::string(300 * 1024, ' ') + kChatml;
    EXPECT_EQ(Talk(shape).chat().chat_template().origin, TemplateOrigin::fallback) << "longer than is read";
    const auto none = unknown.engine->find_chat_template("chatnl");
    ASSERT_FALSE(none.ok());
    EXPECT_NE(none.error().message.view().find("chatml"), std::string_view::npos);
}

} // namespace
} // namespace llmk
