// SPDX-License-Identifier: MIT
//
// Vocabularies wherever they lie: in the model's file, in a tokenizer.bin beside it, or in a GGUF file named by a
// person. Finds and reads them; builds no index.
#pragma once

#include "format/formats.h"
#include "mem/zones.h"

namespace llmk {

/// The vocabulary of a file, by its content: a GGUF's own, else a llama2.c tokenizer. It goes with a model of
/// `vocab_size` ids; 0 asks nothing.
Result<VocabularyDesc> describe_vocabulary(Platform& platform, std::string_view path, uint64_t vocab_size);

/// The one that belongs to a model: that of `tokenizer` when a person named a file, else the model file's own, else the
/// one beside it.
Result<VocabularyDesc> find_vocabulary(Platform& platform, const ModelDesc& model, std::string_view tokenizer);

/// Bytes of arena that load_vocabulary takes at most.
uint64_t vocabulary_bytes(const VocabularyDesc& desc);

/// Reads it into `arena`. Only byte-level BPE has merges.
Result<BpeVocabulary> load_vocabulary(Platform& platform, const VocabularyDesc& desc, Arena& arena);

} // namespace llmk
