// SPDX-License-Identifier: MIT
//
// Inputs of the fuzz target that are kept.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_tokenizer
#include "fuzz/fuzz_tokenizer.cpp" // NOLINT(bugprone-suspicious-include): the target itself

TEST(Replay, fuzz_tokenizer) { llmk::replay("tokenizer", fuzz_tokenizer); }
