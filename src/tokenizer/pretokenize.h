// SPDX-License-Identifier: MIT
//
// Pre-tokenizers of byte-level BPE: how a text is cut into the words inside which pairs are merged. A row for each name
// that GGUF's tokenizer.ggml.pre gives; the cuts are those of the regular expressions that the models were trained
// with, written by hand over code points and their Unicode classes. Owns no merging and no special tokens.
#pragma once

#include "llmk/vocabulary.h"

#include <cstddef>

namespace llmk {

/// A stretch of a segment in bytes; empty at its end when there is nothing more.
struct Cut {
    size_t begin;
    size_t end;
};
/// The first match of one regular expression in `segment` at `from` or after it. `from` is where a match ended or 0.
using FindCut = Cut (*)(std::string_view segment, size_t from);

/// What happens to the text as a whole before it is cut.
enum class Normalization : uint8_t { none, nfc };

struct PreTokenizer {
    std::string_view name;
    /// One after the other: each cuts the pieces of the one before into its matches and what lies between them.
    std::span<const FindCut> passes;
    Normalization normalization;
    /// For what a file may leave unsaid.
    bool add_bos;
    bool ignore_merges;
};

/// The row of a name, null when there is none. The empty name is "default".
const PreTokenizer* find_pre_tokenizer(std::string_view name);
/// Every row, for lists of what is known.
std::span<const PreTokenizer> pre_tokenizers();

/// Calls `word` with each word of `text`, in order; joined they are the text. A byte that is no UTF-8 is a symbol.
void pre_tokenize(const PreTokenizer& pre, std::string_view text, void* context,
                  void (*word)(void* context, std::string_view word));

} // namespace llmk
