// SPDX-License-Identifier: MIT
//
// Inputs of the fuzz target that are kept.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_gguf
#include "fuzz/fuzz_gguf.cpp" // NOLINT(bugprone-suspicious-include): the target itself

TEST(Replay, fuzz_gguf) { llmk::replay("gguf", fuzz_gguf); }
