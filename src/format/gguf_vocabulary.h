// SPDX-License-Identifier: MIT
//
// The vocabulary of a GGUF file: the tokenizer.ggml.* keys. describe_vocabulary remembers where it lies, so that the
// menu need not hold it; load_vocabulary reads it. Builds no index: that is src/tokenizer's.
#pragma once

#include "format/gguf_metadata.h"
#include "mem/zones.h"

namespace llmk::gguf {

/// VocabularyKind::none when the file has no vocabulary at all; a part that is missing or of the wrong length is an
/// error that names the key.
Result<VocabularyDesc> describe_vocabulary(const Metadata& metadata, std::string_view path);

/// Bytes of arena that load_vocabulary takes at most.
uint64_t vocabulary_bytes(const VocabularyDesc& desc);

/// Reads it into `arena`. Pieces of SentencePiece come with blanks for U+2581. A plain Vocabulary has no merges.
Result<BpeVocabulary> load_vocabulary(Platform& platform, const VocabularyDesc& desc, Arena& arena);

} // namespace llmk::gguf
