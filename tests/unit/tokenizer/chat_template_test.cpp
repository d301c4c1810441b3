// SPDX-License-Identifier: MIT
//
// Recognising templates and writing prompts. That the ids are those of transformers is tests/golden/test_templates.py.
#include "tokenizer/chat_template.h"

#include "unit/tokenizer/real_vocabulary.h"

#include <gtest/gtest.h>

#include <set>

namespace llmk {
namespace {

using Tokens = std::vector<Token>;

/// Bytes are their own ids; behind them BOS, EOS and some markers.
struct Words {
    explicit Words(bool chatml = true, bool add_bos = true)
    {
        OwnedVocabulary v = byte_vocabulary();
        v.types.assign(v.entries.size(), TokenType::normal);
        bos = v.add("<s>", TokenType::control);
        eos = v.add("</s>", TokenType::control);
        start = v.add(chatml ? "<|im_start|>" : "<|other|>", TokenType::control);
        end = v.add("<|im_end|>", TokenType::control);
        v.special.bos = bos;
        v.special.eos = eos;
        v.flags.add_bos = add_bos;
        v.pre = "gpt-2";
        loaded.emplace(v);
    }
    ChatTemplate recognised(std::string_view jinja, std::string_view today = {})
    {
        return recognise_template(jinja, today, loaded->tokenizer, loaded->scratch);
    }
    ChatTemplate chosen(std::string_view family)
    {
        return template_of(*find_template_family(family), TemplateOrigin::chosen, loaded->tokenizer, loaded->scratch);
    }
    Tokens encode(const Prompt& prompt, TextStart start_of_text = TextStart::fresh)
    {
        Tokens ids(prompt.max_tokens(loaded->tokenizer));
        auto count = prompt.encode(loaded->tokenizer, start_of_text, ids, loaded->scratch);
        EXPECT_TRUE(count.ok());
        ids.resize(count.ok() ? count.value() : 0);
        return ids;
    }
    std::string print(const Prompt& prompt)
    {
        std::string text;
        prompt.print(loaded->tokenizer, &text,
                     [](void* context, std::string_view piece) { *static_cast<std::string*>(context) += piece; });
        return text;
    }

    Token bos, eos, start, end;
    std::optional<Loaded<BpeTokenizer>> loaded;
};

TEST(ChatTemplate, FamiliesHaveNamesOfTheirOwn)
{
    std::set<std::string_view> names;
    for (const TemplateFamily& family : template_families()) {
        EXPECT_TRUE(names.insert(family.name).second) << family.name;
        EXPECT_EQ(find_template_family(family.name), &family);
        EXPECT_FALSE(family.about.empty());
        EXPECT_NE(family.user.find("{text}"), std::string_view::npos) << family.name;
        EXPECT_TRUE(family.joined.empty() || family.joined.starts_with("{text}")) << family.name;
        EXPECT_EQ(family.is_raw(), &family == &raw_family()) << family.name;
    }
    for (const char* name : {"chatml", "llama2", "llama3", "zephyr", "mistral", "gemma", "phi3", "qwen", "qwen3",
                             "deepseek", "vicuna", "alpaca", "raw"}) {
        EXPECT_TRUE(names.contains(name)) << name;
    }
    EXPECT_EQ(find_template_family("CHATML"), find_template_family("chatml"));
    EXPECT_EQ(find_template_family("auto"), nullptr);
    EXPECT_EQ(find_template_family(""), nullptr);
}

TEST(ChatTemplate, WhatIsNotKnownFallsBack)
{
    Words words;
    EXPECT_EQ(recognise_family(""), nullptr);
    EXPECT_EQ(recognise_family("{% for message in messages %}{{ message['content'] }}{% endfor %}"), nullptr);
    ChatTemplate how = words.recognised("no template at all");
    EXPECT_EQ(how.family->name, "chatml") << "the vocabulary has its markers";
    EXPECT_EQ(how.origin, TemplateOrigin::fallback);
    Words others(false);
    EXPECT_EQ(others.recognised("no template at all").family, &raw_family());
    EXPECT_EQ(others.recognised("").origin, TemplateOrigin::fallback);
}

TEST(ChatTemplate, TheFilesOwnSystemText)
{
    Words words;
    const std::string loop = "'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'";
    const auto with = [&](const std::string& system) {
        return words.recognised("{{ '<|im_start|>system" + system + "<|im_end|>\\n' }}" + loop);
    };
    EXPECT_EQ(with("\\nBe kind.").default_system.view(), "Be kind.");
    EXPECT_EQ(with("\nBe kind.").default_system.view(), "Be kind.") << "a line break as it is";
    EXPECT_EQ(with("\\nBe kind.").family->name, "qwen");
    EXPECT_EQ(with("\\n' + messages[0]['content'] + '").family->name, "chatml") << "an expression is no text";
    EXPECT_EQ(with("\\n" + std::string(600, 'x')).family->name, "chatml") << "longer than any";
    EXPECT_EQ(words.chosen("qwen").default_system.view(), "You are a helpful assistant.");
    EXPECT_EQ(words.chosen("chatml").default_system.view(), "");
}

TEST(ChatTemplate, BosStandsWhereTheTemplateSays)
{
    Words words;
    const std::string chatml = "'<|im_start|>' + message['role'] + '<|im_end|>'";
    EXPECT_EQ(words.recognised(chatml).bos, BosPlace::none) << "whatever add_bos_token says";
    EXPECT_EQ(words.recognised("{{ bos_token }}" + chatml).bos, BosPlace::front);
    EXPECT_EQ(words.recognised("<s>" + chatml).bos, BosPlace::front) << "by its name";
    EXPECT_EQ(words.recognised("{{ bos_token + '[INST] ' + '<<SYS>>' }}[/INST]").bos, BosPlace::each_turn);
    EXPECT_EQ(words.recognised("{{ bos_token }}'[INST] <<SYS>> [/INST]'").bos, BosPlace::front);
    EXPECT_EQ(words.chosen("chatml").bos, BosPlace::front) << "no template to say: the file's add_bos_token does";
    EXPECT_EQ(Words(true, false).chosen("chatml").bos, BosPlace::none);
    EXPECT_EQ(words.chosen("llama2").bos, BosPlace::each_turn);
}

TEST(ChatTemplate, TheDayIsTheTemplatesOrToday)
{
    Words words;
    const std::string llama = "<|start_header_id|><|eot_id|>Cutting Knowledge Date";
    EXPECT_EQ(words.recognised(llama, "01 Feb 2030").date.view(), "26 Jul 2024");
    EXPECT_EQ(words.recognised(llama + "strftime_now", "01 Feb 2030").date.view(), "01 Feb 2030");
    EXPECT_EQ(words.recognised(llama + "strftime_now", "").date.view(), "26 Jul 2024") << "no clock";
}

TEST(ChatTemplate, WhatAPersonTypesIsNoStructure)
{
    Words words;
    FakePlatform platform;
    Prompt prompt(platform);
    const ChatTemplate how = words.recognised("'<|im_start|>' '<|im_end|>'");
    ASSERT_TRUE(prompt.user(how, "a<|im_end|>", true, {}).ok());
    ASSERT_TRUE(prompt.open(how).ok());
    const Tokens ids = words.encode(prompt);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), words.start), 2);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), words.end), 1) << "the template's own";
    EXPECT_EQ(words.print(prompt), "<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>assistant\n");
    // Nor is what begins in the template and ends in the message.
    prompt.clear();
    ChatTemplate cut = how;
    TemplateFamily family = *how.family;
    family.user = "<|im_{text}|>";
    cut.family = &family;
    ASSERT_TRUE(prompt.user(cut, "end", true, {}).ok());
    EXPECT_EQ(words.print(prompt), "<|im_end|>");
    EXPECT_EQ(words.encode(prompt).size(), 10u) << "letters";
}

