// SPDX-License-Identifier: MIT
//
// Commands through a REPL that a script types into.
#include "fake/tiny_repl.h"

#include <set>

namespace llmk {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Commands, NamesAreUniqueAndHaveHelp)
{
    std::set<std::string_view> names;
    for_each_command([&](const Command& command) {
        EXPECT_TRUE(names.insert(command.name).second) << command.name;
        EXPECT_FALSE(command.help.empty());
        EXPECT_NE(command.run, nullptr);
    });
    for (const char* name :
         {"help",     "version", "model",      "models",   "load",  "cpu",      "kernels",   "zones",
          "budget",   "attn",    "ctx",        "stats",    "temp",  "min_p",    "top_p",     "top_k",
          "norepeat", "repeat",  "max_tokens", "seed",     "stop",  "system",   "clear",     "undo",
          "regen",    "read",    "save",       "resume",   "log",   "save_log", "save_dump", "test_failsafe",
          "lookup",   "bench",   "verify",     "template", "reset", "reboot",   "shutdown",  "exit"}) {
        EXPECT_TRUE(names.contains(name)) << name;
    }
}

TEST(Commands, HelpListsEveryOne)
{
    TinyRepl desk;
    const std::string help = desk.enter("/help");
    for_each_command([&](const Command& command) {
        EXPECT_TRUE(has(help, "  /" + std::string(command.name) + " ")) << command.name;
        EXPECT_TRUE(has(help, command.help)) << command.name;
    });
    EXPECT_TRUE(has(desk.enter("/help temp"), "temperature"));
    EXPECT_TRUE(has(desk.enter("/help /temp"), "temperature"));
    EXPECT_FALSE(has(desk.enter("/help temp"), "/save"));
    EXPECT_TRUE(has(desk.enter("/help nothing"), "error: /nothing is not a command"));
}

TEST(Commands, UnknownNamesTheNearestAndSaysNothingToTheModel)
{
    TinyRepl desk;
    EXPECT_TRUE(has(desk.enter("/tmep 1"), "error: /tmep is not a command; did you mean /temp?"));
    EXPECT_TRUE(has(desk.enter("/sav"), "did you mean /save?"));
    EXPECT_TRUE(has(desk.enter("/"), "error: "));
    EXPECT_EQ(desk.tiny.session().length(), 0u);
    EXPECT_TRUE(has(desk.enter("/TEMP"), "temp 0.000")) << "letter case does not matter";
    EXPECT_TRUE(has(desk.enter("  /clear  "), "anew"));
    EXPECT_TRUE(has(desk.enter("/clear all"), "error: /clear takes no arguments"));
}

TEST(Commands, SettingsAreShownAndSet)
{
    TinyRepl desk;
    const struct {
        const char* line;
        const char* shown;
    } rows[] = {{"/temp 0.8", "temp 0.800\n"},
                {"/temp", "temp 0.800\n"},
                {"/min_p 0.05", "min_p 0.050\n"},
                {"/top_p 0.95", "top_p 0.950\n"},
                {"/top_k 40", "top_k 40\n"},
                {"/norepeat 4", "norepeat 4\n"},
                {"/max_tokens 100", "max_tokens 100\n"},
                {"/repeat 1.15", "repeat 1.150 over 64 tokens\n"},
                {"/repeat 1.2 32", "repeat 1.200 over 32 tokens\n"},
                {"/repeat", "repeat 1.200 over 32 tokens\n"},
                {"/lookup", "lookup 7\n"},
                {"/lookup off", "lookup off\n"},
                {"/lookup on", "lookup 7\n"},
                {"/lookup 3", "lookup 3\n"},
                {"/seed 42", "seed 42\n"},
                {"/seed", "seed 42\n"},
                {"/stop", "stop off\n"},
                {"/stop END", "stop \"END\"\n"},
                {"/stop \" a b \"", "stop \"END\"\nstop \" a b \"\n"},
                {"/stop off", "stop off\n"},
                {"/stats", "stats off\n"},
                {"/stats on", "stats on\n"}};
    for (const auto& [line, shown] : rows) {
        EXPECT_EQ(desk.enter(line), shown) << line;
    }
    const SamplerSettings& sampler = desk.chat().settings.sampler;
    EXPECT_EQ(sampler.temperature, 0.8f);
    EXPECT_EQ(sampler.top_k, 40u);
    EXPECT_EQ(sampler.repeat_window, 32u);
    EXPECT_EQ(desk.chat().settings.max_tokens, 100u);
    EXPECT_EQ(desk.chat().settings.lookup, 3u);
    RandomStream wanted(42);
    EXPECT_EQ(desk.chat().random.next_u32(), wanted.next_u32());
}

