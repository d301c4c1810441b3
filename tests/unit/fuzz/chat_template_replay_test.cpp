// SPDX-License-Identifier: MIT
//
// Inputs of the fuzz target that are kept.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_chat_template
#include "fuzz/fuzz_chat_template.cpp" // NOLINT(bugprone-suspicious-include): the target itself

TEST(Replay, fuzz_chat_template) { llmk::replay("chat_template", fuzz_chat_template); }
