// SPDX-License-Identifier: MIT
//
// Inputs of the fuzz target that are kept.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_llama2c
#include "fuzz/fuzz_llama2c.cpp" // NOLINT(bugprone-suspicious-include): the target itself

TEST(Replay, fuzz_llama2c) { llmk::replay("llama2c", fuzz_llama2c); }
