// SPDX-License-Identifier: MIT
//
// Text to token ids and back. One implementation a kind of vocabulary; src/model owns the one of the loaded model.
#pragma once

#include "mem/zones.h"

namespace llmk {

using Token = uint32_t;
/// No token: past every vocabulary.
constexpr Token kNoToken = 0xffffffffu;

/// Whether encode() puts around a text what the file wants there (BOS in front, with some files EOS behind).
enum class BosRule : uint8_t { add, omit };

/// What "<|im_end|>" is in a text: the letters, as when a person types them, or the token, as in a template. Added
/// tokens that are no structure (runs of blanks, say: TokenType::user_defined) are found in both.
enum class SpecialText : uint8_t { plain, parse };

/// Where a text stands: by itself, or behind another whose tokens are there already. SentencePiece's blank in front is
/// for texts that stand by themselves.
enum class TextStart : uint8_t { fresh, continued };

/// A stretch of a text in bytes: [begin, end).
struct TextRange {
    size_t begin;
    size_t end;
};

/// A text that is part a template's and part what a person typed: structure is found outside of `typed` only, though
/// words are cut and merged across its borders, as in any other text.
struct MarkedText {
    std::string_view text;
    std::span<const TextRange> typed; ///< in their order, not overlapping

    /// Bytes from `at` on within which structure may be found; 0 in what was typed.
    size_t structure_bytes(size_t at) const
    {
        for (const TextRange& range : typed) {
            if (at < range.end) {
                return at < range.begin ? range.begin - at : 0;
            }
        }
        return text.size() - at;
    }
};

class Tokenizer {
public:
    virtual uint32_t vocab_size() const = 0;
    /// kNoToken when the vocabulary has none.
    virtual Token bos() const = 0;
    virtual Token eos() const = 0;
    /// True for every token that ends an answer: EOS, end of turn, end of message, and their like by name.
    virtual bool is_end(Token token) const = 0;
    /// True for tokens that are structure, no text, and not to be printed.
    virtual bool is_control(Token token) const = 0;

    /// Ids that encode() writes at most for a text of this many bytes.
    virtual uint64_t max_tokens(uint64_t text_bytes) const = 0;
    /// Bytes of scratch that encode() takes for a text of this many bytes.
    virtual uint64_t scratch_bytes(uint64_t text_bytes) const = 0;
    /// Writes the ids of `text` to `out`, which has room for max_tokens(text.size()), and returns how many. Working
    /// memory comes from `scratch` and goes back. Fails only when that is full, or at texts past 512 MiB.
    Result<size_t> encode(std::string_view text, BosRule bos, std::span<Token> out, Arena& scratch,
                          SpecialText special = SpecialText::plain) const
    {
        const TextRange all{0, text.size()};
        const size_t typed = special == SpecialText::plain ? 1 : 0;
        return encode_text({text, {&all, typed}}, bos, TextStart::fresh, out, scratch);
    }
    /// The same of a template's text, without BOS and EOS around it.
    Result<size_t> encode_marked(const MarkedText& text, TextStart start, std::span<Token> out, Arena& scratch) const
    {
        return encode_text(text, BosRule::omit, start, out, scratch);
    }

    /// The bytes of text a token stands for; possibly part of a character. Empty for control tokens (but for
    /// llama2.c's, which are not marked) and for ids past the vocabulary. `previous` matters where a leading blank is
    /// an artefact of the start (after BOS).
    virtual std::string_view piece(Token previous, Token token) const = 0;
    /// What the file calls a token, control tokens included, for lists of ids. Empty past the vocabulary.
    virtual std::string_view name(Token token) const = 0;
    /// True for the tokens that stand for one raw byte ("<0x0A>").
    virtual bool is_byte(Token token) const = 0;

protected:
    ~Tokenizer() = default;

private:
    virtual Result<size_t> encode_text(const MarkedText& marked, BosRule bos, TextStart start, std::span<Token> out,
                                       Arena& scratch) const = 0;
};

} // namespace llmk
