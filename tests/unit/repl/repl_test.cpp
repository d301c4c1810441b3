// SPDX-License-Identifier: MIT
//
// The chat as a person meets it: answers, Esc and type-ahead, files of the volume, tools, trips.
#include "fake/tiny_repl.h"

#include <cstring>

namespace llmk {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Script, GivesLines)
{
    Script script;
    std::string_view line;
    EXPECT_FALSE(script.next(line));
    script.set("one\r\n\ntwo");
    EXPECT_FALSE(script.done());
    EXPECT_TRUE(script.next(line));
    EXPECT_EQ(line, "one");
    EXPECT_TRUE(script.next(line));
    EXPECT_EQ(line, "");
    EXPECT_TRUE(script.next(line));
    EXPECT_EQ(line, "two");
    EXPECT_FALSE(script.next(line));
    EXPECT_TRUE(script.done());
    script.set("again\n");
    script.stop();
    EXPECT_FALSE(script.next(line));
}

TEST(Repl, AnswersAndCloses)
{
    TinyRepl desk;
    const std::string answer = desk.enter("the hat");
    desk.chat().clear();
    EXPECT_EQ(answer, desk.tiny.say("the hat") + "\n");
    desk.chat().clear();
    (void)desk.enter("/stats on");
    const std::string with_stats = desk.enter("the hat");
    EXPECT_EQ(with_stats.find(answer + "[stats] tokens=12 time_ms="), 0u) << with_stats;
    EXPECT_TRUE(has(with_stats, " tok_s="));
    EXPECT_TRUE(
        has(with_stats, " prefill_tokens=" + std::to_string(desk.tiny.encode("the hat").size()) + " prefill_ms="));
    EXPECT_EQ(desk.enter(""), "") << "an empty line says nothing";
    EXPECT_EQ(desk.enter("   "), "");
    EXPECT_EQ(desk.platform().screen.invalid_bytes, 0u);
}

TEST(Repl, SaysAndLogsWhatBecomesOfTheProcessors)
{
    TinyRepl desk;
    EXPECT_FALSE(has(desk.enter("the hat"), "[CPU]"));
    desk.platform().note_of_processors = "one processor: the others hang";
    EXPECT_TRUE(has(desk.enter("/version"), "[CPU] one processor: the others hang\n"));
    EXPECT_FALSE(has(desk.enter("/version"), "[CPU]")) << "once";
    EXPECT_TRUE(has(desk.enter("/log"), "one processor: the others hang"));
}

TEST(Repl, KeysAreReadWhenTheScriptIsDone)
{
    TinyRepl desk;
    desk.platform().type("/version\r/exit\r");
    desk.platform().screen.transcript.clear();
    EXPECT_EQ(desk.repl.run(), ReplExit::menu);
    EXPECT_TRUE(has(desk.platform().screen.transcript, "LLM Bare-Metal"));
    desk.platform().ctrl('d');
    EXPECT_EQ(desk.repl.run(), ReplExit::leave) << "the end of the input";
    desk.platform().ctrl('c');
    desk.platform().type("/exit\r");
    EXPECT_EQ(desk.repl.run(), ReplExit::menu);
    EXPECT_TRUE(has(desk.platform().screen.transcript, "/exit leaves the chat"));
}

TEST(Repl, EscStopsTheAnswerAndTypeAheadSurvives)
{
    TinyRepl desk;
    desk.platform().tick_step = 5'000'000; // an answer takes a while
    (void)desk.enter("/max_tokens 40");
    const uint64_t soon = desk.platform().now / 1'000'000 + 200;
    desk.platform().type("the hat\r");
    desk.platform().type_at(soon, "/ver");
    desk.platform().type_at(soon, "\x1b");
    desk.platform().type_at(soon, "sion\r/exit\r");
    desk.platform().screen.transcript.clear();
    EXPECT_EQ(desk.repl.run(), ReplExit::menu);
    const std::string& shown = desk.platform().screen.transcript;
    EXPECT_TRUE(has(shown, "[stopped]")) << shown;
    EXPECT_TRUE(has(shown, "LLM Bare-Metal")) << "what was typed meanwhile came through: " << shown;
    EXPECT_EQ(desk.chat().turn_count(), 1u) << "what was said stays";
    EXPECT_LT(desk.tiny.session().length(), desk.tiny.encode("the hat").size() + 40);
    EXPECT_GT(desk.tiny.session().length(), desk.tiny.encode("the hat").size());
}

