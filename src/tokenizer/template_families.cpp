// SPDX-License-Identifier: MIT
#include "tokenizer/chat_template.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr TemplateFamily kFamilies[] = {
    {.name = "chatml",
     .about = "OpenHermes, many others",
     .system = "<|im_start|>system\n{system}<|im_end|>\n",
     .user = "<|im_start|>user\n{text}<|im_end|>\n",
     .open = "<|im_start|>assistant\n",
     .close = "<|im_end|>\n",
     .ends = {"<|im_end|>", "<|endoftext|>"}},
    {.name = "qwen",
     .about = "chatml with a system text of the file's own: Qwen 2, SmolLM2",
     .system = "<|im_start|>system\n{system}<|im_end|>\n",
     .user = "<|im_start|>user\n{text}<|im_end|>\n",
     .open = "<|im_start|>assistant\n",
     .close = "<|im_end|>\n",
     .ends = {"<|im_end|>", "<|endoftext|>"},
     .default_system = "You are a helpful assistant."},
    {.name = "qwen3",
     .about = "chatml that leaves the thoughts of earlier answers out: Qwen 3",
     .system = "<|im_start|>system\n{system}<|im_end|>\n",
     .user = "<|im_start|>user\n{text}<|im_end|>\n",
     .open = "<|im_start|>assistant\n",
     .close = "<|im_end|>\n",
     .ends = {"<|im_end|>", "<|endoftext|>"},
     .drops_thoughts = true},
    {.name = "qwen3-think",
     .about = "the same, and an answer begins with thoughts: QwQ, Qwen 3 Thinking",
     .system = "<|im_start|>system\n{system}<|im_end|>\n",
     .user = "<|im_start|>user\n{text}<|im_end|>\n",
     .open = "<|im_start|>assistant\n",
     .thought = "<think>\n",
     .close = "<|im_end|>\n",
     .ends = {"<|im_end|>", "<|endoftext|>"},
     .drops_thoughts = true},
    {.name = "llama2",
     .about = "Llama 2 Chat",
     .system = "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n",
     .user = "[INST] {text} [/INST]",
     .joined = "{text} [/INST]",
     .lead = " ",
     .close = " {eos}",
     .trim_user = TrimRule::both,
     .trim_joined = TrimRule::right,
     .trim_answer = TrimRule::both},
    {.name = "llama3",
     .about = "Llama 3 Instruct",
     .system = "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
     .open = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .close = "<|eot_id|>",
     .trim_system = TrimRule::both,
     .trim_user = TrimRule::both,
     .trim_answer = TrimRule::both,
     .ends = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"}},
    {.name = "llama3.1",
     .about = "Llama 3.1 to 3.3, whose system text names the day",
     .system = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
               "Today Date: {date}\n\n{system}<|eot_id|>",
     .user = "<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
     .open = "<|start_header_id|>assistant<|end_header_id|>\n\n",
     .close = "<|eot_id|>",
     .trim_system = TrimRule::both,
     .trim_user = TrimRule::both,
     .trim_answer = TrimRule::both,
     .ends = {"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"},
     .always_system = true},
    {.name = "zephyr",
     .about = "TinyLlama Chat, Zephyr",
     .system = "<|system|>\n{system}{eos}\n",
     .user = "<|user|>\n{text}{eos}\n",
     .open = "<|assistant|>\n",
     .close = "{eos}",
     .gap = "\n"},
    {.name = "tulu",
     .about = "Tulu, OLMo 2, Falcon 3",
     .system = "<|system|>\n{system}\n",
     .user = "<|user|>\n{text}\n",
     .open = "<|assistant|>\n",
     .close = "{eos}",
     .gap = "\n",
     .stop = "<|user|>"},
    {.name = "mistral",
     .about = "Mistral Instruct 0.1 and 0.2, Mixtral",
     .system = "[INST] {system}\n\n",
     .user = "[INST] {text} [/INST]",
     .joined = "{text} [/INST]",
     .close = "{eos}"},
    {.name = "mistral-v1",
     .about = "the later templates of the same, with more blanks",
     .system = " [INST] {system}\n\n",
     .user = " [INST] {text} [/INST]",
     .joined = "{text} [/INST]",
     .lead = " ",
     .close = "{eos}"},
    {.name = "mistral-v3",
     .about = "Mistral Instruct 0.3",
     .system = "[INST] {system}\n\n",
     .user = "[INST] {text}[/INST]",
     .joined = "{text}[/INST]",
     .lead = " ",
     .close = "{eos}",
     .trim_answer = TrimRule::both},
    {.name = "mistral-tekken",
     .about = "Mistral Nemo, Ministral",
     .system = "[INST]{system}\n\n",
     .user = "[INST]{text}[/INST]",
     .joined = "{text}[/INST]",
     .close = "{eos}"},
    {.name = "mistral-v7",
     .about = "Mistral Small from 2501 on",
     .system = "[SYSTEM_PROMPT]{system}[/SYSTEM_PROMPT]",
     .user = "[INST]{text}[/INST]",
     .close = "{eos}"},
    {.name = "gemma",
     .about = "Gemma 1 to 3",
     .system = "<start_of_turn>user\n{system}\n\n",
     .user = "<start_of_turn>user\n{text}<end_of_turn>\n",
     .joined = "{text}<end_of_turn>\n",
     .open = "<start_of_turn>model\n",
     .close = "<end_of_turn>\n",
     .trim_user = TrimRule::both,
     .trim_joined = TrimRule::both,
     .trim_answer = TrimRule::both,
     .ends = {"<end_of_turn>"}},
    // Its markers swallow the blanks and line breaks behind them, those of the template too.
    {.name = "phi3",
     .about = "Phi 3, Phi 3.5, Phi 4 mini",
     .system = "<|system|>{system}<|end|>",
     .user = "<|user|>{text}<|end|>",
     .open = "<|assistant|>",
     .close = "<|end|>",
     .trim_system = TrimRule::left,
     .trim_user = TrimRule::left,
     .trim_answer = TrimRule::left,
     .ends = {"<|end|>", "<|endoftext|>"}},
    {.name = "phi4",
     .about = "Phi 4",
     .system = "<|im_start|>system<|im_sep|>{system}<|im_end|>",
     .user = "<|im_start|>user<|im_sep|>{text}<|im_end|>",
     .open = "<|im_start|>assistant<|im_sep|>",
     .close = "<|im_end|>",
     .ends = {"<|im_end|>", "<|endoftext|>"}},
    {.name = "deepseek",
     .about = "DeepSeek LLM Chat, V2",
     .system = "{system}\n\n",
     .user = "User: {text}\n\n",
     .open = "Assistant:",
     .lead = " ",
     .close = "{eos}"},
    {.name = "deepseek3",
     .about = "DeepSeek V3",
     .system = "{system}",
     .user = "<｜User｜>{text}",
     .open = "<｜Assistant｜>",
     .close = "<｜end▁of▁sentence｜>",
     .ends = {"<｜end▁of▁sentence｜>"},
     .drops_thoughts = true,
     .keeps_breaks = true},
    {.name = "deepseek-r1",
     .about = "DeepSeek R1 and its distilled models",
     .system = "{system}",
     .user = "<｜User｜>{text}",
     .open = "<｜Assistant｜>",
     .thought = "<think>\n",
     .close = "<｜end▁of▁sentence｜>",
     .ends = {"<｜end▁of▁sentence｜>"},
     .drops_thoughts = true,
     .keeps_breaks = true},
    {.name = "vicuna",
     .about = "Vicuna 1.1 and later",
     .system = "{system}\n\n",
     .user = "USER: {text}\n",
     .open = "ASSISTANT:",
     .lead = " ",
     .close = "{eos}",
     .gap = "\n",
     .trim_system = TrimRule::both,
     .trim_user = TrimRule::both,
     .trim_answer = TrimRule::both,
     .stop = "USER:"},
    {.name = "alpaca",
     .about = "Alpaca",
     .system = "{system}\n\n",
     .user = "### Instruction:\n{text}\n\n",
     .open = "### Response:\n",
     .close = "{eos}",
     .gap = "\n\n",
     .trim_system = TrimRule::both,
     .trim_user = TrimRule::both,
     .trim_answer = TrimRule::both,
     .stop = "### Instruction:"},
    {.name = "raw",
     .about = "none: the text as typed, which the model continues",
     .system = "{system}",
     .user = "{text}"},
};

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Whether a person's message ends with EOS: TinyLlama's and Tulu's markers are the same.
bool user_ends_with_eos(std::string_view jinja)
{
    const auto expression = tail(jinja, jinja.find("<|user|>"));
    return has(head(expression, expression.find("}}")), "eos_token");
}

