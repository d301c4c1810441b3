// SPDX-License-Identifier: MIT
//
// A vocabulary as a file gives it: what src/format reads and src/tokenizer builds its index over. The two know nothing
// else of each other. All of it is views of memory that somebody else owns; what a file may get wrong (ids past the
// end, merges without a blank) is checked by src/tokenizer, but for offsets and lengths, which lie within their text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace llmk {

/// One entry; its id is its index.
struct VocabularyEntry {
    uint32_t offset; ///< of its bytes in Vocabulary::text
    uint32_t length; ///< in bytes
    float score;     ///< of a SentencePiece BPE merge: the highest goes first; never NaN; not used by byte-level BPE
};

/// What an entry is, with the numbers of GGUF's tokenizer.ggml.token_type; another number counts as undefined.
enum class TokenType : uint8_t {
    undefined = 0,    ///< taken for normal
    normal = 1,       ///< text
    unknown = 2,      ///< what has no other spelling
    control = 3,      ///< structure (BOS, "<|im_start|>"): read from templates only, never printed
    user_defined = 4, ///< text that is one token wherever it stands
    unused = 5,       ///< never made from text
    byte = 6,         ///< one raw byte, spelled "<0x0A>"
};

/// Ids by their part, from tokenizer.ggml.*_token_id; what the file does not say is empty. An id that is not below
/// the number of entries counts as not said.
struct SpecialTokens {
    std::optional<uint32_t> bos;
    std::optional<uint32_t> eos;
    std::optional<uint32_t> eot; ///< end of a turn
    std::optional<uint32_t> eom; ///< end of a message that a tool shall answer
    std::optional<uint32_t> unk;
    std::optional<uint32_t> pad;
};

/// tokenizer.ggml.add_bos_token and its like; empty where the file does not say: the tokenizer then does what its kind
/// does.
struct TokenizerFlags {
    std::optional<bool> add_bos; ///< a text starts with BOS; SentencePiece: yes; byte-level: as the pre-tokenizer
    std::optional<bool> add_eos; ///< a text ends with EOS; no
    std::optional<bool> add_space_prefix; ///< a text starts with a blank of ours; SentencePiece: yes; byte-level: never
    std::optional<bool> ignore_merges;    ///< a whole word that is an entry is taken as it is; as the pre-tokenizer
};

/// SentencePiece (tokenizer.ggml.model "llama") and llama2.c. Entries are spelled as text, with blanks: a file's
/// U+2581 has been replaced. `types` is empty (id 0 is unknown, 1 BOS, 2 EOS, "<0xNN>" bytes, the rest normal) or as
/// long as `entries`. Special ids not said are 0, 1 and 2 likewise.
struct Vocabulary {
    std::span<const VocabularyEntry> entries;
    std::string_view text;
    std::span<const TokenType> types = {};
    SpecialTokens special = {};
    TokenizerFlags flags = {};

    std::string_view entry_text(uint32_t id) const { return {text.data() + entries[id].offset, entries[id].length}; }
    TokenType type(uint32_t id) const { return id < types.size() ? types[id] : TokenType::undefined; }
};

/// A stretch of BpeVocabulary::merge_text.
struct MergeSpelling {
    uint32_t offset;
    uint32_t length; ///< in bytes
};

/// Byte-level BPE (tokenizer.ggml.model "gpt2"). Normal entries and merges are spelled as the file has them, in GPT-2's
/// alphabet, where each byte is a printable character ("Ġthe" is " the"); control and user-defined entries are plain
/// text. `types` may be empty: all are normal then. Neither `entries`, `text`, `types` nor the merges are looked at
/// after BpeTokenizer::build(), so they may stand in scratch memory.
struct BpeVocabulary : Vocabulary {
    std::span<const MergeSpelling> merges = {}; ///< "left right", each; the first goes first: an index is a rank
    std::string_view merge_text = {};

    std::string_view merge(uint32_t rank) const
    {
        return {merge_text.data() + merges[rank].offset, merges[rank].length};
    }
};

} // namespace llmk
