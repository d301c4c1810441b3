// SPDX-License-Identifier: MIT
//
// llama2.c's tokenizer.bin (tokenizer.py, export): int32 max_token_length, then for each id float32 score, int32 length
// and that many bytes. There is no count: the model's vocab_size says how many.
#pragma once

#include "format/model_desc.h"
#include "mem/zones.h"

namespace llmk::llama2c {

/// Bytes of arena that load_vocabulary takes at most for a file of this size.
uint64_t vocabulary_bytes(uint64_t file_size_bytes, uint64_t vocab_size);

/// Counts and checks the entries of a file's bytes: exactly `vocab_size` of them, nothing behind. 0 takes any number.
/// Returns the number of entries.
Result<uint64_t> check_tokenizer(std::string_view path, std::span<const uint8_t> bytes, uint64_t vocab_size);

/// Reads the file into `arena`. vocab_size 0 takes what the file holds.
Result<Vocabulary> load_vocabulary(Platform& platform, std::string_view path, uint64_t vocab_size, Arena& arena);

/// Finds the tokenizer beside a model: NAME.tok.bin (the model's name without .bin), then tokN.bin with N the
/// vocabulary size, then tokenizer.bin. Status::not_found names the three.
Result<Text<256>> find_tokenizer(Platform& platform, std::string_view model_path, uint64_t vocab_size);

/// Checks a file as a tokenizer of `vocab_size` entries (0: any number) and keeps nothing of it: for the menu.
Result<VocabularyDesc> probe_tokenizer(Platform& platform, std::string_view path, uint64_t vocab_size);

} // namespace llmk::llama2c