/// What a file's template must hold to be of a family. The first row that fits counts: those that hold another's
/// markers too stand before it.
struct Mark {
    std::string_view family;
    std::string_view all[3];
    bool (*also)(std::string_view jinja) = nullptr;
};

constexpr Mark kMarks[] = {
    {"phi4", {"<|im_start|>", "<|im_sep|>"}},
    {"qwen3-think", {"<|im_start|>assistant\\n<think>\\n"}},
    {"qwen3", {"<|im_start|>", "</think>"}},
    {"qwen", {"<|im_start|>"}, [](std::string_view jinja) { return !default_system_of(jinja).empty(); }},
    {"chatml", {"<|im_start|>", "<|im_end|>"}},
    {"llama3.1", {"<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date"}},
    {"llama3", {"<|start_header_id|>", "<|eot_id|>"}},
    {"gemma", {"<start_of_turn>", "<end_of_turn>"}},
    {"deepseek-r1", {"<｜Assistant｜><think>"}},
    {"deepseek3", {"<｜User｜>", "<｜Assistant｜>"}},
    {"mistral-v7", {"[INST]", "[SYSTEM_PROMPT]"}},
    {"llama2", {"[INST]", "<<SYS>>"}},
    {"mistral-v1", {"' [INST]"}},
    {"mistral-v1", {"\" [INST]"}},
    {"mistral-tekken", {"'[INST]'"}},
    {"mistral-tekken", {"\"[INST]\""}},
    {"mistral-v3", {"[INST]", "'[/INST]'"}},
    {"mistral-v3", {"[INST]", "\"[/INST]\""}},
    {"mistral", {"[INST]", "[/INST]"}},
    {"phi3", {"<|assistant|>", "<|end|>"}},
    {"zephyr", {"<|user|>", "<|assistant|>", "eos_token"}, user_ends_with_eos},
    {"tulu", {"<|user|>", "<|assistant|>", "eos_token"}},
    {"vicuna", {"USER: ", "ASSISTANT:"}},
    // DeepSeek Coder has these markers too, but ends with a token of its own and brings a system text.
    {"alpaca", {"### Instruction:", "### Response:"}, [](std::string_view jinja) { return !has(jinja, "<|EOT|>"); }},
    {"deepseek", {"'User: '", "Assistant:"}},
};