TEST(Commands, RangesAreNamedAndNothingChanges)
{
    TinyRepl desk;
    for (const char* line : {"/temp -1", "/temp 101", "/temp hot", "/min_p 1.5", "/top_p -0.1", "/top_k 1.5",
                             "/top_k -3", "/norepeat 65", "/max_tokens 0", "/max_tokens 99999999999", "/repeat 0",
                             "/repeat 1.1 0", "/seed x", "/stats maybe", "/lookup 8", "/lookup maybe"}) {
        const std::string shown = desk.enter(line);
        EXPECT_EQ(shown.find("error: "), 0u) << line << ": " << shown;
    }
    EXPECT_TRUE(has(desk.enter("/temp 101"), "expected a number from 0.0 to "));
    EXPECT_TRUE(has(desk.enter("/top_k x"), "whole number from 0"));
    EXPECT_TRUE(has(desk.enter("/repeat 0"), "from 0.5 to 5"));
    EXPECT_EQ(desk.chat().settings.sampler.temperature, 0.0f);
    EXPECT_EQ(desk.chat().settings.max_tokens, 12u);
    for (int i = 0; i < 4; ++i) {
        EXPECT_FALSE(has(desk.enter("/stop s" + std::to_string(i)), "error"));
    }
    EXPECT_TRUE(has(desk.enter("/stop s5"), "error: stop: there are 4 already"));
    EXPECT_TRUE(has(desk.enter("/stop off"), "stop off"));
    EXPECT_TRUE(has(desk.enter("/stop " + std::string(65, 'x')), "1 to 64 bytes"));
}

TEST(Commands, ReportsTellTheirFacts)
{
    TinyRepl desk;
    EXPECT_TRUE(has(desk.enter("/version"), "LLM Bare-Metal"));
    EXPECT_TRUE(has(desk.enter("/model"), "embedding_length: 16"));
    EXPECT_TRUE(has(desk.enter("/models"), "a list of models"));
    EXPECT_TRUE(has(desk.enter("/cpu"), "sse2"));
    EXPECT_FALSE(has(desk.enter("/cpu"), "package")) << "the fake's processors tell nothing";
    desk.platform().states_of_processors = {
        {.package = 1, .core = 2, .thread = 0},
        {.package = 1, .core = 3, .thread = 1, .kind = CoreKind::efficient, .clock_mhz = 2400, .celsius = -3}};
    const std::string cpu = desk.enter("/cpu");
    EXPECT_TRUE(has(cpu, "  package 1 core 2 thread 0\n")) << cpu;
    EXPECT_TRUE(has(cpu, "  package 1 core 3 thread 1, efficient core, 2400 MHz, -3 degrees Celsius\n")) << cpu;
    EXPECT_TRUE(has(desk.enter("/kernels"), "(scalar)"));
    EXPECT_TRUE(has(desk.enter("/kernels sse2"), "(sse2)"));
    EXPECT_TRUE(has(desk.enter("/kernels none"), "error: there is no kernel set"));
    EXPECT_TRUE(has(desk.enter("/attn scalar"), "[ATTN] SIMD path: "));
    const std::string zones = desk.enter("/zones");
    for (const char* name : {"WEIGHTS", "KV", "SCRATCH", "ACTS", "ZONEC", "read-only"}) {
        EXPECT_TRUE(has(zones, name)) << name;
    }
    EXPECT_TRUE(has(desk.enter("/budget decode 500"), "budget 500 cycles a token (fixed)"));
    EXPECT_TRUE(has(desk.enter("/budget strict on"), "strict_budget: 1"));
    EXPECT_TRUE(has(desk.enter("/budget strict off"), "strict_budget: 0"));
    EXPECT_TRUE(has(desk.enter("/budget what"), "error: "));
    EXPECT_TRUE(has(desk.enter("/ctx"), "context: 0 of 64 positions"));
    EXPECT_TRUE(has(desk.enter("/ctx 32"), "context: 0 of 32 positions"));
    EXPECT_TRUE(has(desk.enter("/ctx 4"), "error: "));
    EXPECT_TRUE(has(desk.enter("/ctx 65"), "error: "));
    EXPECT_TRUE(has(desk.enter("/log 2"), "kernels"));
    EXPECT_TRUE(has(desk.enter("/log x"), "error: "));
}

TEST(Commands, WaysOut)
{
    TinyRepl desk;
    (void)desk.run("");
    EXPECT_EQ(desk.exit, ReplExit::menu);
    (void)desk.run("/shutdown");
    EXPECT_EQ(desk.exit, ReplExit::leave);
    (void)desk.run("/reboot");
    EXPECT_EQ(desk.exit, ReplExit::leave);
    EXPECT_EQ(desk.platform().resets, (std::vector{ResetKind::shutdown, ResetKind::reboot}));
    (void)desk.run("/load tiny");
    EXPECT_EQ(desk.exit, ReplExit::load);
    EXPECT_EQ(desk.repl.requested_model(), "tiny.bin");
    EXPECT_TRUE(has(desk.enter("/load"), "error: "));
    EXPECT_TRUE(has(desk.enter("/load away"), "error: away is not on this volume"));
    desk.platform().add_file("bad.bin", "rubbish");
    EXPECT_TRUE(has(desk.enter("/load bad"), "error: bad.bin")) << "said while the present model is still there";
    EXPECT_TRUE(desk.tiny.engine->loaded());
}

