// SPDX-License-Identifier: MIT
//
// The tensor infos of a GGUF file: names, shapes, types, where the data lie.
#pragma once

#include "format/gguf_metadata.h"

namespace llmk::gguf {

/// Where a file's tensors are read into: its place among the parts of a model (from 0), and what its front said.
struct TensorSource {
    uint32_t shard;
    uint64_t count;
    uint64_t alignment;
};

/// Reads the infos from where the reader stands, behind the metadata. Tensors with a role go to `desc.tensors`, in the
/// order of files and offsets; all of them, with a role or without, must lie within the file and not on one another,
/// and have names that are not in `names` yet, which they go to. None is well: a file may be a vocabulary only, or the
/// first part of a split model, and then the data start may lie past its end.
Result<void> read_tensors(FileReader& reader, const TensorSource& source, NameTable& names, ModelDesc& desc);

} // namespace llmk::gguf
