// SPDX-License-Identifier: MIT
//
// GGUF versions 2 and 3, little-endian (github.com/ggml-org/ggml, docs/gguf.md): magic, version, counts, metadata,
// tensor infos, and tensor data from the next multiple of general.alignment on. Fills in a ModelDesc whatever the
// architecture; which keys and tensors one needs, and of what shape, is src/model's.
#pragma once

#include "format/formats.h"

namespace llmk::gguf {

/// "GGUF", or "FUGG", which is a big-endian one.
bool has_magic(std::span<const uint8_t> head, uint64_t file_size_bytes);
Result<void> parse(const ModelFile& file, ModelDesc& desc);

} // namespace llmk::gguf