TEST(Repl, EscStopsTheScriptToo)
{
    TinyRepl desk;
    desk.platform().tick_step = 5'000'000;
    const std::string lines = "the hat\n/system never\n/exit\n";
    desk.script.set(lines);
    desk.platform().type_at(desk.platform().now / 1'000'000 + 100, "\x1b");
    desk.platform().type_at(desk.platform().now / 1'000'000 + 100, "/exit\r");
    EXPECT_EQ(desk.repl.run(), ReplExit::menu);
    EXPECT_TRUE(desk.script.done());
    EXPECT_TRUE(desk.chat().system().empty()) << "the person took over";
}

TEST(Repl, SaveAndResume)
{
    TinyRepl desk;
    (void)desk.enter("the hat");
    const auto tokens = desk.tiny.tokens();
    EXPECT_TRUE(has(desk.enter("/save"), std::to_string(tokens.size()) + " tokens"));
    ASSERT_NE(desk.platform().content("llmk-chat.txt"), nullptr);
    const std::string next = desk.enter("a cat");
    (void)desk.enter("/save other.txt");
    (void)desk.enter("/clear");
    EXPECT_TRUE(has(desk.enter("/resume"), "saved with tiny.bin"));
    EXPECT_EQ(desk.tiny.tokens(), tokens);
    EXPECT_EQ(desk.enter("a cat"), next);
    EXPECT_FALSE(has(desk.enter("/resume other.txt"), "error"));
    EXPECT_TRUE(has(desk.enter("/resume away.txt"), "error: away.txt"));
    const auto before = desk.tiny.tokens();
    for (const char* content :
         {"", "rubbish", "llmk-chat 1\nmodel x\nvocab_size 999\n1 2\n", "llmk-chat 1\nmodel x\nvocab_size 290\n1 290\n",
          "llmk-chat 1\nmodel x\nvocab_size 290\n1 -2\n", "llmk-chat 1\n"}) {
        desk.platform().add_file("bad.txt", content);
        EXPECT_EQ(desk.enter("/resume bad.txt").find("error: bad.txt"), 0u) << content;
        EXPECT_EQ(desk.tiny.tokens(), before) << "a bad file changes nothing";
    }
    desk.platform().add_file("empty.txt", "llmk-chat 1\nmodel x\nvocab_size 290\n");
    EXPECT_TRUE(has(desk.enter("/resume empty.txt"), "0 tokens"));
}

TEST(Repl, ResumeKeepsOneSystemPrompt)
{
    TinyRepl desk;
    (void)desk.enter("/system be brief");
    (void)desk.enter("the hat");
    const auto tokens = desk.tiny.tokens();
    (void)desk.enter("/save");
    EXPECT_FALSE(has(desk.enter("/resume"), "error"));
    EXPECT_EQ(desk.tiny.tokens(), tokens) << "the system prompt is there once";
}

TEST(Repl, AFullConversationComesBack)
{
    TinyRepl desk;
    (void)desk.enter("/max_tokens 1000");
    EXPECT_TRUE(has(desk.enter("the hat"), "[context] full: this turn alone fills all 64 positions"));
    const auto tokens = desk.tiny.tokens();
    ASSERT_EQ(tokens.size(), 64u);
    (void)desk.enter("/save");
    (void)desk.enter("/clear");
    EXPECT_FALSE(has(desk.enter("/resume"), "error"));
    EXPECT_EQ(desk.tiny.tokens(), tokens);
    EXPECT_FALSE(has(desk.enter("a cat"), "error")) << "the next turn drops it";
}

TEST(Repl, WhatDoesNotFitLeavesTheConversation)
{
    TinyRepl desk;
    (void)desk.enter("the hat");
    const auto tokens = desk.tiny.tokens();
    std::string file = "llmk-chat 1\nmodel x\nvocab_size 290\n";
    for (int i = 0; i < 70; ++i) {
        file += "5 ";
    }
    desk.platform().add_file("long.txt", file);
    EXPECT_TRUE(has(desk.enter("/resume long.txt"), "error: "));
    EXPECT_EQ(desk.tiny.tokens(), tokens);
}