TEST(ChatTemplate, ThoughtsAreCutOff)
{
    const TemplateFamily& qwen = *find_template_family("qwen3");
    const TemplateFamily& deepseek = *find_template_family("deepseek3");
    EXPECT_EQ(without_thoughts(qwen, "<think>\na\n</think>\n\nb"), "b");
    EXPECT_EQ(without_thoughts(deepseek, "<think>\na\n</think>\n\nb"), "\n\nb");
    EXPECT_EQ(without_thoughts(qwen, "</think>a</think>"), "");
    EXPECT_EQ(without_thoughts(qwen, "</think>\n"), "");
    EXPECT_EQ(without_thoughts(qwen, "\nno thoughts"), "\nno thoughts");
}

TEST(ChatTemplate, EveryFamilyWritesAnyText)
{
    Words words;
    FakePlatform platform;
    Prompt prompt(platform);
    for (const TemplateFamily& family : template_families()) {
        const ChatTemplate how = words.chosen(family.name);
        for (const char* text : {"", " ", "{eos}", "{", "}", "\xff\xfe", "\xe2\x80\x80", "a{text}b", "<s></s>"}) {
            prompt.clear();
            ASSERT_TRUE(prompt.front(how, text).ok());
            ASSERT_TRUE(prompt.user(how, text, true, text).ok());
            ASSERT_TRUE(prompt.open(how).ok());
            ASSERT_TRUE(prompt.answer(how, text).ok());
            ASSERT_TRUE(prompt.close(how).ok());
            const Tokens ids = words.encode(prompt);
            const auto ends = std::count(ids.begin(), ids.end(), words.eos);
            EXPECT_LE(ends, 3) << family.name << " " << text;
            // Every byte is there, and every token by its name.
            std::string said;
            for (const Token id : ids) {
                said += words.loaded->tokenizer.name(id);
            }
            if (!family.is_raw()) {
                EXPECT_EQ(said, words.print(prompt)) << family.name;
            }
        }
    }
}

TEST(ChatTemplate, BlanksAreThoseOfTheRule)
{
    Words words;
    FakePlatform platform;
    Prompt prompt(platform);
    const ChatTemplate how = words.chosen("gemma");
    ASSERT_TRUE(prompt.user(how, "\x1c \xc2\xa0\xe3\x80\x80 a \xe2\x80\xa9\t\n", true, {}).ok());
    EXPECT_EQ(words.print(prompt), "<start_of_turn>user\na<end_of_turn>\n") << "as Python's strip()";
    prompt.clear();
    ASSERT_TRUE(prompt.user(words.chosen("phi3"), "\n\xc2\xa0 a ", true, {}).ok());
    EXPECT_EQ(words.print(prompt), "<|user|>a <|end|>") << "swallowed by the marker in front only";
}

} // namespace
} // namespace llmk
