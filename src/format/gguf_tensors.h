// SPDX-License-Identifier: MIT
//
// The tensor infos of a GGUF file: names, shapes, types, where the data lie.
#pragma once

#include "format/file_reader.h"

namespace llmk::gguf {

/// Reads `count` infos from where the reader stands, behind the metadata. Tensors with a role go to `desc.tensors`, in
/// the order of their offsets; all of them, with a role or without, must lie within the file and not on one another.
/// None is well: the file is a vocabulary only, and the data start may lie past its end.
Result<void> read_tensors(FileReader& reader, uint64_t count, uint64_t alignment, ModelDesc& desc);

} // namespace llmk::gguf
