// SPDX-License-Identifier: MIT
//
// A conversation: turns over a session. A turn is what the person said and what the model answered, both in the KV
// cache. When the context is full, the oldest whole turns go; the system prompt stays. A turn that the sentinel stops
// leaves no trace. Owns turn boundaries, stop rules and statistics; how text reaches a screen is the caller's.
//
// What the model sees is rendered by the template in force (tokenizer/chat_template.h), so that the tokens in the cache
// are those of the whole conversation rendered at once. An answer is closed when the next turn begins: it may have
// ended without its end token. Stories have no template: a turn is BOS and the text as typed, which the model
// continues.
#pragma once

#include "engine/sampler.h"
#include "engine/session.h"
#include "engine/transcript.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

/// Where a turn's output goes. Called while the answer is made.
struct TurnSink {
    void* context = nullptr;
    /// Whole UTF-8 characters.
    void (*text)(void* context, std::string_view utf8) = nullptr;
    /// A line for the person that is not the model's, without newline: turns dropped, a budget overrun.
    void (*notice)(void* context, std::string_view line) = nullptr;
    /// True when the person wants the answer to end (Esc, Ctrl-C). What was said stays.
    bool (*interrupted)(void* context) = nullptr;

    Interrupt interrupt() const { return {context, interrupted}; }
};

enum class TurnEnd : uint8_t { end_token, stop_text, max_tokens, context_full, interrupted };
std::string_view turn_end_name(TurnEnd end);

struct TurnStats {
    uint64_t tokens = 0; ///< made by the answer
    uint64_t time_ms = 0;
    double tokens_per_second = 0.0;
    uint64_t prefill_tokens = 0;
    uint64_t prefill_ms = 0;
    Session::LookupCount lookups;
    TurnEnd end = TurnEnd::end_token;
};

/// What /test_failsafe can break.
enum class Failure : uint8_t { none, prefill, decode, alloc, guard, nan };

/// Longest answer by default.
constexpr uint32_t default_max_tokens(ModelKind kind) { return kind == ModelKind::story ? 160 : 512; }

struct ChatSettings {
    SamplerSettings sampler;
    uint32_t max_tokens = 160;
    uint32_t lookup = Lookup::kMostDrafted; ///< tokens that a pass may guess and run ahead; 0 is off
    static constexpr size_t kMaxStops = 4;
    Text<64> stops[kMaxStops]; ///< empty ones are off
};

class Chat {
public:
    static constexpr size_t kMaxTurns = Transcript::kMaxTurns;

    Chat(Platform& platform, Zones& zones, RingLog& log, Sentinel& sentinel, const Model& model, Session& session,
         const ChatTemplate& how);

    ChatSettings settings;
    RandomStream random{1};
    /// Starts the random stream anew.
    void reseed(uint64_t seed)
    {
        m_seed = seed;
        random.reseed(seed);
    }
    /// What it was last started with.
    uint64_t seed() const { return m_seed; }

    /// Says `text` and makes the answer. Status::tripped: the sentinel stopped it and the conversation is as it was
    /// before. Status::invalid_argument: the text does not fit the context.
    Result<TurnStats> say(std::string_view text, const TurnSink& sink);
    /// Takes the last answer back and makes another; when that fails, the old one is back. Status::not_found when there
    /// is none.
    Result<TurnStats> regenerate(const TurnSink& sink);
    /// Takes the last turn back. False when there is none.
    bool undo();
    /// Forgets all turns; the system prompt stays.
    void clear();
    /// Forgets all turns and puts `text` (may be empty) in front of what follows.
    Result<void> set_system(std::string_view text, const TurnSink& sink);
    std::string_view system() const { return m_system; }
    const ChatTemplate& chat_template() const { return m_how; }
    /// Renders the conversation anew in another template; what then does not fit the context is left out, the oldest
    /// first. When that fails (a key, a trip), it starts anew.
    Result<void> use_template(const ChatTemplate& how, const TurnSink& sink);
    /// The conversation as text, for another model; this one's starts anew.
    Transcript take_transcript();
    const Transcript& transcript() const { return m_transcript; }
    /// Puts a conversation into an empty one: as many of its last turns as there is room for, but none before one
    /// whose text is not known. Returns how many.
    Result<size_t> replay(const Transcript& old, const TurnSink& sink);
    /// Positions of what stands in front of all turns: BOS, the system prompt.
    size_t system_length() const { return m_system_length; }
    /// What was said and answered, without the system prompt.
    std::span<const Token> said() const { return m_session.tokens().subspan(m_system_length); }
    /// Puts tokens of an earlier conversation behind what is there, as one turn.
    Result<void> restore(std::span<const Token> tokens, const TurnSink& sink);

