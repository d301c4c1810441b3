// SPDX-License-Identifier: MIT
//
// The host tool's modes as commands, with the same flags.
#include "repl/commands.h"

namespace llmk {

namespace {

constexpr size_t kMaxWords = 48;

ToolContext tool_context(Repl& repl)
{
    return {repl.engine(), &repl,
            [](void* context, std::string_view remark) { static_cast<Repl*>(context)->line(remark); },
            [](void* context) { return static_cast<Repl*>(context)->keys().interrupt_pending(); }};
}

/// Parses the flags of a typed line and runs a tool on the loaded model.
Result<void> run_tool(Repl& repl, Tool kind, std::string_view line,
                      Result<void> (*run)(ToolContext& tool, const ToolArgs& args))
{
    // A page of words: a list of ids can be as long as an input line.
    Vec<char> storage(repl.platform());
    TRY(storage.resize(line.size() + 1));
    std::string_view words[kMaxWords];
    const size_t count = TRY(split_words(line, storage.span(), words));
    ToolArgs args;
    TRY(parse_tool_args(kind, {words, count}, args));
    Engine& engine = repl.engine();
    if (!args.model.empty() || !args.tokenizer.empty() || args.context != 0 || args.threads != 1 || args.kv_type) {
        return fail(Status::invalid_argument,
                    "-m, --tokenizer, --ctx, --kv and -t are the host tool's: here it is the loaded "
                    "model as it stands");
    }
    const KernelChoice before = engine.kernels();
    if (!args.kernels.empty()) {
        TRY(engine.use_kernels(args.kernels));
    }
    ToolContext tool = tool_context(repl);
    auto result = run(tool, args);
    engine.restore_kernels(before);
    return result;
}

Result<void> generate(Repl& repl, std::string_view args) { return run_tool(repl, Tool::generate, args, tool_generate); }
Result<void> logits(Repl& repl, std::string_view args) { return run_tool(repl, Tool::logits, args, tool_logits); }
Result<void> bench(Repl& repl, std::string_view args)
{
    if (args == "read") {
        constexpr size_t kRuns = 5;
        ToolContext tool = tool_context(repl);
        return tool_bench_read(tool, kRuns);
    }
    return run_tool(repl, Tool::bench, args, tool_bench);
}

Result<void> tokens(Repl& repl, std::string_view args)
{
    return tool_tokens(repl.platform(), *repl.engine().model().tokenizer, args, BosRule::add);
}

constexpr Command kCommands[] = {
    {"generate", "[FLAGS]", "continue a prompt as the host tool does: -p TEXT -n N --temp T ...", generate},
    {"logits", "FLAGS", "logits of token ids to a file: --ids 1,2,3 -o FILE", logits},
    {"tokens", "TEXT", "the token ids of a text", tokens},
    {"bench", "[FLAGS|read]", "speed of prefill and decode: -p N -n N -r RUNS; or of reading the model", bench},
};

} // namespace

std::span<const Command> tool_commands() { return kCommands; }

} // namespace llmk
