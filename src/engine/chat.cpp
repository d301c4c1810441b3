// SPDX-License-Identifier: MIT
#include "engine/chat.h"

#include "engine/stop_filter.h"

#include <algorithm>

namespace llmk {

namespace {

/// Positions that a turn wants free for its answer before it starts, if the context is large enough for it.
size_t answer_room(const Session& session, uint32_t max_tokens)
{
    return std::min<size_t>(max_tokens, session.context() / 4);
}

uint64_t to_ms(uint64_t ticks, uint64_t ticks_per_second)
{
    const double seconds = static_cast<double>(ticks) / static_cast<double>(ticks_per_second);
    return static_cast<uint64_t>(seconds * 1000.0 + 0.5);
}

bool asked_to_stop(const TurnSink& sink) { return sink.interrupted != nullptr && sink.interrupted(sink.context); }

void put_text(const TurnSink& sink, TextWriter& text)
{
    if (sink.text != nullptr && text.size() > 0) {
        sink.text(sink.context, text);
    }
    text.clear();
}

void put_notice(const TurnSink& sink, std::string_view line)
{
    if (sink.notice != nullptr && !line.empty()) {
        sink.notice(sink.context, line);
    }
}

Session::Interrupt interrupt_of(const TurnSink& sink) { return {sink.context, sink.interrupted}; }

/// Answer's bytes on their way out: whole characters, no stop strings.
class AnswerText {
public:
    AnswerText(const TurnSink& sink, std::span<const Text<64>> stops) : m_sink(sink), m_filter(stops) {}

