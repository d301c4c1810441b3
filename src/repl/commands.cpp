// SPDX-License-Identifier: MIT
#include "repl/commands.h"

namespace llmk {

namespace {

const Command* find_command(std::string_view name)
{
    const Command* found = nullptr;
    for_each_command([&](const Command& command) {
        if (equal_ignore_case(command.name, name)) {
            found = &command;
        }
    });
    return found;
}

std::string_view nearest_name(std::string_view name)
{
    std::string_view best;
    size_t distance = SIZE_MAX;
    for_each_command([&](const Command& command) {
        const size_t here = edit_distance(command.name, name);
        if (here < distance) {
            distance = here;
            best = command.name;
        }
    });
    return best;
}

} // namespace

Result<void> run_command(Repl& repl, std::string_view input)
{
    std::string_view rest = tail(input, 1);
    const auto name = next_word(rest);
    const Command* command = find_command(name);
    if (command == nullptr) {
        return fail(Status::invalid_argument, "/{} is not a command; did you mean /{}? /help lists all", name,
                    nearest_name(name));
    }
    const auto args = trim(rest);
    if (command->usage.empty() && !args.empty()) {
        return fail(Status::invalid_argument, "/{} takes no arguments", command->name);
    }
    return command->run(repl, args);
}

size_t complete_command(void*, std::string_view before, CompletionSink& sink)
{
    if (before.empty() || before[0] != '/' || before.find(' ') != std::string_view::npos) {
        return before.size();
    }
    for_each_command([&](const Command& command) {
        if (command.name.starts_with(tail(before, 1))) {
            sink.add(Text<40>("/{}{}", command.name, command.usage.empty() ? "" : " "));
        }
    });
    return 0;
}

} // namespace llmk