TEST(Commands, ConversationCommands)
{
    TinyRepl desk;
    const std::string answer = desk.enter("the hat");
    EXPECT_EQ(answer.back(), '\n');
    EXPECT_TRUE(has(desk.enter("/ctx"), "1 turns"));
    EXPECT_EQ(desk.enter("/regen"), answer);
    EXPECT_TRUE(has(desk.enter("/undo"), "0 turns are left"));
    EXPECT_TRUE(has(desk.enter("/undo"), "error: there is no turn"));
    EXPECT_TRUE(has(desk.enter("/regen"), "error: there is no answer"));
    EXPECT_TRUE(has(desk.enter("/system"), "system: (none)"));
    EXPECT_TRUE(has(desk.enter("/system be brief"), "system: be brief"));
    EXPECT_TRUE(has(desk.enter("/reset"), "settings are as at the start"));
    EXPECT_TRUE(has(desk.enter("/system"), "system: (none)"));
    EXPECT_EQ(desk.chat().settings.max_tokens, 160u);
    EXPECT_EQ(desk.chat().settings.sampler.temperature, 0.85f);
    EXPECT_TRUE(has(desk.enter("/stats"), "stats on"));
}

TEST(Commands, TemplateIsShownAndChosen)
{
    TinyShape shape;
    shape.context = 400;
    TinyRepl desk(shape);
    const std::string list = desk.enter("/template");
    EXPECT_TRUE(has(list, "template: raw (the file has none)")) << list;
    for (const TemplateFamily& family : template_families()) {
        EXPECT_TRUE(has(list, "\n  " + std::string(family.name) + " ")) << family.name;
    }
    const std::string answer = desk.enter("the hat");
    const auto raw = desk.tiny.tokens();
    EXPECT_TRUE(
        has(desk.enter("/template chatml"), "1 of 1 turns go on in this template\ntemplate: chatml (set by you)"));
    EXPECT_EQ(desk.chat().chat_template().family->name, "chatml");
    EXPECT_NE(desk.tiny.tokens(), raw);
    EXPECT_TRUE(has(desk.enter("/template"), "template: chatml (set by you)"));
    EXPECT_TRUE(
        has(desk.enter("/template nothing"), "error: there is no template 'nothing'; known are auto, chatml, "));
    EXPECT_EQ(desk.chat().chat_template().family->name, "chatml");
    EXPECT_TRUE(has(desk.enter("/model"), "template: chatml (set by you)"));
    EXPECT_TRUE(has(desk.enter("/template AUTO"), "template: raw (the file has none)"));
    EXPECT_EQ(desk.tiny.tokens(), raw) << "the conversation is as it was";
}

TEST(Commands, ModelSaysTheMixOfTypes)
{
    TinyRepl desk;
    const std::string model = desk.enter("/model");
    EXPECT_TRUE(has(model, "types: F32 x 20\n")) << model;
    EXPECT_TRUE(has(model, "bits_per_weight: 32.00"));
    EXPECT_TRUE(has(model, "tokenizer_kind: llama2.c"));
}

TEST(Commands, LoadKeepsOrDropsTheConversation)
{
    for (const char* how : {"", " keep", " drop"}) {
        TinyRepl desk;
        (void)desk.run("/load tiny" + std::string(how));
        EXPECT_EQ(desk.exit, ReplExit::load);
        EXPECT_EQ(desk.repl.requested_model(), "tiny.bin");
        EXPECT_EQ(desk.repl.keeps_conversation(), std::string(how) != " drop");
    }
    TinyRepl desk;
    EXPECT_TRUE(has(desk.enter("/load keep"), "error: keep is not on this volume")) << "a name";
    EXPECT_TRUE(has(desk.enter("/load tiny maybe"), "error: tiny maybe is not on this volume"));
}

TEST(Commands, ANewContextKeepsTheSystemPrompt)
{
    TinyRepl desk;
    (void)desk.enter("/system be brief");
    (void)desk.enter("/ctx 32");
    EXPECT_TRUE(has(desk.enter("/system"), "system: be brief"));
}

TEST(Completion, OffersCommandNames)
{
    struct List final : CompletionSink {
        void add(std::string_view candidate) override { items.emplace_back(candidate); }
        std::vector<std::string> items;
    };
    const auto offered = [](std::string_view before) {
        List list;
        (void)complete_command(nullptr, before, list);
        return list.items;
    };
    EXPECT_EQ(offered("/vers"), std::vector<std::string>{"/version"}) << "no blank where nothing follows";
    EXPECT_EQ(offered("/see"), std::vector<std::string>{"/seed "});
    EXPECT_EQ(offered("/tem"), (std::vector<std::string>{"/template ", "/temp "}));
    size_t all = 0;
    for_each_command([&](const Command&) { ++all; });
    EXPECT_EQ(offered("/").size(), all);
    EXPECT_TRUE(offered("").empty());
    EXPECT_TRUE(offered("te").empty());
    EXPECT_TRUE(offered("/load x").empty());
    EXPECT_TRUE(offered("/zzz").empty());
}

} // namespace
} // namespace llmk
