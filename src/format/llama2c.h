// SPDX-License-Identifier: MIT
//
// llama2.c's `.bin` models (github.com/karpathy/llama2.c, export.py: version 0 "legacy", 1 float32, 2 int8 in
// groups). Layouts are described in llama2c.cpp; the tokenizer that goes with them is in llama2c_tokenizer.h.
#pragma once

#include "format/formats.h"

namespace llmk::llama2c {

bool has_magic(std::span<const uint8_t> head, uint64_t file_size_bytes);
Result<void> parse_versioned(const ModelFile& file, ModelDesc& desc);

/// Version 0 has no magic: any file may be one; parse_legacy tells by its header and exact size.
bool may_be_legacy(std::span<const uint8_t> head, uint64_t file_size_bytes);
Result<void> parse_legacy(const ModelFile& file, ModelDesc& desc);

} // namespace llmk::llama2c
