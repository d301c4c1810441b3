// SPDX-License-Identifier: MIT
//
// The table of REPL commands: one row each, one file a family. Help, completion and the nearest name come from it.
#pragma once

#include "repl/repl.h"

namespace llmk {

struct Command {
    std::string_view name;  ///< without the slash
    std::string_view usage; ///< arguments, "" for none
    std::string_view help;  ///< one line
    /// `args` is what follows the name, trimmed.
    Result<void> (*run)(Repl& repl, std::string_view args);
};

/// The families, each in its file.
std::span<const Command> session_commands();
std::span<const Command> sampling_commands();
std::span<const Command> system_commands();
std::span<const Command> tool_commands();

/// Runs "/name args". An unknown name is an error with the nearest one, never a prompt to the model.
Result<void> run_command(Repl& repl, std::string_view input);

/// A CompletionFunction for names of commands.
size_t complete_command(void* context, std::string_view before, CompletionSink& sink);

/// Applies one sampling setting by its command name ("temp", "top_k", ...), as llmk.cfg does. `args` as typed.
Result<void> apply_setting(Chat& chat, std::string_view name, std::string_view args);

/// Visits every row.
template <class Function> void for_each_command(const Function& function)
{
    for (const auto family : {session_commands(), sampling_commands(), tool_commands(), system_commands()}) {
        for (const Command& command : family) {
            function(command);
        }
    }
}

} // namespace llmk
