// SPDX-License-Identifier: MIT
//
// Commands about the conversation and the model.
#include "mem/file_bytes.h"
#include "repl/commands.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr std::string_view kChatPath = "llmk-chat.txt";
constexpr std::string_view kChatMagic = "llmk-chat 1";
constexpr uint64_t kMaxChatBytes = 4u << 20; // of ids, some hundred thousand tokens

Result<void> help(Repl& repl, std::string_view args)
{
    bool found = args.empty();
    if (args.starts_with('/')) {
        args.remove_prefix(1);
    }
    for_each_command([&](const Command& command) {
        if (args.empty() || equal_ignore_case(args, command.name)) {
            repl.line("  {:<26} {}", Text<40>("/{} {}", command.name, command.usage), command.help);
            found = true;
        }
    });
    if (!found) {
        return fail(Status::invalid_argument, "/{} is not a command; /help lists all", args);
    }
    if (args.empty()) {
        repl.line("Anything else is said to the model. Esc or Ctrl-C stops an answer. A line that ends in \\ goes on.");
    }
    return success();
}

Result<void> version(Repl& repl, std::string_view)
{
    repl.line("LLM Bare-Metal " LLMK_VERSION " ({})", repl.platform().name());
    return success();
}

Result<void> model(Repl& repl, std::string_view)
{
    report_model(repl.engine().model().desc, repl.engine().session().plan(), repl);
    const ChatTemplate& how = repl.engine().chat().chat_template();
    report_template(*how.family, how.origin, repl);
    return success();
}

Result<void> models(Repl& repl, std::string_view)
{
    repl.shelf().list(repl);
    return success();
}

Result<void> load(Repl& repl, std::string_view args)
{
    if (args.empty()) {
        return fail(Status::invalid_argument, "/load NAME [keep|drop]; /models lists the names");
    }
    const size_t blank = std::min(args.rfind(' '), args.size());
    const auto last = tail(args, blank + 1);
    const bool says = last == "keep" || last == "drop";
    const auto path = TRY(repl.shelf().find(says ? trim(head(args, blank)) : args));
    // Everything that can be wrong with the file is said while the present model is still there.
    TRY(inspect_model(repl.platform(), path, {}));
    repl.request_model(path, last != "drop");
    return success();
}

Result<void> ctx(Repl& repl, std::string_view args)
{
    Engine& engine = repl.engine();
    if (!args.empty()) {
        const auto positions = parse_u64(args);
        const uint64_t most = engine.model().desc.context_length;
        if (!positions || *positions < 8 || *positions > most) {
            return fail(Status::invalid_argument, "/ctx: '{}' is not a size for it, expected 8 to {} positions", args,
                        most);
        }
        auto set = engine.set_context(*positions);
        if (!engine.loaded()) {
            repl.leave(ReplExit::menu);
        }
        if (!set.ok()) {
            return set;
        }
        repl.line("the conversation was forgotten");
    }
    repl.line("context: {} of {} positions in use, {} turns, KV cache in {}", engine.session().length(),
              engine.session().context(), engine.chat().turn_count(), kv_type_name(engine.session().plan().kv_type));
    return success();
}

Result<void> kv(Repl& repl, std::string_view args)
{
    Engine& engine = repl.engine();
    if (!args.empty()) {
        const auto type = parse_kv_type(args);
        if (!type) {
            return fail(Status::invalid_argument, "/kv: '{}' is not a type for it, expected f16, f32 or q8_0", args);
        }
        const KvType before = engine.session().plan().kv_type;
        auto set = engine.set_kv_type(*type);
        if (!engine.loaded()) {
            repl.leave(ReplExit::menu);
        }
        if (!set.ok()) {
            return set;
        }
        const KvType now = engine.session().plan().kv_type;
        if (now != *type) {
            repl.line("a head of {} values cannot be {}", engine.model().desc.head_dim, kv_type_name(*type));
        }
        if (now != before) {
            repl.line("the conversation was forgotten");
        }
    }
    const MemoryPlan& plan = engine.session().plan();
    repl.line("KV cache: {}, {} for {} positions", kv_type_name(plan.kv_type), human_bytes(plan.kv), plan.context);
    return success();
}

Result<void> stats(Repl& repl, std::string_view args)
{
    if (args == "on" || args == "off") {
        repl.show_stats(args == "on");
    } else if (!args.empty()) {
        return fail(Status::invalid_argument, "/stats on or /stats off");
    }
    repl.line("stats {}", repl.stats_shown() ? "on" : "off");
    return success();
}

Result<void> system_prompt(Repl& repl, std::string_view args)
{
    Chat& chat = repl.engine().chat();
    if (!args.empty()) {
        TRY(chat.set_system(args == "off" ? std::string_view() : args, repl.sink()));
        repl.line("the conversation starts anew");
    }
    repl.line("system: {}", chat.system().empty() ? std::string_view("(none)") : chat.system());
    return success();
}

Result<void> chat_template(Repl& repl, std::string_view args)
{
    Chat& chat = repl.engine().chat();
    if (!args.empty()) {
        const ChatTemplate how = TRY(repl.engine().find_chat_template(args));
        const size_t turns = chat.turn_count();
        TRY(chat.use_template(how, repl.sink()));
        if (turns > 0) {
            repl.line("{} of {} turns go on in this template", chat.turn_count(), turns);
        }
    }
    report_template(*chat.chat_template().family, chat.chat_template().origin, repl);
    if (args.empty()) {
        for (const TemplateFamily& family : template_families()) {
            repl.line("  {:<16} {}", family.name, family.about);
        }
        repl.line("  {:<16} what the file asks for", "auto");
    }
    return success();
}

