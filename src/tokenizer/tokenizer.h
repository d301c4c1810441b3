// SPDX-License-Identifier: MIT
//
// Text to token ids and back. One implementation a kind of vocabulary; src/model owns the one of the loaded model.
#pragma once

#include "mem/zones.h"

namespace llmk {

using Token = uint32_t;

enum class BosRule : uint8_t { add, omit };

class Tokenizer {
public:
    virtual uint32_t vocab_size() const = 0;
    virtual Token bos() const = 0;
    virtual Token eos() const = 0;

    /// Ids that encode() writes at most for a text of this many bytes.
    virtual uint64_t max_tokens(uint64_t text_bytes) const = 0;
    /// Bytes of scratch that encode() takes for a text of this many bytes.
    virtual uint64_t scratch_bytes(uint64_t text_bytes) const = 0;
    /// Writes the ids of `text` to `out`, which has room for max_tokens(text.size()), and returns how many. Working
    /// memory comes from `scratch` and goes back. Fails only when that is full.
    virtual Result<size_t> encode(std::string_view text, BosRule bos, std::span<Token> out, Arena& scratch) const = 0;

    /// The bytes a token stands for; possibly part of a character. `previous` matters where a leading blank is an
    /// artefact of the start (after BOS). Empty for ids past the vocabulary.
    virtual std::string_view piece(Token previous, Token token) const = 0;
    /// True for the tokens that stand for one raw byte ("<0x0A>").
    virtual bool is_byte(Token token) const = 0;

protected:
    ~Tokenizer() = default;
};

} // namespace llmk
