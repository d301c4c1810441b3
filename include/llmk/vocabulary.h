// SPDX-License-Identifier: MIT
//
// A vocabulary as a file gives it: what src/format reads and src/tokenizer builds its index over. The two know nothing
// else of each other.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace llmk {

/// One entry; its id is its index.
struct VocabularyEntry {
    uint32_t offset; ///< of its bytes in Vocabulary::text
    uint32_t length; ///< in bytes
    float score;     ///< of a SentencePiece BPE merge: the highest goes first; never NaN
};

/// Views of memory that somebody else owns.
struct Vocabulary {
    std::span<const VocabularyEntry> entries;
    std::string_view text;

    std::string_view entry_text(uint32_t id) const { return {text.data() + entries[id].offset, entries[id].length}; }
};

} // namespace llmk