TEST(Repl, ReadSaysAFile)
{
    TinyRepl desk;
    const std::string wanted = desk.enter("the hat");
    (void)desk.enter("/clear");
    desk.platform().add_file("notes.txt", "the hat");
    EXPECT_EQ(desk.enter("/read notes.txt"), wanted);
    EXPECT_TRUE(has(desk.enter("/read"), "error: "));
    EXPECT_TRUE(has(desk.enter("/read away.txt"), "error: away.txt"));
    desk.platform().add_file("long.txt", std::string(70'000, 'x'));
    EXPECT_TRUE(has(desk.enter("/read long.txt"), "error: long.txt: 70000 bytes are too many for a prompt"));
    desk.platform().add_file("empty.txt", "");
    EXPECT_FALSE(has(desk.enter("/read empty.txt"), "error"));
    desk.platform().fail_read_in = 1;
    EXPECT_TRUE(has(desk.enter("/read notes.txt"), "error: "));
    EXPECT_EQ(desk.platform().open_files(), 0u);
}

TEST(Repl, TripsWriteADumpAndThePromptLives)
{
    TinyRepl desk;
    const std::string wanted = desk.enter("the hat");
    (void)desk.enter("/clear");
    for (const char* kind : {"prefill", "decode", "alloc", "guard", "nan"}) {
        const std::string shown = desk.enter("/test_failsafe " + std::string(kind));
        EXPECT_TRUE(has(shown, "error: ")) << shown;
        EXPECT_TRUE(has(shown, "what happened is in llmk-dump.txt")) << shown;
        EXPECT_TRUE(has(shown, "[failsafe] " + std::string(kind) + ": passed, the prompt lives")) << shown;
        EXPECT_EQ(desk.chat().settings.max_tokens, 12u);
        const std::string* dump = desk.platform().content("llmk-dump.txt");
        ASSERT_NE(dump, nullptr);
        for (const char* part : {"why: ", "time: 2024-02-29 12:00:00", "WEIGHTS", "strict_budget", "trip", "rewind"}) {
            EXPECT_TRUE(has(*dump, part)) << part << "\n" << *dump;
        }
        EXPECT_EQ(desk.enter("the hat"), wanted);
        (void)desk.enter("/clear");
        desk.platform().volume().nodes.erase("llmk-dump.txt");
    }
    EXPECT_TRUE(has(desk.enter("/test_failsafe other"), "error: "));
}

TEST(Repl, AVolumeThatCannotBeWrittenKillsNothing)
{
    TinyRepl desk;
    desk.platform().volume().write_protected = true;
    EXPECT_TRUE(has(desk.enter("/test_failsafe decode"), "no dump was written: llmk-dump.txt"));
    EXPECT_TRUE(has(desk.enter("/save"), "error: llmk-chat.txt"));
    EXPECT_TRUE(has(desk.enter("/save_log"), "error: llmk-log.txt"));
    EXPECT_TRUE(has(desk.enter("/save_dump"), "error: llmk-dump.txt"));
    EXPECT_TRUE(has(desk.enter("/logits --ids 1 -o x.f32"), "error: x.f32"));
    desk.platform().volume().write_protected = false;
    desk.platform().volume().free_bytes = 100;
    EXPECT_TRUE(has(desk.enter("/save_dump"), "error: llmk-dump.txt: the volume is full"));
    desk.platform().fail_flush_in = 1;
    desk.platform().volume().free_bytes = UINT64_MAX;
    EXPECT_TRUE(has(desk.enter("/save_log"), "error: llmk-log.txt: cannot be flushed"));
    EXPECT_FALSE(has(desk.enter("/save_log"), "error"));
    EXPECT_TRUE(has(*desk.platform().content("llmk-log.txt"), "LLM Bare-Metal"));
    EXPECT_EQ(desk.platform().open_files(), 0u);
    EXPECT_FALSE(has(desk.enter("the hat"), "error"));
}

TEST(Repl, GenerateGivesIds)
{
    TinyRepl desk;
    (void)desk.enter("/system be brief");
    const auto before = desk.tiny.tokens();
    const std::string shown = desk.enter("/generate --temp 0 -n 16 --ids -p \"the hat\"");
    const auto prompt = desk.tiny.encode("the hat");
    std::string wanted;
    for (const Token token : prompt) {
        wanted += std::to_string(token) + " ";
    }
    EXPECT_EQ(shown.find(wanted), 0u) << shown;
    const std::string line = shown.substr(0, shown.find('\n'));
    EXPECT_EQ(std::count(line.begin(), line.end(), ' '), 16) << "BOS and 16 steps";
    EXPECT_TRUE(has(shown, "[stats] tokens="));
    EXPECT_EQ(desk.tiny.tokens(), before) << "the system prompt is back";
    const std::string text = desk.enter("/generate --temp 0 -n 16 -p \"the hat\"");
    EXPECT_EQ(text.find("the hat"), 0u) << text;
    EXPECT_EQ(desk.enter("/generate --temp 1 --seed 5 -n 20").substr(0, 20),
              desk.enter("/generate --temp 1 --seed 5 -n 20").substr(0, 20));
    EXPECT_TRUE(has(desk.enter("/generate -m other.bin"), "error: -m"));
    EXPECT_TRUE(has(desk.enter("/generate -x"), "error: '-x'"));
    EXPECT_TRUE(has(desk.enter("/generate -p \"open"), "error: a quote"));
    EXPECT_FALSE(has(desk.enter("/generate --kernels sse2 -n 4 --temp 0"), "error"));
    EXPECT_STREQ(desk.tiny.engine->kernels().gemm.name, "scalar") << "for that run only";
    EXPECT_FALSE(has(desk.enter("/generate -n 1 -p \"the hat\" --ids --temp 0"), "error")) << "fewer steps than prompt";
}

TEST(Repl, LogitsGoToAFile)
{
    TinyRepl desk;
    EXPECT_TRUE(has(desk.enter("/logits --ids 1,5,9,200 -o all.f32"), "all.f32: 4 rows of 290 float32"));
    EXPECT_FALSE(has(desk.enter("/logits --ids 1,5,9,200 -o one.f32 --decode"), "error"));
    const std::string* all = desk.platform().content("all.f32");
    const std::string* one = desk.platform().content("one.f32");
    ASSERT_TRUE(all != nullptr && one != nullptr);
    ASSERT_EQ(all->size(), 4u * 290 * 4);
    ASSERT_EQ(one->size(), all->size());
    std::vector<float> rows[2];
    for (const std::string* content : {all, one}) {
        auto& row = rows[content == one ? 1 : 0];
        row.resize(4 * 290);
        std::memcpy(row.data(), content->data(), content->size());
    }
    EXPECT_LT(largest_difference(rows[0], rows[1]), 2e-5f);
    const Token tokens[] = {1, 5, 9, 200};
    ASSERT_TRUE(desk.tiny.session().prefill(tokens, {}).ok());
    EXPECT_LT(largest_difference(std::span(rows[0]).subspan(3 * 290), desk.tiny.logits()), 2e-5f);
    for (const char* bad : {"/logits --ids 1,2", "/logits -o x.f32", "/logits --ids 1,x -o x.f32",
                            "/logits --ids 1,290 -o x.f32", "/logits --ids , -o x.f32"}) {
        EXPECT_EQ(desk.enter(bad).find("error: "), 0u) << bad;
    }
    EXPECT_EQ(desk.platform().open_files(), 0u);
}

TEST(Repl, TokensAndBench)
{
    TinyRepl desk;
    std::string wanted;
    for (const Token token : desk.tiny.encode("the hat")) {
        wanted += (wanted.empty() ? "" : " ") + std::to_string(token);
    }
    EXPECT_EQ(desk.enter("/tokens the hat"), wanted + "\n");
    const std::string bench = desk.enter("/bench -p 8 -n 4 -r 1 --json");
    EXPECT_TRUE(has(bench, "\"decode_tok_s\"")) << bench;
}

} // namespace
} // namespace llmk