Result<void> clear(Repl& repl, std::string_view)
{
    repl.engine().chat().clear();
    repl.line("the conversation starts anew");
    return success();
}

Result<void> undo(Repl& repl, std::string_view)
{
    if (!repl.engine().chat().undo()) {
        return fail(Status::not_found, "there is no turn to take back");
    }
    repl.line("the last turn was taken back; {} turns are left", repl.engine().chat().turn_count());
    return success();
}

Result<void> regen(Repl& repl, std::string_view)
{
    repl.regenerate();
    return success();
}

Result<void> read(Repl& repl, std::string_view args)
{
    if (args.empty()) {
        return fail(Status::invalid_argument, "/read FILE: a text file on this volume");
    }
    const Vec<uint8_t> text = TRY(read_file(repl.platform(), args, kMaxPromptBytes, "a prompt"));
    repl.say(as_text(text));
    return success();
}

Result<void> save(Repl& repl, std::string_view args)
{
    const auto path = args.empty() ? kChatPath : args;
    const auto tokens = repl.engine().chat().said();
    FileSink file(repl.platform(), path);
    file.line(kChatMagic);
    file.line("model {}", file_name(repl.engine().model().desc.path));
    file.line("vocab_size {}", repl.engine().model().desc.vocab_size);
    Text<200> ids;
    for (size_t i = 0; i < tokens.size(); ++i) {
        format(ids, "{}{}", ids.size() == 0 ? "" : " ", tokens[i]);
        if (ids.size() > 70 || i + 1 == tokens.size()) {
            file.line(ids.view());
            ids.clear();
        }
    }
    TRY(file.close());
    repl.line("{}: {} tokens", path, tokens.size());
    return success();
}

Result<void> resume(Repl& repl, std::string_view args)
{
    const auto path = args.empty() ? kChatPath : args;
    Engine& engine = repl.engine();
    const ModelDesc& desc = engine.model().desc;
    const Vec<uint8_t> text = TRY(read_file(repl.platform(), path, kMaxChatBytes, "a conversation"));
    std::string_view rest = as_text(text);
    const auto next_line = [&rest] {
        const size_t end = rest.find('\n');
        const auto line = trim(head(rest, end));
        rest = end == std::string_view::npos ? std::string_view() : tail(rest, end + 1);
        return line;
    };
    const auto magic = next_line();
    const auto name = next_line();
    const auto vocab = next_line();
    if (magic != kChatMagic || vocab != Text<40>("vocab_size {}", desc.vocab_size).view()) {
        return fail(Status::bad_format, "{}: not a conversation saved with a vocabulary of {} ({}, {})", path,
                    desc.vocab_size, magic, vocab);
    }
    Vec<Token> ids(repl.platform());
    TRY(ids.resize(engine.session().context()));
    size_t count = 0;
    for (auto word = next_word(rest); !word.empty(); word = next_word(rest)) {
        const auto id = parse_u64(word);
        if (!id || *id >= desc.vocab_size) {
            return fail(Status::bad_format, "{}: '{}' is not a token id below {}", path, word, desc.vocab_size);
        }
        if (count == engine.session().context()) {
            return fail(Status::invalid_argument, "{}: more tokens than the context's {}", path, count);
        }
        ids[count++] = static_cast<Token>(*id);
    }
    const size_t room = engine.session().context() - engine.chat().system_length();
    if (count > room) {
        return fail(Status::invalid_argument, "{}: {} tokens do not fit beside the system prompt, there is room for {}",
                    path, count, room);
    }
    engine.chat().clear();
    if (count > 0) {
        TRY(engine.chat().restore(ids.span().first(count), repl.sink()));
    }
    repl.line("{}: {} tokens, saved with {}", path, count, tail(name, 6));
    return success();
}

Result<void> reset(Repl& repl, std::string_view)
{
    repl.reset_settings();
    TRY(repl.engine().chat().set_system({}, repl.sink()));
    repl.show_stats(true);
    repl.shelf().apply_config();
    repl.line("settings are as at the start; the conversation starts anew");
    return success();
}

constexpr Command kCommands[] = {
    {"help", "[COMMAND]", "this list", help},
    {"version", "", "what this is", version},
    {"model", "", "what is loaded", model},
    {"models", "", "what is on the volume", models},
    {"load", "NAME [keep|drop]", "another model; the conversation goes on with it, or is dropped", load},
    {"ctx", "[N]", "context: positions in use; or set how many there are", ctx},
    {"kv", "[f16|f32|q8_0]", "how the KV cache is packed; or set it", kv},
    {"stats", "[on|off]", "the line that closes each turn", stats},
    {"system", "[TEXT|off]", "a text in front of the conversation", system_prompt},
    {"template", "[NAME|auto]", "how the conversation is put to the model", chat_template},
    {"clear", "", "forget the conversation", clear},
    {"undo", "", "take the last turn back", undo},
    {"regen", "", "make the last answer anew", regen},
    {"read", "FILE", "say a text file to the model", read},
    {"save", "[FILE]", "keep the conversation on the volume", save},
    {"resume", "[FILE]", "go on with a kept conversation", resume},
    {"reset", "", "settings and conversation as at the start", reset},
};

} // namespace

std::span<const Command> session_commands() { return kCommands; }

} // namespace llmk
