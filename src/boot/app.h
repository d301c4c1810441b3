// SPDX-License-Identifier: MIT
//
// The application on any platform: banner, configuration, menu, chat, and back. The platforms' entry points call it.
#pragma once

#include "llmk/platform.h"

namespace llmk {

/// Runs until the person leaves; returns then (the caller gives the machine back to the firmware or the shell).
void run_app(Platform& platform);

} // namespace llmk