bool fits(const Mark& mark, std::string_view jinja)
{
    const bool all = std::all_of(std::begin(mark.all), std::end(mark.all),
                                 [&](std::string_view part) { return part.empty() || has(jinja, part); });
    return all && (mark.also == nullptr || mark.also(jinja));
}

} // namespace

std::string_view default_system_of(std::string_view jinja)
{
    constexpr std::string_view kStart = "<|im_start|>system";
    for (size_t at = jinja.find(kStart); at != std::string_view::npos; at = jinja.find(kStart, at + 1)) {
        auto text = tail(jinja, at + kStart.size());
        const size_t line_break = text.starts_with("\\n") ? 2 : text.starts_with('\n') ? 1 : 0;
        text = tail(head(text, text.find("<|im_end|>")), line_break);
        if (line_break != 0 && !text.empty() && text.size() <= decltype(ChatTemplate::default_system)().capacity() &&
            text.find_first_of("'\"{}\\") == std::string_view::npos) {
            return text;
        }
    }
    return {};
}

std::span<const TemplateFamily> template_families() { return kFamilies; }

const TemplateFamily& raw_family() { return kFamilies[std::size(kFamilies) - 1]; }

const TemplateFamily* find_template_family(std::string_view name)
{
    for (const TemplateFamily& family : kFamilies) {
        if (equal_ignore_case(family.name, name)) {
            return &family;
        }
    }
    return nullptr;
}

const TemplateFamily* recognise_family(std::string_view jinja)
{
    for (const Mark& mark : kMarks) {
        if (fits(mark, jinja)) {
            return find_template_family(mark.family);
        }
    }
    return nullptr;
}

} // namespace llmk
