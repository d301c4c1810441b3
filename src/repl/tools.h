// SPDX-License-Identifier: MIT
//
// What the host tool and the REPL's /generate, /logits, /bench and the like do: the same code behind both. Results go
// to the console, byte for byte; remarks go to `remark`, which the host tool sends to standard error.
#pragma once

#include "engine/engine.h"
#include "repl/tool_args.h"

namespace llmk {

struct ToolContext {
    Engine& engine;
    void* context = nullptr;
    /// One line without newline.
    void (*remark)(void* context, std::string_view line) = nullptr;
    /// True when the person wants it to end.
    bool (*interrupted)(void* context) = nullptr;

    Interrupt interrupt() const { return {context, interrupted}; }
};

/// Continues the prompt as llama2.c's run.c does: -n steps in all, ends at BOS, prints what run.c prints. With --ids
/// the ids instead, BOS and prompt included. Starts from an empty context; what was said before is forgotten.
Result<void> tool_generate(ToolContext& tool, const ToolArgs& args);

/// Runs ids and writes the logits of every position to a file. Starts from an empty context.
Result<void> tool_logits(ToolContext& tool, const ToolArgs& args);

/// Prints the ids of a text, parted by blanks, and a newline.
Result<void> tool_tokens(Platform& platform, const Tokenizer& tokenizer, std::string_view text, BosRule bos,
                         SpecialText special = SpecialText::plain);

/// Prints a conversation as the model would see it, or its ids. It is text: a line "[system]", "[user]" or
/// "[assistant]" begins a message, which goes on to the next such line; a text without them is one user's message.
/// Behind a last user's message an answer is asked for.
Result<void> tool_render(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                         std::string_view conversation, const ToolArgs& args);

/// Prints what a model file says and what it needs, one `key: value` a line.
Result<void> tool_info(Platform& platform, const ToolArgs& args);

/// Reads the loaded model's files in a bare loop, `runs` times, and prints its speed and the load's beside it.
Result<void> tool_bench_read(ToolContext& tool, size_t runs);

/// Prints prefill and decode speed as medians, and the share of the read bandwidth measured beside them.
Result<void> tool_bench(ToolContext& tool, const ToolArgs& args);

} // namespace llmk
