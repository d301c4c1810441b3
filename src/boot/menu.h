// SPDX-License-Identifier: MIT
//
// The model menu: shows what was found, lets a person or a countdown choose. Owns the screen while it runs; finds and
// loads nothing.
//
//   Up Down PageUp PageDown Home End   choose        Enter        start
//   a digit                            start that    digits Enter when there are more than nine
//   R                                  look again    Esc Q Ctrl-C leave
//
// Drawn with plain writes and cursor steps, so that it works on a firmware screen and over a serial line, where only
// what changed is sent.
#pragma once

#include "repl/keys.h"

#include <optional>

namespace llmk {

/// One line. About 1 KiB, so a list of them is not for the stack.
struct MenuEntry {
    Text<128> name;
    Text<384> path;
    bool loadable = false;
    Text<320> reason; ///< why not, one sentence
    Text<16> type;    ///< of the weights, "f32", "Q4_K"
    uint64_t parameters = 0;
    uint64_t size_bytes = 0;
    uint32_t file_count = 1;   ///< of a split model; the size is that of all
    uint64_t context = 0;      ///< tokens
    uint64_t memory_bytes = 0; ///< needed in all; numbers that are 0 are shown as unknown
    Text<16> architecture;
    Text<24> kind; ///< "story", "chat": which demo prompt is suggested
};

struct MenuOptions {
    std::string_view title;
    std::string_view note;         ///< something to say above the list, e.g. why the last model did not start
    std::string_view default_name; ///< a name or path of an entry (is_meant in boot/candidates.h)
    /// A countdown to the default entry, else to the first loadable one; 0 does not even draw. Nothing: no countdown.
    std::optional<uint64_t> timeout_seconds;
    bool start_only_one = true; ///< when exactly one entry is loadable, start it without asking
};

enum class MenuAction : uint8_t {
    start,
    rescan,
    leave,
};

struct MenuChoice {
    MenuAction action;
    size_t index; ///< when starting; that entry is loadable
};

/// The screen is empty when it returns, unless nothing was drawn.
MenuChoice run_menu(Platform& platform, KeyQueue& keys, std::span<const MenuEntry> entries, const MenuOptions& options);

} // namespace llmk
