// SPDX-License-Identifier: MIT
//
// `llmk`, the host tool: the same sources as the EFI binary behind a command line. Results go to standard output,
// everything else to standard error; a failure is one line there and exit code 1.
#include "boot/app.h"
#include "platform/host/host_platform.h"
#include "repl/tools.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

using namespace llmk;

constexpr const char* kUsage =
    "usage: llmk generate -m FILE [-p TEXT] [-n N] [--temp T] [--top-p P] [--seed S] [--ids]\n"
    "       llmk tokens (-m FILE | --tokenizer FILE) [--no-bos] [--parse-special] [-p TEXT | --null]\n"
    "       llmk render -m FILE [--template NAME] [--system TEXT] [--ids] [-p TEXT]\n"
    "       llmk logits -m FILE --ids 1,2,3 -o FILE.f32\n"
    "       llmk info -m FILE\n"
    "       llmk bench -m FILE [-p N] [-n N] [-t THREADS] [-r RUNS] [--json]\n"
    "       llmk repl --esp DIR [-t THREADS] [--kernels NAME] [--template NAME] [--system TEXT]\n";

struct Mode {
    const char* name;
    Tool tool;
    Result<void> (*run)(Platform& platform, const ToolArgs& args);
};

void remark_to_stderr(void*, std::string_view line)
{
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

Result<void> with_engine(Platform& platform, const ToolArgs& args,
                         Result<void> (*run)(ToolContext& tool, const ToolArgs& args))
{
    if (args.model.empty()) {
        return fail(Status::invalid_argument, "-m FILE is needed: the model");
    }
    Engine engine(platform);
    engine.keep_processors(); // -t says how many
    TRY(engine.start(args.kernels));
    engine.want_kv_type(args.kv_type.value_or(KvType::f16));
    TRY(engine.load(args.model, args.tokenizer, args.context, {}));
    ToolContext tool{engine, nullptr, remark_to_stderr, nullptr};
    return run(tool, args);
}

std::string read_standard_input()
{
    std::string text;
    char buffer[4096];
    while (const size_t got = std::fread(buffer, 1, sizeof buffer, stdin)) {
        text.append(buffer, got);
    }
    return text;
}

/// Modes that run no kernels refuse a set that the processor lacks all the same.
Result<void> check_kernels(std::string_view name)
{
    if (!name.empty() && name != "auto") {
        TRY(complete_kernel_set(name, detect_cpu()));
    }
    return success();
}

/// A line of ids for the prompt, for standard input, or for each text on it that a NUL ends.
Result<void> print_tokens(Platform& platform, const Tokenizer& tokenizer, const ToolArgs& args)
{
    const auto print = [&](std::string_view text) {
        return tool_tokens(platform, tokenizer, text, args.no_bos ? BosRule::omit : BosRule::add,
                           args.parse_special ? SpecialText::parse : SpecialText::plain);
    };
    if (args.prompt) {
        return print(*args.prompt);
    }
    const std::string input = read_standard_input();
    if (!args.null) {
        return print(input);
    }
    for (size_t at = 0; at < input.size();) {
        const size_t end = std::min(input.find('\0', at), input.size());
        TRY(print(head(tail(input, at), end - at)));
        at = end + 1;
    }
    return success();
}

/// Loads the vocabulary that the flags name, and runs `use` with it. It needs no weights and no architecture: files
/// with nothing else will do.
template <class Use> Result<void> with_vocabulary(Platform& platform, const VocabularyDesc& desc, const Use& use)
{
    LoadedTokenizer tokenizer;
    Arena arena;
    const auto load = [&]() -> Result<void> {
        TRY(arena.add_extent(platform, LoadedTokenizer::bytes(desc)));
        TRY(tokenizer.load(platform, desc, arena));
        return use(*tokenizer.get());
    };
    auto result = load();
    arena.release(platform);
    return result;
}

Result<void> run_tokens(Platform& platform, const ToolArgs& args)
{
    TRY(check_kernels(args.kernels));
    if (args.model.empty() && args.tokenizer.empty()) {
        return fail(Status::invalid_argument, "-m FILE or --tokenizer FILE is needed");
    }
    if (args.null && args.prompt) {
        return fail(Status::invalid_argument, "--null reads texts from standard input; leave out -p");
    }
    VocabularyDesc desc;
    if (args.model.empty()) {
        desc = TRY(describe_vocabulary(platform, args.tokenizer, 0));
    } else {
        const ModelDesc model = TRY(describe_model(platform, args.model));
        desc = TRY(find_vocabulary(platform, model, args.tokenizer));
    }
    return with_vocabulary(platform, desc,
                           [&](const Tokenizer& tokenizer) { return print_tokens(platform, tokenizer, args); });
}

Result<void> run_render(Platform& platform, const ToolArgs& args)
{
    TRY(check_kernels(args.kernels));
    if (args.model.empty()) {
        return fail(Status::invalid_argument, "-m FILE is needed: the model");
    }
    const ModelDesc model = TRY(describe_model(platform, args.model));
    const VocabularyDesc desc = TRY(find_vocabulary(platform, model, args.tokenizer));
    const std::string text = args.prompt ? std::string(*args.prompt) : read_standard_input();
    return with_vocabulary(platform, desc, [&](const Tokenizer& tokenizer) {
        return tool_render(platform, model, tokenizer, text, args);
    });
}

Result<void> run_info(Platform& platform, const ToolArgs& args)
{
    if (args.model.empty()) {
        return fail(Status::invalid_argument, "-m FILE is needed: the model");
    }
    TRY(check_kernels(args.kernels));
    return tool_info(platform, args);
}

constexpr Mode kModes[] = {
    {"generate", Tool::generate,
     [](Platform& platform, const ToolArgs& args) { return with_engine(platform, args, tool_generate); }},
    {"tokens", Tool::tokens, run_tokens},
    {"render", Tool::render, run_render},
    {"logits", Tool::logits,
     [](Platform& platform, const ToolArgs& args) { return with_engine(platform, args, tool_logits); }},
    {"info", Tool::info, run_info},
    {"bench", Tool::bench,
     [](Platform& platform, const ToolArgs& args) { return with_engine(platform, args, tool_bench); }},
};

int complain(std::string_view message)
{
    std::fprintf(stderr, "llmk: %.*s\n", static_cast<int>(message.size()), message.data());
    return 1;
}

int run_repl(std::span<const std::string_view> words)
{
    HostPlatform::Options options;
    AppOptions app;
    for (size_t i = 0; i < words.size(); i += 2) {
        const std::string_view value = i + 1 < words.size() ? words[i + 1] : std::string_view();
        const uint64_t threads = words[i] == "-t" ? parse_u64(value).value_or(0) : 0;
        if (words[i] == "--esp" && !value.empty()) {
            options.root = value;
        } else if (words[i] == "--kernels" && !value.empty()) {
            app.kernels = value;
        } else if (words[i] == "--tokenizer" && !value.empty()) {
            app.tokenizer = value;
        } else if (words[i] == "--template" && !value.empty()) {
            app.chat_template = value;
        } else if (words[i] == "--system" && !value.empty()) {
            app.system = value;
        } else if (threads > 0) {
            options.threads = threads;
        } else {
            return complain("repl: expected --esp DIR [-t THREADS] [--kernels NAME] [--tokenizer FILE] [--template "
                            "NAME] [--system TEXT]");
        }
    }
    if (options.root.empty()) {
        return complain("repl: --esp DIR is needed: the folder that stands for the stick");
    }
    // A set that cannot run is no reason to start with another one: on a command line somebody meant it.
    auto forced = check_kernels(app.kernels);
    if (!forced.ok()) {
        return complain(forced.error().message);
    }
    HostPlatform platform(options);
    run_app(platform, app);
    return 0;
}

int run_mode(const Mode& mode, std::span<const std::string_view> words)
{
    for (const auto word : words) {
        if (word == "--help") {
            Text<4096> flags;
            describe_flags(mode.tool, flags);
            std::printf("usage: llmk %s [flags]\n%.*s", mode.name, static_cast<int>(flags.size()), flags.view().data());
            return 0;
        }
    }
    ToolArgs args;
    auto parsed = parse_tool_args(mode.tool, words, args);
    if (!parsed.ok()) {
        return complain(parsed.error().message);
    }
    if (args.threads == 0 || args.threads > 1024) {
        return complain("-t: expected 1 to 1024 threads");
    }
    HostPlatform platform({.root = "", .threads = args.threads, .memory_bytes = 0});
    auto result = mode.run(platform, args);
    return result.ok() ? 0 : complain(result.error().message);
}

} // namespace

int main(int argc, char** argv)
{
    std::vector<std::string_view> words(argv + 1, argv + argc);
    if (words.empty() || words[0] == "--help" || words[0] == "help") {
        std::fputs(kUsage, words.empty() ? stderr : stdout);
        return words.empty() ? 1 : 0;
    }
    if (words[0] == "--version") {
        std::puts("llmk " LLMK_VERSION);
        return 0;
    }
    const std::span<const std::string_view> rest(words.data() + 1, words.size() - 1);
    if (words[0] == "repl") {
        return run_repl(rest);
    }
    for (const Mode& mode : kModes) {
        if (words[0] == mode.name) {
            return run_mode(mode, rest);
        }
    }
    return complain(Text<200>("'{}' is not a command; try llmk --help", words[0]));
}
