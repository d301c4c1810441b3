// SPDX-License-Identifier: MIT
#include "repl/tool_args.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace llmk {
namespace {

using Words = std::vector<std::string_view>;

Result<void> parse(Tool tool, const Words& words, ToolArgs& args) { return parse_tool_args(tool, words, args); }

std::string error_of(Tool tool, const Words& words)
{
    ToolArgs args;
    const auto result = parse(tool, words, args);
    EXPECT_FALSE(result.ok());
    return result.ok() ? "" : std::string(result.error().message.view());
}

TEST(ToolArgs, DefaultsAreRunCs)
{
    const ToolArgs args;
    EXPECT_EQ(args.sampler.temperature, 1.0f);
    EXPECT_EQ(args.sampler.top_p, 0.9f);
    EXPECT_EQ(args.sampler.top_k, 0u);
    EXPECT_EQ(args.sampler.min_p, 0.0f);
    EXPECT_EQ(args.sampler.repeat_penalty, 1.0f);
    EXPECT_EQ(args.sampler.no_repeat_ngram, 0u);
    EXPECT_FALSE(args.sampler.loop_escape);
    EXPECT_FALSE(args.count);
    EXPECT_FALSE(args.prompt);
    EXPECT_FALSE(args.seed);
    EXPECT_EQ(args.threads, 1u);
}

TEST(ToolArgs, Generate)
{
    ToolArgs args;
    ASSERT_TRUE(parse(Tool::generate,
                      {"-m",
                       "x.bin",
                       "-p",
                       "",
                       "-n",
                       "32",
                       "--temp",
                       "0.5",
                       "--top-p",
                       "0.8",
                       "--top-k",
                       "40",
                       "--min-p",
                       "0.1",
                       "--repeat",
                       "1.2",
                       "--seed",
                       "42",
                       "--ids",
                       "-t",
                       "4",
                       "--loop-escape",
                       "--lookup-always",
                       "--lookup",
                       "5",
                       "--repeat-window",
                       "8",
                       "--kernels",
                       "sse2",
                       "--norepeat",
                       "3",
                       "--ctx",
                       "99",
                       "--tokenizer",
                       "t.bin"},
                      args)
                    .ok());
    EXPECT_EQ(args.model, "x.bin");
    ASSERT_TRUE(args.prompt);
    EXPECT_EQ(*args.prompt, "");
    EXPECT_EQ(args.count, 32u);
    EXPECT_EQ(args.sampler.temperature, 0.5f);
    EXPECT_EQ(args.sampler.top_p, 0.8f);
    EXPECT_EQ(args.sampler.top_k, 40u);
    EXPECT_EQ(args.sampler.min_p, 0.1f);
    EXPECT_EQ(args.sampler.repeat_penalty, 1.2f);
    EXPECT_EQ(args.sampler.repeat_window, 8u);
    EXPECT_EQ(args.sampler.no_repeat_ngram, 3u);
    EXPECT_TRUE(args.sampler.loop_escape);
    EXPECT_EQ(args.lookup, 5u);
    EXPECT_TRUE(args.lookup_always);
    EXPECT_EQ(args.seed, 42u);
    EXPECT_TRUE(args.ids);
    EXPECT_EQ(args.threads, 4u);
    EXPECT_EQ(args.context, 99u);
    EXPECT_EQ(args.kernels, "sse2");
    EXPECT_EQ(args.tokenizer, "t.bin");
}

TEST(ToolArgs, SameFlagOtherMeaning)
{
    ToolArgs logits;
    ASSERT_TRUE(parse(Tool::logits, {"--ids", "1,2,3", "-o", "x.f32", "--decode"}, logits).ok());
    EXPECT_EQ(logits.id_list, "1,2,3");
    EXPECT_EQ(logits.output, "x.f32");
    EXPECT_TRUE(logits.decode);
    EXPECT_FALSE(logits.ids);
    ToolArgs bench;
    ASSERT_TRUE(parse(Tool::bench, {"-p", "128", "-n", "64", "-r", "3", "--context", "512", "--json"}, bench).ok());
    EXPECT_EQ(bench.depth, 512u);
    EXPECT_EQ(*bench.prompt, "128");
    EXPECT_EQ(bench.runs, 3u);
    EXPECT_TRUE(bench.json);
    ToolArgs tokens;
    EXPECT_FALSE(tokens.null);
    ASSERT_TRUE(parse(Tool::tokens, {"--no-bos", "--parse-special", "--null", "-p", "-p"}, tokens).ok());
    EXPECT_TRUE(tokens.parse_special);
    EXPECT_TRUE(tokens.no_bos);
    EXPECT_TRUE(tokens.null);
    EXPECT_EQ(*tokens.prompt, "-p") << "a value may look like a flag";
    ToolArgs render;
    ASSERT_TRUE(parse(Tool::render, {"--template", "chatml", "--system", "be brief", "--ids"}, render).ok());
    EXPECT_EQ(render.chat_template, "chatml");
    EXPECT_EQ(render.system, "be brief");
    EXPECT_TRUE(render.ids);
    EXPECT_FALSE(parse(Tool::tokens, {"--template", "chatml"}, render).ok());
}

TEST(ToolArgs, RunCsRuleForTopP)
{
    for (const char* text : {"1.5", "-0.1"}) {
        ToolArgs args;
        ASSERT_TRUE(parse(Tool::generate, {"--top-p", text}, args).ok());
        EXPECT_EQ(args.sampler.top_p, 0.9f);
    }
}

TEST(ToolArgs, EachMistakeIsASentence)
{
    EXPECT_NE(error_of(Tool::generate, {"--wrong"}).find("'--wrong' is not a flag here"), std::string::npos);
    EXPECT_NE(error_of(Tool::info, {"-p", "x"}).find("-p"), std::string::npos) << "not of this tool";
    EXPECT_NE(error_of(Tool::generate, {"-p"}).find("-p needs a value"), std::string::npos);
    for (const char* bad : {"", "-1", "1.5", "x", "99999999999999999999"}) {
        EXPECT_NE(error_of(Tool::generate, {"-n", bad}).find("'" + std::string(bad) + "'"), std::string::npos);
    }
    for (const char* bad : {"", "-1", "nan", "1,5"}) {
        EXPECT_NE(error_of(Tool::generate, {"--temp", bad}).find("--temp"), std::string::npos);
    }
    EXPECT_NE(error_of(Tool::generate, {"--top-k", "4294967296"}).find("--top-k"), std::string::npos);
    EXPECT_NE(error_of(Tool::generate, {"--seed", "-5"}).find("--seed"), std::string::npos);
}

TEST(ToolArgs, HelpHasEveryFlagOfTheTool)
{
    Text<8192> help;
    describe_flags(Tool::generate, help);
    EXPECT_FALSE(help.truncated());
    for (const char* flag : {"-m", "-p", "-n", "--temp", "--top-p", "--seed", "--ids", "--kernels"}) {
        EXPECT_NE(help.view().find("  " + std::string(flag) + " "), std::string_view::npos) << flag;
    }
    EXPECT_EQ(help.view().find("--json"), std::string_view::npos);
}

std::vector<std::string> split(std::string_view line)
{
    std::vector<char> storage(line.size() + 1);
    std::string_view words[8];
    auto count = split_words(line, storage, words);
    if (!count.ok()) {
        return {"error"};
    }
    return {words, words + count.value()};
}

TEST(SplitWords, AsAShellDoes)
{
    using List = std::vector<std::string>;
    EXPECT_EQ(split(""), List{});
    EXPECT_EQ(split("  \t "), List{});
    EXPECT_EQ(split("a  bc\td"), (List{"a", "bc", "d"}));
    EXPECT_EQ(split("-p \"one two\" x"), (List{"-p", "one two", "x"}));
    EXPECT_EQ(split("'it is' \"it's\""), (List{"it is", "it's"}));
    EXPECT_EQ(split("a\"b c\"d"), (List{"ab cd"}));
    EXPECT_EQ(split("\"\" ''"), (List{"", ""}));
    EXPECT_EQ(split(R"("say \"hi\" \\ \n" '\n')"), (List{"say \"hi\" \\ \n", "\\n"}));
    EXPECT_EQ(split(R"(a\b)"), List{R"(a\b)"});
    EXPECT_EQ(split("\"open"), List{"error"});
    EXPECT_EQ(split("x '"), List{"error"});
    EXPECT_EQ(split(R"("open\")"), List{"error"});
    EXPECT_EQ(split("größe €"), (List{"größe", "€"}));
    EXPECT_EQ(split("1 2 3 4 5 6 7 8").size(), 8u);
    EXPECT_EQ(split("1 2 3 4 5 6 7 8 9"), List{"error"});
}

} // namespace
} // namespace llmk
