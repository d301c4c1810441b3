// SPDX-License-Identifier: MIT
//
// Inputs of the fuzz target that are kept.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_gguf_shards
#include "fuzz/fuzz_gguf_shards.cpp" // NOLINT(bugprone-suspicious-include): the target itself

TEST(Replay, fuzz_gguf_shards) { llmk::replay("gguf_shards", fuzz_gguf_shards); }
