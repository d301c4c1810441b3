// SPDX-License-Identifier: MIT
//
// A conversation: turns over a session. A turn is what the person said and what the model answered, both in the KV
// cache. When the context is full, the oldest whole turns go; the system prompt stays. A turn that the sentinel stops
// leaves no trace. Owns turn boundaries, stop rules and statistics; how text reaches a screen is the caller's.
//
// Stories have no template: a turn is BOS and the text as typed, which the model continues.
#pragma once

#include "engine/sampler.h"
#include "engine/session.h"
#include "tokenizer/utf8.h"

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
};

enum class TurnEnd : uint8_t { end_token, stop_text, max_tokens, context_full, interrupted };
std::string_view turn_end_name(TurnEnd end);

struct TurnStats {
    uint64_t tokens = 0; ///< made by the answer
    uint64_t time_ms = 0;
    double tokens_per_second = 0.0;
    uint64_t prefill_tokens = 0;
    uint64_t prefill_ms = 0;
    TurnEnd end = TurnEnd::end_token;
};

/// What /test_failsafe can break.
enum class Failure : uint8_t { none, prefill, decode, alloc, guard, nan };

/// Longest answer by default.
constexpr uint32_t default_max_tokens(ModelKind kind) { return kind == ModelKind::story ? 160 : 512; }

struct ChatSettings {
    SamplerSettings sampler;
    uint32_t max_tokens = 160;
    static constexpr size_t kMaxStops = 4;
    Text<64> stops[kMaxStops]; ///< empty ones are off
};

class Chat {
public:
    static constexpr size_t kMaxTurns = 256;

    Chat(Platform& platform, Zones& zones, RingLog& log, Sentinel& sentinel, const Model& model, Session& session);

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
    /// Positions that the system prompt takes.
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
        size_t answer; ///< where the answer begins
        size_t end;
    };

    Result<TurnStats> answer(size_t prompt_start, std::span<const Token> prompt, const TurnSink& sink);
    Result<void> generate(const TurnSink& sink, size_t turn_start, TurnStats& stats);
    Result<void> make_room(size_t tokens, const TurnSink& sink);
    bool drop_oldest(const TurnSink& sink);
    void fail_safe(size_t length, const RandomStream& random, const Error& error);
    Result<std::span<Token>> encode(std::string_view text);
    void inject_before_prefill();
    void inject_in_answer();

    Platform& m_platform;
    Zones& m_zones;
    RingLog& m_log;
    Sentinel& m_sentinel;
    const Model& m_model;
    Session& m_session;
    Text<2048> m_system;
    size_t m_system_length = 0; ///< tokens of the system prompt at the cache's front
    Turn m_turns[kMaxTurns];
    size_t m_turn_count = 0;
    size_t m_current_start = 0; ///< of the turn that is being made
    Failure m_failure = Failure::none;
    uint64_t m_seed = 1;
};

} // namespace llmk
