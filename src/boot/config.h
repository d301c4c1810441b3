// SPDX-License-Identifier: MIT
//
// `llmk.cfg`, the settings file on the stick. Owns its syntax, its keys and their ranges; does not apply anything.
//
//   # a comment is a line of its own, or follows a number or a word
//   temp = 0.8
//   Default = stories15M.bin
//   system = "Be brief.\nBe kind."
//
// One `key = value` a line; letter case of keys does not matter; LF or CRLF; UTF-8, with or without a byte order mark.
// A text is taken as it stands, blanks at its ends dropped; in double quotes it keeps them and knows \n \t \" \\.
// A bad line is named with its number and skipped. Of a key given twice the last counts, but each `stop` adds one.
#pragma once

#include "llmk/platform.h"
#include "model/kv_cache.h"

#include <optional>

namespace llmk {

inline constexpr std::string_view kConfigPath = "llmk.cfg";
inline constexpr size_t kConfigMaxBytes = 64 * 1024;

/// What the file says; what it does not say is empty. About 5 KiB.
struct Config {
    static constexpr size_t kMaxStops = 4;

    // Sampling, named as the commands.
    std::optional<float> temp;
    std::optional<float> min_p;
    std::optional<float> top_p;
    std::optional<uint64_t> top_k;
    std::optional<uint64_t> norepeat;
    std::optional<float> repeat;
    std::optional<uint64_t> repeat_window; ///< second number of `repeat`, in tokens
    std::optional<uint64_t> max_tokens;
    std::optional<uint64_t> seed;
    std::optional<uint64_t> lookup;
    Text<64> stops[kMaxStops];
    size_t stop_count = 0;
    std::optional<bool> stats;

    // Which model, and when.
    std::optional<Text<256>> default_model;
    std::optional<uint64_t> timeout_seconds;
    std::optional<Text<256>> autorun;

    // The machine and the chat.
    std::optional<uint64_t> threads; ///< 0 is all
    std::optional<Text<16>> kernels;
    std::optional<uint64_t> context; ///< `ctx`, in tokens
    std::optional<KvType> kv_type;   ///< `kv`
    std::optional<Text<2048>> system;
    std::optional<Text<64>> chat_template; ///< `template`
    std::optional<Text<16>> keymap;
    std::optional<bool> bounce;
    std::optional<bool> log;
    std::optional<bool> strict_budget;
};

/// Receives one sentence a bad line, without a newline.
struct ConfigReport {
    void (*say)(void* context, std::string_view sentence);
    void* context;
};

enum class ConfigKind : uint8_t {
    real,
    count,
    flag_or_count,  ///< off is 0, on is the most
    real_and_count, ///< the count may be left out
    flag,           ///< on/off, yes/no, true/false, 1/0
    word,           ///< no blanks inside
    text,
};

struct ConfigValue {
    float real = 0;
    uint64_t count = 0;
    bool has_count = false;
    bool flag = false;
    std::string_view text;
};

/// A row of the table of keys.
struct ConfigKey {
    std::string_view name;
    ConfigKind kind;
    double least; ///< of numbers; of `real_and_count`, the real's
    double most;  ///< likewise; of texts, the most bytes
    std::string_view help;
    /// Returns what is wrong, or nothing.
    std::string_view (*store)(Config& config, const ConfigValue& value);
};

std::span<const ConfigKey> config_keys();

/// Reads a file's text into `config`, which keeps what the text does not mention.
void parse_config(std::string_view text, Config& config, const ConfigReport& report);

/// Reads `llmk.cfg` of the volume in use. That there is none is well; bad lines go to `report`; an error is a file that
/// cannot be read or is larger than kConfigMaxBytes.
Result<void> load_config(Platform& platform, Config& config, const ConfigReport& report);

} // namespace llmk
