// SPDX-License-Identifier: MIT
//
// Commands that set how tokens are drawn and when an answer ends. Each shows its value without an argument.
#include "repl/commands.h"

namespace llmk {

namespace {

/// One number of the chat's settings: how it is shown and set.
struct Setting {
    std::string_view name;
    double least;
    double most;
    bool whole;
    double (*get)(const ChatSettings& settings);
    void (*set)(ChatSettings& settings, double value);
};

constexpr Setting kSettings[] = {
    {"temp", 0, 5, false, [](const ChatSettings& s) { return static_cast<double>(s.sampler.temperature); },
     [](ChatSettings& s, double v) { s.sampler.temperature = static_cast<float>(v); }},
    {"min_p", 0, 1, false, [](const ChatSettings& s) { return static_cast<double>(s.sampler.min_p); },
     [](ChatSettings& s, double v) { s.sampler.min_p = static_cast<float>(v); }},
    {"top_p", 0, 1, false, [](const ChatSettings& s) { return static_cast<double>(s.sampler.top_p); },
     [](ChatSettings& s, double v) { s.sampler.top_p = static_cast<float>(v); }},
    {"top_k", 0, 1e6, true, [](const ChatSettings& s) { return static_cast<double>(s.sampler.top_k); },
     [](ChatSettings& s, double v) { s.sampler.top_k = static_cast<uint32_t>(v); }},
    {"norepeat", 0, 64, true, [](const ChatSettings& s) { return static_cast<double>(s.sampler.no_repeat_ngram); },
     [](ChatSettings& s, double v) { s.sampler.no_repeat_ngram = static_cast<uint32_t>(v); }},
    {"max_tokens", 1, 1e7, true, [](const ChatSettings& s) { return static_cast<double>(s.max_tokens); },
     [](ChatSettings& s, double v) { s.max_tokens = static_cast<uint32_t>(v); }},
};

const Setting* find_setting(std::string_view name)
{
    for (const Setting& setting : kSettings) {
        if (setting.name == name) {
            return &setting;
        }
    }
    return nullptr;
}

Result<double> parse_number(std::string_view name, std::string_view text, double least, double most, bool whole)
{
    const auto value = parse_f32(text);
    const bool in_range = value && static_cast<double>(*value) >= least && static_cast<double>(*value) <= most;
    if (!in_range || (whole && !parse_u64(text))) {
        const Text<16> lowest(whole ? "{:.0}" : "{:.1}", least);
        return fail(Status::invalid_argument, "{}: '{}' is not a value for it, expected a {} from {} to {:.0}", name,
                    text, whole ? "whole number" : "number", lowest, most);
    }
    return whole ? static_cast<double>(*parse_u64(text)) : static_cast<double>(*value);
}

/// "1.15", "1.15 64": penalty, and how many tokens it looks back.
Result<void> set_repeat(ChatSettings& settings, std::string_view args)
{
    const auto penalty = next_word(args);
    const double value = TRY(parse_number("repeat", penalty, 0.5, 5, false));
    const auto window = trim(args);
    if (!window.empty()) {
        settings.sampler.repeat_window =
            static_cast<uint32_t>(TRY(parse_number("repeat window", window, 1, 1e9, true)));
    }
    settings.sampler.repeat_penalty = static_cast<float>(value);
    return success();
}

Result<void> set_seed(Chat& chat, std::string_view args)
{
    const auto seed = parse_u64(args);
    if (!seed) {
        return fail(Status::invalid_argument, "seed: '{}' is not a whole number", args);
    }
    chat.reseed(*seed);
    return success();
}

/// `on` is as many as there is room for.
Result<void> set_lookup(ChatSettings& settings, std::string_view args)
{
    if (args == "on" || args == "off") {
        settings.lookup = args == "on" ? Lookup::kMostDrafted : 0;
        return success();
    }
    settings.lookup = static_cast<uint32_t>(TRY(parse_number("lookup", args, 0, Lookup::kMostDrafted, true)));
    return success();
}

/// `off` forgets all; anything else, in quotes or not, is one more.
Result<void> set_stop(ChatSettings& settings, std::string_view args)
{
    if (args == "off") {
        for (auto& stop : settings.stops) {
            stop.clear();
        }
        return success();
    }
    if (args.size() >= 2 && args.front() == '"' && args.back() == '"') {
        args = head(tail(args, 1), args.size() - 2);
    }
    for (auto& stop : settings.stops) {
        if (args.empty() || args.size() > stop.capacity()) {
            return fail(Status::invalid_argument, "stop: a text of 1 to {} bytes is expected", stop.capacity());
        }
        if (stop.size() == 0) {
            stop = args;
            return success();
        }
    }
    return fail(Status::invalid_argument, "stop: there are {} already; /stop off forgets them",
                ChatSettings::kMaxStops);
}

/// A handler for the settings that are one number: one function a row, since a command knows no name.
template <size_t Index> Result<void> number_command(Repl& repl, std::string_view args)
{
    const Setting& setting = kSettings[Index];
    if (!args.empty()) {
        TRY(apply_setting(repl.engine().chat(), setting.name, args));
    }
    const double value = setting.get(repl.engine().chat().settings);
    if (setting.whole) {
        repl.line("{} {}", setting.name, static_cast<uint64_t>(value));
    } else {
        repl.line("{} {:.3}", setting.name, value);
    }
    return success();
}

Result<void> repeat_command(Repl& repl, std::string_view args)
{
    ChatSettings& settings = repl.engine().chat().settings;
    if (!args.empty()) {
        TRY(set_repeat(settings, args));
    }
    repl.line("repeat {:.3} over {} tokens", settings.sampler.repeat_penalty, settings.sampler.repeat_window);
    return success();
}

Result<void> seed_command(Repl& repl, std::string_view args)
{
    if (!args.empty()) {
        TRY(set_seed(repl.engine().chat(), args));
    }
    repl.line("seed {}", repl.engine().chat().seed());
    return success();
}

Result<void> lookup_command(Repl& repl, std::string_view args)
{
    ChatSettings& settings = repl.engine().chat().settings;
    if (!args.empty()) {
        TRY(set_lookup(settings, args));
    }
    if (settings.lookup == 0) {
        repl.line("lookup off");
    } else {
        repl.line("lookup {}", settings.lookup);
    }
    return success();
}

Result<void> stop_command(Repl& repl, std::string_view args)
{
    ChatSettings& settings = repl.engine().chat().settings;
    if (!args.empty()) {
        TRY(set_stop(settings, args));
    }
    size_t count = 0;
    for (const auto& stop : settings.stops) {
        if (stop.size() > 0) {
            repl.line("stop \"{}\"", stop);
            ++count;
        }
    }
    if (count == 0) {
        repl.line("stop off");
    }
    return success();
}

constexpr Command kCommands[] = {
    {"temp", "[T]", "temperature; 0 is greedy", number_command<0>},
    {"min_p", "[P]", "drop tokens less likely than P times the likeliest; 0 is off", number_command<1>},
    {"top_p", "[P]", "draw from the likeliest tokens that make up P; 0 or 1 is off", number_command<2>},
    {"top_k", "[K]", "draw from the K likeliest tokens; 0 is off", number_command<3>},
    {"norepeat", "[N]", "no N tokens in a row twice; 0 is off", number_command<4>},
    {"repeat", "[X [WINDOW]]", "repetition penalty over the last WINDOW tokens; 1 is off", repeat_command},
    {"max_tokens", "[N]", "longest answer in tokens", number_command<5>},
    {"lookup", "[on|off|N]", "guess up to N tokens from what was said before; changes speed only", lookup_command},
    {"seed", "[N]", "start the random stream anew", seed_command},
    {"stop", "[TEXT|off]", "end an answer before this text; up to 4", stop_command},
};

} // namespace

std::span<const Command> sampling_commands() { return kCommands; }

Result<void> apply_setting(Chat& chat, std::string_view name, std::string_view args)
{
    if (const Setting* setting = find_setting(name)) {
        setting->set(chat.settings, TRY(parse_number(name, args, setting->least, setting->most, setting->whole)));
        return success();
    }
    if (name == "repeat") {
        return set_repeat(chat.settings, args);
    }
    if (name == "seed") {
        return set_seed(chat, args);
    }
    if (name == "stop") {
        return set_stop(chat.settings, args);
    }
    return fail(Status::invalid_argument, "{} is not a setting", name);
}

} // namespace llmk