    size_t turn_count() const { return m_turn_count; }
    /// The next turn fails in this way, once.
    void inject(Failure failure) { m_failure = failure; }

private:
    /// Positions in the session.
    struct Turn {
        size_t start;
        size_t text;   ///< where what the person said begins, if it can be told
        size_t bare;   ///< where the answer begins once its thoughts are left out
        size_t answer; ///< where the answer begins
        size_t said;   ///< where it ends
        size_t end;    ///< `said`, or behind the answer's closing once another turn follows
        bool settled;  ///< its thoughts have been left out

        void move_up(size_t count);
    };
    /// A turn's tokens, in scratch, and where things begin in them.
    struct Composed {
        std::span<Token> tokens; ///< of a first turn, everything in front too
        size_t turn;             ///< in front of it: the last answer's closing, or the system prompt
        size_t text;
        size_t bare;
        size_t answer; ///< all of them, unless the answer was composed too
    };
    enum class Place : uint8_t { first, later };

    Result<TurnStats> answer(const Turn& turn, size_t undo_to, std::span<const Token> prompt, const TurnSink& sink);
    Result<void> generate(const TurnSink& sink, TurnStats& stats);
    Result<void> make_room(size_t front, size_t tokens, const TurnSink& sink);
    bool drop_oldest(const TurnSink& sink);
    /// The next turn's tokens; with `answer` those of an answer that was given.
    Result<Composed> compose(Place place, std::string_view text, const std::string_view* answer);
    Result<std::span<Token>> encode_prompt(TextStart start);
    /// Tokens of what an answer begins with, behind what asks for it.
    Result<size_t> thought_length();
    /// Positions that a turn wants free for its answer before it starts, if the context is large enough for it.
    size_t answer_room() const { return std::min<size_t>(settings.max_tokens, m_session.context() / 4); }
    Place next_place() const { return m_turn_count == 0 ? Place::first : Place::later; }
    /// Rewinds to what a first turn has in common with the cache. Returns how many of its tokens are there.
    size_t keep_front(const Composed& turn);
    /// BOS and system prompt, before tokens that were not composed.
    Result<void> put_front(const TurnSink& sink);
    /// Leaves the thoughts of the last answer out, where the template does so.
    Result<void> settle_last(const TurnSink& sink);
    Result<void> replay_turn(std::string_view user, std::string_view answer, const TurnSink& sink);
    void set_template(const ChatTemplate& how);
    bool ends_answer(Token token) const;
    void fail_safe(size_t length, const RandomStream& random, const Error& error);
    void inject_before_prefill();
    void inject_in_answer();

    Platform& m_platform;
    Zones& m_zones;
    RingLog& m_log;
    Sentinel& m_sentinel;
    const Model& m_model;
    Session& m_session;
    ChatTemplate m_how;
    static constexpr size_t kMaxEnds = std::size(TemplateFamily().ends);
    Token m_ends[kMaxEnds];                  ///< the template's end tokens; kNoToken is none
    Text<64> m_template_stops[kMaxEnds + 1]; ///< and what ends an answer as text
    Prompt m_prompt;
    Transcript m_transcript;
    Text<2048> m_system;
    size_t m_system_length = 0; ///< tokens at the cache's front that stay when turns go
    Turn m_turns[kMaxTurns];
    size_t m_turn_count = 0;
    Turn m_current = {};  ///< the turn that is being made
    size_t m_undo_to = 0; ///< length of the session without it
    bool m_making = false;
    Failure m_failure = Failure::none;
    uint64_t m_seed = 1;
};

} // namespace llmk
