// SPDX-License-Identifier: MIT
//
// The application on any platform: banner, configuration, menu, chat, and back. The platforms' entry points call it.
#pragma once

#include "llmk/platform.h"

namespace llmk {

/// What a command line may say; empty under firmware.
struct AppOptions {
    std::string_view kernels;       ///< goes before llmk.cfg's
    std::string_view tokenizer;     ///< for every model, instead of the one beside it
    std::string_view chat_template; ///< goes before llmk.cfg's
    std::string_view system;        ///< likewise
};

/// Runs until the person leaves; returns then (the caller gives the machine back to the firmware or the shell).
void run_app(Platform& platform, const AppOptions& options = {});

} // namespace llmk
