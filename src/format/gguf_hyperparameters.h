// SPDX-License-Identifier: MIT
//
// The numbers of a GGUF file that describe its model: "llama.block_count" and the like, whatever the architecture.
// Which of them one needs is src/model's.
#pragma once

#include "format/gguf_metadata.h"
#include "format/model_desc.h"

namespace llmk::gguf {

/// Fills `desc` from the keys of `desc.architecture`. A key that is missing leaves what ModelDesc starts with; one of
/// the wrong type, or a number that cannot be, is an error that names it.
Result<void> read_hyperparameters(const Metadata& metadata, ModelDesc& desc);

} // namespace llmk::gguf
