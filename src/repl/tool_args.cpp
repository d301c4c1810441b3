// SPDX-License-Identifier: MIT
#include "repl/tool_args.h"

namespace llmk {

namespace {

constexpr uint32_t bit(Tool tool) { return 1u << static_cast<unsigned>(tool); }
constexpr uint32_t kGenerate = bit(Tool::generate);
constexpr uint32_t kLogits = bit(Tool::logits);
constexpr uint32_t kTokens = bit(Tool::tokens);
constexpr uint32_t kRender = bit(Tool::render);
constexpr uint32_t kInfo = bit(Tool::info);
constexpr uint32_t kBench = bit(Tool::bench);
constexpr uint32_t kAll = kGenerate | kLogits | kTokens | kRender | kInfo | kBench;

struct Flag {
    std::string_view name;
    uint32_t tools;
    std::string_view value; ///< what the value is, for messages; empty for a switch
    std::string_view help;
    /// False when the value is malformed.
    bool (*set)(ToolArgs& args, std::string_view value);
};

template <auto Member> bool set_text(ToolArgs& args, std::string_view value)
{
    args.*Member = value;
    return true;
}
template <auto Member> bool set_switch(ToolArgs& args, std::string_view)
{
    args.*Member = true;
    return true;
}
template <auto Member> bool set_number(ToolArgs& args, std::string_view value)
{
    const auto number = parse_u64(value);
    if (number) {
        args.*Member = *number;
    }
    return number.has_value();
}
template <auto Member> bool set_count32(ToolArgs& args, std::string_view value)
{
    const auto number = parse_u64(value);
    const bool good = number && *number <= UINT32_MAX;
    if (good) {
        args.sampler.*Member = static_cast<uint32_t>(*number);
    }
    return good;
}
template <auto Member> bool set_real(ToolArgs& args, std::string_view value)
{
    const auto number = parse_f32(value);
    const bool good = number && *number >= 0.0f;
    if (good) {
        args.sampler.*Member = *number;
    }
    return good;
}
/// run.c's rule: what is not between 0 and 1 becomes 0.9.
bool set_top_p(ToolArgs& args, std::string_view value)
{
    const auto number = parse_f32(value);
    if (number) {
        args.sampler.top_p = *number < 0.0f || *number > 1.0f ? 0.9f : *number;
    }
    return number.has_value();
}

constexpr Flag kFlags[] = {
    {"-m", kAll, "FILE", "the model", set_text<&ToolArgs::model>},
    {"--tokenizer", kAll, "FILE", "the tokenizer, instead of the one beside the model", set_text<&ToolArgs::tokenizer>},
    {"--kernels", kAll, "NAME", "scalar, sse2, avx2, avx_vnni, avx512, avx512_vnni, amx_int8, amx_bf16 or auto",
     set_text<&ToolArgs::kernels>},
    {"--ctx", kGenerate | kLogits | kInfo | kBench, "N", "positions of the context, at most the model's",
     set_number<&ToolArgs::context>},
    {"--kv", kGenerate | kLogits | kInfo | kBench, "TYPE", "how the KV cache is packed: f16 (default), f32 or q8_0",
     [](ToolArgs& args, std::string_view value) {
         args.kv_type = parse_kv_type(value);
         return args.kv_type.has_value();
     }},
    {"-t", kGenerate | kLogits | kBench, "THREADS", "processors to use (the host tool only)",
     set_number<&ToolArgs::threads>},
    {"-p", kGenerate | kTokens, "TEXT", "the prompt", set_text<&ToolArgs::prompt>},
    {"-p", kRender, "TEXT", "the conversation, instead of standard input", set_text<&ToolArgs::prompt>},
    {"--template", kRender, "NAME", "the chat template, instead of the file's", set_text<&ToolArgs::chat_template>},
    {"--system", kRender, "TEXT", "the system prompt, instead of the conversation's", set_text<&ToolArgs::system>},
    {"-p", kBench, "N", "tokens of prefill (default 128)", set_text<&ToolArgs::prompt>},
    {"--context", kBench, "N", "positions that are in use before prefill and decode (default 0)",
     set_number<&ToolArgs::depth>},
    {"-n", kGenerate, "N", "steps, prompt included (default 256, 0 is the context)", set_number<&ToolArgs::count>},
    {"-n", kBench, "N", "tokens of decode (default 64)", set_number<&ToolArgs::count>},
    {"--temp", kGenerate, "T", "temperature (default 1.0, 0 is greedy)", set_real<&SamplerSettings::temperature>},
    {"--top-p", kGenerate, "P", "nucleus (default 0.9, 0 or 1 is off)", set_top_p},
    {"--top-k", kGenerate, "K", "0 is off (default)", set_count32<&SamplerSettings::top_k>},
    {"--min-p", kGenerate, "P", "0 is off (default)", set_real<&SamplerSettings::min_p>},
    {"--repeat", kGenerate, "X", "repetition penalty, 1 is off (default)", set_real<&SamplerSettings::repeat_penalty>},
    {"--repeat-window", kGenerate, "N", "tokens that the penalty looks back (default 64)",
     set_count32<&SamplerSettings::repeat_window>},
    {"--norepeat", kGenerate, "N", "no n-gram of this length twice, 0 is off (default)",
     set_count32<&SamplerSettings::no_repeat_ngram>},
    {"--loop-escape", kGenerate, "", "ban a token that closes a loop, once",
     [](ToolArgs& args, std::string_view) {
         args.sampler.loop_escape = true;
         return true;
     }},
    {"--lookup", kGenerate, "N", "tokens a pass may guess and run ahead, 0 is off (default); changes no output",
     set_number<&ToolArgs::lookup>},
    {"--lookup-always", kGenerate, "", "guess even where it does not pay", set_switch<&ToolArgs::lookup_always>},
    {"--seed", kGenerate, "S", "of the random stream (default: the clock)", set_number<&ToolArgs::seed>},
    {"--ids", kGenerate | kRender, "", "print token ids instead of text", set_switch<&ToolArgs::ids>},
    {"--ids", kLogits, "1,2,3", "the tokens to run", set_text<&ToolArgs::id_list>},
    {"--decode", kLogits, "", "token by token (GEMV) instead of in batches (GEMM)", set_switch<&ToolArgs::decode>},
    {"-o", kLogits, "FILE", "float32, one row of vocab_size a position", set_text<&ToolArgs::output>},
    {"--no-bos", kTokens, "", "without the BOS token", set_switch<&ToolArgs::no_bos>},
    {"--parse-special", kTokens, "", "read control tokens by their names", set_switch<&ToolArgs::parse_special>},
    {"--null", kTokens, "", "texts on standard input end at a NUL; a line of ids for each",
     set_switch<&ToolArgs::null>},
    {"-r", kBench, "RUNS", "speeds are the median of these (default 5)", set_number<&ToolArgs::runs>},
    {"--json", kBench, "", "one JSON object a line", set_switch<&ToolArgs::json>},
};

const Flag* find_flag(Tool tool, std::string_view name)
{
    for (const Flag& flag : kFlags) {
        if (flag.name == name && (flag.tools & bit(tool)) != 0) {
            return &flag;
        }
    }
    return nullptr;
}

} // namespace

Result<void> parse_tool_args(Tool tool, std::span<const std::string_view> words, ToolArgs& args)
{
    for (size_t i = 0; i < words.size(); ++i) {
        const Flag* flag = find_flag(tool, words[i]);
        if (flag == nullptr) {
            return fail(Status::invalid_argument, "'{}' is not a flag here; try --help", words[i]);
        }
        std::string_view value;
        if (!flag->value.empty()) {
            if (i + 1 == words.size()) {
                return fail(Status::invalid_argument, "{} needs a value: {} {}", flag->name, flag->name, flag->value);
            }
            value = words[++i];
        }
        if (!flag->set(args, value)) {
            return fail(Status::invalid_argument, "{}: '{}' is not a value for it, expected {} ({})", flag->name, value,
                        flag->value, flag->help);
        }
    }
    return success();
}

Result<size_t> split_words(std::string_view line, std::span<char> storage, std::span<std::string_view> words)
{
    size_t count = 0;
    size_t used = 0;
    size_t i = 0;
    while (true) {
        while (i < line.size() && (line[i] == ' ' || line[i] == '\t')) {
            ++i;
        }
        if (i == line.size()) {
            return count;
        }
        if (count == words.size() || storage.size() - used < line.size() - i) {
            return fail(Status::invalid_argument, "too many words on one line");
        }
        const size_t start = used;
        char quote = 0;
        for (; i < line.size() && (quote != 0 || (line[i] != ' ' && line[i] != '\t')); ++i) {
            char c = line[i];
            if (quote == 0 && (c == '"' || c == '\'')) {
                quote = c;
                continue;
            }
            if (quote != 0 && c == quote) {
                quote = 0;
                continue;
            }
            if (quote == '"' && c == '\\' && i + 1 < line.size()) {
                c = line[++i] == 'n' ? '\n' : line[i];
            }
            storage[used++] = c;
        }
        if (quote != 0) {
            return fail(Status::invalid_argument, "a quote ({}) is not closed", quote);
        }
        words[count++] = {storage.data() + start, used - start};
    }
}

void describe_flags(Tool tool, TextWriter& out)
{
    for (const Flag& flag : kFlags) {
        if ((flag.tools & bit(tool)) != 0) {
            const Text<32> usage("{} {}", flag.name, flag.value);
            format(out, "  {:<22} {}\n", usage, flag.help);
        }
    }
}

} // namespace llmk
