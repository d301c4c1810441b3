// SPDX-License-Identifier: MIT
//
// Tiny GGUF models of each architecture with pseudo-random weights, the same in every run. Writes bytes only.
#pragma once

#include "fake/gguf_file.h"

namespace llmk {

/// Every architecture there is a tiny model of.
inline constexpr const char* kTinyArchitectures[] = {"gemma2", "gemma3", "gpt2", "llama", "phi3", "qwen2", "qwen3"};

/// Three layers, four heads over two of keys (three over three: gpt2, phi3), 64 positions, 290 tokens; windows of 8
/// positions where the architecture knows windows; whatever tensors it may have beside those it must have are missing.
GgufFile tiny_arch(const std::string& architecture, uint32_t seed = 1);

/// Adds a tensor of float32 values around `middle`. One row is one dimension.
void add_tensor(GgufFile& file, const std::string& name, uint64_t rows, uint64_t cols, float middle, uint32_t seed);

} // namespace llmk