    /// True when a stop string is complete.
    bool put(std::string_view bytes)
    {
        while (!bytes.empty() && !m_stopped) {
            Text<160> whole;
            m_utf8.feed(head(bytes, kStep), whole);
            bytes.remove_prefix(std::min(bytes.size(), kStep));
            Text<400> sure;
            m_stopped = m_filter.feed(whole, sure);
            put_text(m_sink, sure);
        }
        return m_stopped;
    }
    void finish()
    {
        if (!m_stopped) {
            Text<16> whole;
            m_utf8.finish(whole);
            Text<400> sure;
            m_stopped = m_filter.feed(whole, sure);
            m_filter.finish(sure);
            put_text(m_sink, sure);
        }
    }

private:
    static constexpr size_t kStep = 32; // bytes; each can come out as a three-byte U+FFFD
    const TurnSink& m_sink;
    StopFilter m_filter;
    Utf8Stream m_utf8;
    bool m_stopped = false;
};

} // namespace

std::string_view turn_end_name(TurnEnd end)
{
    constexpr std::string_view kNames[] = {"end token", "stop text", "max_tokens", "context full", "interrupted"};
    return kNames[static_cast<size_t>(end)];
}

Chat::Chat(Platform& platform, Zones& zones, RingLog& log, Sentinel& sentinel, const Model& model, Session& session)
    : m_platform(platform), m_zones(zones), m_log(log), m_sentinel(sentinel), m_model(model), m_session(session)
{
}

Result<std::span<Token>> Chat::encode(std::string_view text)
{
    if (text.size() > kMaxPromptBytes) {
        return fail(Status::invalid_argument, "the text is {} bytes long, at most {} are read", text.size(),
                    kMaxPromptBytes);
    }
    Arena& scratch = m_session.scratch();
    const Tokenizer& tokenizer = *m_model.tokenizer;
    const size_t room = tokenizer.max_tokens(text.size());
    const std::span<Token> tokens{TRY(scratch.alloc_array<Token>(room)), room};
    const size_t count = TRY(tokenizer.encode(text, BosRule::add, tokens, scratch));
    return tokens.first(count);
}

bool Chat::drop_oldest(const TurnSink& sink)
{
    if (m_turn_count == 0) {
        return false;
    }
    const Turn oldest = m_turns[0];
    const size_t count = oldest.end - oldest.start;
    m_session.drop(oldest.start, count);
    for (size_t i = 1; i < m_turn_count; ++i) {
        m_turns[i - 1] = {m_turns[i].start - count, m_turns[i].answer - count, m_turns[i].end - count};
    }
    --m_turn_count;
    m_current_start -= count;
    const Text<160> line("[context] full: the oldest turn ({} tokens) was dropped, {} of {} positions in use", count,
                         m_session.length(), m_session.context());
    m_log.add(m_platform.ticks(), LogCode::turn, line);
    put_notice(sink, line);
    return true;
}

Result<void> Chat::make_room(size_t tokens, const TurnSink& sink)
{
    const size_t most = m_session.context() - m_system_length;
    if (tokens >= most) {
        return fail(Status::invalid_argument,
                    "the text is {} tokens long, but the context has room for {}; shorten it or raise /ctx", tokens,
                    most - 1);
    }
    const size_t wanted = std::min(tokens + answer_room(m_session, settings.max_tokens), most);
    while (m_session.context() - m_session.length() < wanted && drop_oldest(sink)) {
    }
    // More turns than the table holds: the oldest goes, whatever the room.
    while (m_turn_count >= kMaxTurns && drop_oldest(sink)) {
    }
    return success();
}

void Chat::inject_before_prefill()
{
    switch (m_failure) {
    case Failure::prefill:
        m_sentinel.inject(Phase::prefill);
        break;
    case Failure::decode:
        m_sentinel.inject(Phase::decode);
        break;
    case Failure::none:
    case Failure::alloc:
    case Failure::guard:
    case Failure::nan:
        return; // in the middle of the answer, where there is something to lose
    }
    m_failure = Failure::none;
}

void Chat::inject_in_answer()
{
    if (m_failure == Failure::alloc) {
        m_session.scratch().fail_next_alloc();
    } else if (m_failure == Failure::nan) {
        m_session.poison_next_logits();
    } else if (m_failure == Failure::guard) {
        const auto& extent = m_zones[ZoneId::kv].extents()[0];
        extent.base[extent.usable_end() + 5] ^= 0xff;
    }
    m_failure = Failure::none;
}

Result<void> Chat::generate(const TurnSink& sink, size_t turn_start, TurnStats& stats)
{
    const Tokenizer& tokenizer = *m_model.tokenizer;
    m_current_start = turn_start;
    const size_t answer_offset = m_session.length() - turn_start;
    AnswerText text(sink, settings.stops);
    Token previous = m_session.tokens().back();
    stats.end = TurnEnd::max_tokens;
    while (stats.tokens < settings.max_tokens) {
        if (asked_to_stop(sink)) {
            stats.end = TurnEnd::interrupted;
            break;
        }
        if (stats.tokens == 3) {
            inject_in_answer();
        }
        const auto history = m_session.tokens();
        auto drawn = sample(settings.sampler,
                            {m_session.drawable_logits(), history, history.subspan(m_current_start + answer_offset)},
                            m_session.kernels(), random, m_session.scratch());
        if (!drawn.ok()) {
            return fail(Status::tripped, "{}", m_sentinel.allocation_failed(Phase::decode, drawn.error()).what);
        }
        const Token token = drawn.value();
        if (token == tokenizer.bos() || tokenizer.is_end(token)) {
            stats.end = TurnEnd::end_token;
            break;
        }
        ++stats.tokens;
        const bool stopped = text.put(tokenizer.piece(previous, token));
        if (m_session.length() == m_session.context() && !drop_oldest(sink)) {
            stats.end = TurnEnd::context_full;
            break;
        }
        TRY(m_session.decode(token));
        put_notice(sink, m_session.take_notice());
        previous = token;
        if (stopped) {
            stats.end = TurnEnd::stop_text;
            break;
        }
    }
    text.finish();
    const Trip trip = m_sentinel.check_guards(Phase::decode);
    return trip.tripped() ? Result<void>(fail(Status::tripped, "{}", trip.what)) : success();
}

void Chat::fail_safe(size_t length, const RandomStream& before, const Error& error)
{
    m_session.rewind(length);
    random = before;
    m_zones.repair_guards();
    m_log.add(m_platform.ticks(), error.status == Status::tripped ? LogCode::rewind : LogCode::turn,
              Text<101>("turn taken back, KV cache rewound to {} positions", length));
}

Result<TurnStats> Chat::answer(size_t turn_start, std::span<const Token> prompt, const TurnSink& sink)
{
    const RandomStream random_before = random;
    const uint64_t ticks_per_second = m_platform.ticks_per_second();
    TurnStats stats;
    m_current_start = turn_start;
    inject_before_prefill();

    const uint64_t started = m_platform.ticks();
    auto result = m_session.prefill(prompt, interrupt_of(sink));
    const uint64_t prefilled = m_platform.ticks();
    const size_t answer_start = m_session.length();
    if (result.ok()) {
        put_notice(sink, m_session.take_notice());
        result = generate(sink, turn_start, stats);
    }
    const uint64_t ended = m_platform.ticks();
    put_notice(sink, m_session.take_notice());
    m_failure = Failure::none;
    m_session.unpoison_logits();
    if (!result.ok()) {
        // Turns that were dropped for this one are gone; what is left is the state before it.
        fail_safe(m_current_start, random_before, result.error());
        return result.error();
    }
    const size_t moved = turn_start - m_current_start;
    m_turns[m_turn_count++] = {m_current_start, answer_start - moved, m_session.length()};
    stats.prefill_tokens = prompt.size();
    stats.prefill_ms = to_ms(prefilled - started, ticks_per_second);
    stats.time_ms = to_ms(ended - prefilled, ticks_per_second);
    const double seconds = static_cast<double>(ended - prefilled) / static_cast<double>(ticks_per_second);
    stats.tokens_per_second = seconds > 0.0 ? static_cast<double>(stats.tokens) / seconds : 0.0;
    m_log.add(ended, LogCode::turn,
              Text<101>("{} tokens in {} ms, prefill {} in {} ms, ended by {}", stats.tokens, stats.time_ms,
                        stats.prefill_tokens, stats.prefill_ms, turn_end_name(stats.end)));
    return stats;
}

Result<TurnStats> Chat::say(std::string_view text, const TurnSink& sink)
{
    Arena& scratch = m_session.scratch();
    scratch.clear();
    auto prompt = encode(text);
    if (!prompt.ok()) {
        scratch.clear();
        if (prompt.error().status != Status::out_of_memory) {
            return prompt.error();
        }
        return fail(Status::tripped, "{}", m_sentinel.allocation_failed(Phase::prefill, prompt.error()).what);
    }
    TRY(make_room(prompt.value().size(), sink));
    auto stats = answer(m_session.length(), prompt.value(), sink);
    scratch.clear();
    return stats;
}

Result<TurnStats> Chat::regenerate(const TurnSink& sink)
{
    if (m_turn_count == 0) {
        return fail(Status::not_found, "there is no answer to make again");
    }
    const Turn turn = m_turns[m_turn_count - 1];
    Arena& scratch = m_session.scratch();
    scratch.clear();
    const size_t count = turn.end - turn.start;
    const std::span<Token> kept{TRY(scratch.alloc_array<Token>(count)), count};
    const auto old = m_session.tokens().subspan(turn.start, count);
    std::copy(old.begin(), old.end(), kept.begin());
    --m_turn_count;
    m_session.rewind(turn.start);
    auto stats = answer(turn.start, kept.first(turn.answer - turn.start), sink);
    if (!stats.ok() && m_current_start == turn.start && m_session.prefill(kept, {}).ok()) {
        m_turns[m_turn_count++] = turn;
    }
    scratch.clear();
    return stats;
}

bool Chat::undo()
{
    if (m_turn_count == 0) {
        return false;
    }
    --m_turn_count;
    m_session.rewind(m_turns[m_turn_count].start);
    return true;
}

void Chat::clear()
{
    m_turn_count = 0;
    m_session.rewind(m_system_length);
}

Result<void> Chat::set_system(std::string_view text, const TurnSink& sink)
{
    if (text.size() > m_system.capacity()) {
        return fail(Status::invalid_argument, "the system prompt is {} bytes long, at most {} are kept", text.size(),
                    m_system.capacity());
    }
    m_turn_count = 0;
    m_system_length = 0;
    m_system.clear();
    m_session.rewind(0);
    if (text.empty()) {
        return success();
    }
    Arena& scratch = m_session.scratch();
    scratch.clear();
    const auto tokens = TRY(encode(text));
    if (tokens.size() + 1 >= m_session.context()) {
        return fail(Status::invalid_argument, "the system prompt is {} tokens long, the context {}", tokens.size(),
                    m_session.context());
    }
    TRY(m_session.prefill(tokens, interrupt_of(sink)));
    scratch.clear();
    m_system = text;
    m_system_length = tokens.size();
    return success();
}

Result<void> Chat::restore(std::span<const Token> tokens, const TurnSink& sink)
{
    // Unlike a text that is said, it needs no room for an answer: a full context comes back full.
    const size_t most = m_session.context() - m_system_length;
    if (tokens.size() > most) {
        return fail(Status::invalid_argument, "the conversation is {} tokens long, but the context has room for {}",
                    tokens.size(), most);
    }
    while (m_session.context() - m_session.length() < tokens.size() && drop_oldest(sink)) {
    }
    while (m_turn_count >= kMaxTurns && drop_oldest(sink)) {
    }
    const size_t start = m_session.length();
    TRY(m_session.prefill(tokens, interrupt_of(sink)));
    m_turns[m_turn_count++] = {start, m_session.length(), m_session.length()};
    return success();
}

} // namespace llmk
