// SPDX-License-Identifier: MIT
//
// The flags that `llmk generate`, `logits`, `tokens`, `render`, `info` and `bench` share with `/generate`, `/logits`
// and the like in the REPL: one table, parsed the same way from a shell's words and from a typed line.
#pragma once

#include "engine/sampler.h"
#include "model/kv_cache.h"

namespace llmk {

struct ToolArgs {
    std::string_view model;                 ///< -m
    std::string_view tokenizer;             ///< --tokenizer
    std::string_view kernels;               ///< --kernels
    std::string_view output;                ///< -o
    std::optional<std::string_view> prompt; ///< -p; of bench, a number of tokens
    std::string_view id_list;               ///< --ids of logits: "1,2,3"
    std::optional<uint64_t> count;          ///< -n
    uint64_t context = 0;                   ///< --ctx
    std::optional<KvType> kv_type;          ///< --kv
    uint64_t threads = 1;                   ///< -t
    uint64_t runs = 5;                      ///< -r
    uint64_t depth = 0;                     ///< --context of bench
    std::optional<uint64_t> seed;           ///< --seed
    SamplerSettings sampler;                ///< run.c's defaults, the extras off
    uint64_t lookup = 0;                    ///< --lookup
    bool lookup_always = false;             ///< --lookup-always
    bool ids = false;                       ///< --ids of generate
    bool no_bos = false;                    ///< --no-bos
    bool parse_special = false;             ///< --parse-special
    bool null = false;                      ///< --null: texts on standard input, each ended by a NUL
    std::string_view chat_template;         ///< --template
    std::string_view system;                ///< --system
    bool json = false;                      ///< --json
    bool decode = false;                    ///< --decode of logits: token by token instead of in batches
};

/// What a tool takes: bits of the table's rows, so that a flag that makes no sense there is an error.
enum class Tool : uint8_t { generate, logits, tokens, render, info, bench };

/// Parses words. An unknown flag, a missing or malformed value is one sentence. Views point into the words.
Result<void> parse_tool_args(Tool tool, std::span<const std::string_view> words, ToolArgs& args);

/// Splits a line as a shell would: blanks part words, "..." and '...' keep them together, and within "..." \" \\ \n
/// mean what they do in C. Words are written to `storage`. Status::invalid_argument for a quote left open.
Result<size_t> split_words(std::string_view line, std::span<char> storage, std::span<std::string_view> words);

/// One line a flag of the tool, for help.
void describe_flags(Tool tool, TextWriter& out);

} // namespace llmk
