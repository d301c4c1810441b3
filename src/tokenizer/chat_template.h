// SPDX-License-Identifier: MIT
//
// Chat templates: how a model was trained to see who speaks. A file holds its template as a Jinja program
// (tokenizer.chat_template); it is not run but recognised, by its markers, as one of the families here, which are
// patterns. What comes out has the ids of transformers' apply_chat_template, with one difference on purpose: a marker
// that a person typed is letters, not structure. Owns families, recognising and rendering; turns are src/engine's.
#pragma once

#include "mem/vec.h"
#include "tokenizer/tokenizer.h"

namespace llmk {

/// What is cut off a message before it is put in: nothing, what Python's str.strip() cuts, or blanks behind a marker
/// that swallows them (rstrip of added tokens).
enum class TrimRule : uint8_t { none, both, left, right };

/// A row of template_families(). In patterns {text} and {system} are the messages, {eos} is the vocabulary's EOS,
/// {date} the day; everything else is structure.
struct TemplateFamily {
    std::string_view name;
    std::string_view about = {};  ///< whose it is, in a few words
    std::string_view system = {}; ///< in front of the conversation when there is a system text
    std::string_view user = {};   ///< what a person says
    /// In place of `user` behind `system`, in families that have no system message: the first thing a person says
    /// follows it within one message. Empty in the others.
    std::string_view joined = {};
    std::string_view open = {};    ///< asks for an answer
    std::string_view thought = {}; ///< behind `open` for the answer that is to be made, but not for those before
    std::string_view lead = {};    ///< what an answer begins with by itself
    std::string_view close = {};   ///< behind an answer, to its end token
    std::string_view gap = {};     ///< between `close` and the next message, where that is one text with it
    TrimRule trim_system = TrimRule::none;
    TrimRule trim_user = TrimRule::none;
    TrimRule trim_joined = TrimRule::none;
    TrimRule trim_answer = TrimRule::none;
    std::string_view ends[3] = {};        ///< tokens that end an answer, beside the file's
    std::string_view stop = {};           ///< a text that ends it, in families without an end token of their own
    std::string_view default_system = {}; ///< when nobody says another
    bool always_system = false;           ///< `system` is there even with an empty text
    bool drops_thoughts = false;          ///< of earlier answers what stands before "</think>" is left out
    bool keeps_breaks = false;            ///< but not the line breaks behind it

    bool is_raw() const { return open.empty() && close.empty(); }
};

/// The last one is "raw": no template, the text as typed behind BOS, if the file wants one.
std::span<const TemplateFamily> template_families();
/// Letter case does not matter; null when there is none.
const TemplateFamily* find_template_family(std::string_view name);
const TemplateFamily& raw_family();

enum class BosPlace : uint8_t { none, front, each_turn };
enum class TemplateOrigin : uint8_t {
    absent,     ///< the file has none
    recognised, ///< in the file
    fallback,   ///< the file has one that is not known
    chosen,     ///< by a person
};

/// The template in force.
struct ChatTemplate {
    const TemplateFamily* family; ///< never null
    TemplateOrigin origin = TemplateOrigin::absent;
    BosPlace bos = BosPlace::none;
    Text<512> default_system; ///< the family's or the file's; empty when there is none
    Text<16> date;            ///< of families that name the day
};

/// ChatML's system text for when nobody gives another, as a file's template has it; empty if it has none.
std::string_view default_system_of(std::string_view jinja);
/// What a file's template is. An unknown one is chatml when the vocabulary has its markers, else raw, and `origin` is
/// fallback. `today` ("26 Jul 2024") serves templates that ask for the day. Working memory comes from `scratch`.
ChatTemplate recognise_template(std::string_view jinja, std::string_view today, const Tokenizer& tokenizer,
                                Arena& scratch);
/// Only the family: null when it is not known.
const TemplateFamily* recognise_family(std::string_view jinja);
/// A family that a person chose (or, for raw, nobody).
ChatTemplate template_of(const TemplateFamily& family, TemplateOrigin origin, const Tokenizer& tokenizer,
                         Arena& scratch);
/// The id of a token of that name, if the vocabulary has it as structure, else kNoToken.
Token special_token(const Tokenizer& tokenizer, std::string_view name, Arena& scratch);
/// What follows the thoughts of an answer, as the family's templates cut it; all of it when there are none.
std::string_view without_thoughts(const TemplateFamily& family, std::string_view answer);

/// A prompt while it is written: text with what a person typed marked in it, and tokens between.
class Prompt {
public:
    explicit Prompt(Platform& platform) : m_text(platform), m_typed(platform), m_breaks(platform) {}

    /// In front of a conversation: BOS, the system text (empty: the template's own, if any).
    Result<void> front(const ChatTemplate& how, std::string_view system);
    /// A person's message. `is_first`: nothing but front() stands before it. `system` as for front().
    Result<void> user(const ChatTemplate& how, std::string_view text, bool is_first, std::string_view system);
    /// Asks for an answer.
    Result<void> open(const ChatTemplate& how);
    /// An answer that was given, behind open(), when the conversation goes on.
    Result<void> answer(const ChatTemplate& how, std::string_view text);
    Result<void> close(const ChatTemplate& how);
    /// What an answer that is to be made begins with.
    Result<void> thought(const ChatTemplate& how);
    void clear();

    std::string_view text() const { return {m_text.data(), m_text.size()}; }
    /// Calls `write` with the text piece by piece, tokens between by their names.
    void print(const Tokenizer& tokenizer, void* context, void (*write)(void* context, std::string_view piece)) const;
    /// Ids that encode() writes at most.
    uint64_t max_tokens(const Tokenizer& tokenizer) const;
    /// Bytes of scratch that encode() takes.
    uint64_t scratch_bytes(const Tokenizer& tokenizer) const
    {
        return tokenizer.scratch_bytes(m_text.size()) + m_typed.size() * sizeof(TextRange) + 4 * Arena::kAlignment;
    }
    /// Writes the ids to `out`, which has room for max_tokens(), and returns how many.
    Result<size_t> encode(const Tokenizer& tokenizer, TextStart start, std::span<Token> out, Arena& scratch) const;

private:
    /// A token between two texts.
    enum class BreakKind : uint8_t { bos, eos, file_bos };
    struct Break {
        size_t at; ///< in the text
        BreakKind kind;
    };

    Result<void> put(std::string_view structure);
    Result<void> put_typed(std::string_view text, TrimRule trim);
    Result<void> put_break(BreakKind kind) { return m_breaks.push({m_text.size(), kind}); }
    Result<void> pattern(const ChatTemplate& how, std::string_view pattern, std::string_view system,
                         std::string_view text, TrimRule trim_text);

    Vec<char> m_text;
    Vec<TextRange> m_typed;
    Vec<Break> m_breaks;
};

} // namespace llmk
