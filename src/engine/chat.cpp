// SPDX-License-Identifier: MIT
#include "engine/chat.h"

#include "engine/stop_filter.h"

#include <algorithm>

namespace llmk {

namespace {

uint64_t to_ms(uint64_t ticks, uint64_t ticks_per_second)
{
    const double seconds = static_cast<double>(ticks) / static_cast<double>(ticks_per_second);
    return static_cast<uint64_t>(seconds * 1000.0 + 0.5);
}

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

/// Answer's bytes on their way out: whole characters, no stop strings.
class AnswerText {
public:
    AnswerText(const TurnSink& sink, std::span<const Text<64>> stops, bool skip_blank)
        : m_sink(sink), m_filter(stops), m_skip_blank(skip_blank)
    {
    }

    /// True when a stop string is complete.
    bool put(std::string_view bytes)
    {
        if (m_skip_blank && !bytes.empty()) {
            bytes = tail(bytes, bytes[0] == ' ' ? 1 : 0);
            m_skip_blank = false;
        }
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
    bool m_skip_blank; ///< the first one: it belongs to the template, not to the answer
    bool m_stopped = false;
};

/// Passes a turn's output on and writes it down.
struct Recorder {
    const TurnSink& sink;
    Transcript& transcript;

    TurnSink recording()
    {
        TurnSink out;
        out.context = this;
        out.text = [](void* context, std::string_view utf8) {
            auto& self = *static_cast<Recorder*>(context);
            self.transcript.add(utf8);
            if (self.sink.text != nullptr) {
                self.sink.text(self.sink.context, utf8);
            }
        };
        out.notice = [](void* context, std::string_view line) {
            put_notice(static_cast<Recorder*>(context)->sink, line);
        };
        out.interrupted = [](void* context) { return static_cast<Recorder*>(context)->sink.interrupt().pending(); };
        return out;
    }
};

} // namespace

std::string_view turn_end_name(TurnEnd end)
{
    constexpr std::string_view kNames[] = {"end token", "stop text", "max_tokens", "context full", "interrupted"};
    return kNames[static_cast<size_t>(end)];
}

Chat::Chat(Platform& platform, Zones& zones, RingLog& log, Sentinel& sentinel, const Model& model, Session& session,
           const ChatTemplate& how)
    : m_platform(platform), m_zones(zones), m_log(log), m_sentinel(sentinel), m_model(model), m_session(session),
      m_prompt(platform), m_transcript(platform)
{
    set_template(how);
}

void Chat::Turn::move_up(size_t count)
{
    for (size_t* position : {&start, &text, &bare, &answer, &said, &end}) {
        *position -= count;
    }
}

bool Chat::drop_oldest(const TurnSink& sink)
{
    if (m_turn_count == 0) {
        return false;
    }
    const Turn oldest = m_turns[0];
    Turn* const next = m_turn_count > 1 ? &m_turns[1] : m_making ? &m_current : nullptr;
    size_t until = next != nullptr ? next->start : oldest.end;
    if (next != nullptr && !m_how.family->joined.empty() && oldest.start == oldest.text) {
        // In families without a system message, the next text follows the system prompt as this one did.
        until = next->text;
    }
    const size_t count = until - oldest.start;
    m_session.drop(oldest.start, count);
    for (size_t i = 1; i < m_turn_count; ++i) {
        m_turns[i].move_up(count);
        m_turns[i - 1] = m_turns[i];
    }
    --m_turn_count;
    m_transcript.drop_first();
    if (m_making) {
        m_undo_to = m_turn_count == 0 ? oldest.start : m_undo_to - count;
        m_current.move_up(count);
    }
    if (next != nullptr) {
        (m_turn_count > 0 ? m_turns[0] : m_current).start = oldest.start;
    }
    const Text<160> line("[context] full: the oldest turn ({} tokens) was dropped, {} of {} positions in use", count,
                         m_session.length(), m_session.context());
    m_log.add(m_platform.ticks(), LogCode::turn, line);
    put_notice(sink, line);
    return true;
}

Result<void> Chat::make_room(size_t front, size_t tokens, const TurnSink& sink)
{
    const size_t most = m_session.context() - std::min(front, m_session.context());
    if (tokens >= most) {
        return fail(Status::invalid_argument,
                    "the text is {} tokens long, but the context has room for {}; shorten it or raise /ctx", tokens,
                    most == 0 ? 0 : most - 1);
    }
    const size_t wanted = std::min(tokens + answer_room(), most);
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

Result<void> Chat::generate(const TurnSink& sink, TurnStats& stats)
{
    const Tokenizer& tokenizer = *m_model.tokenizer;
    Text<64> stops[ChatSettings::kMaxStops + kMaxEnds + 1];
    std::copy(std::begin(m_template_stops), std::end(m_template_stops),
              std::copy(std::begin(settings.stops), std::end(settings.stops), stops));
    Token previous = m_session.tokens().back();
    const bool skip_blank = !m_how.family->is_raw() && (!m_how.family->lead.empty() || tokenizer.is_control(previous));
    AnswerText text(sink, stops, skip_blank && m_how.family->thought.empty());
    (void)text.put(m_how.family->thought); // said for the model, but part of what it says
    stats.end = TurnEnd::max_tokens;
    while (stats.tokens < settings.max_tokens) {
        if (sink.interrupt().pending()) {
            stats.end = TurnEnd::interrupted;
            break;
        }
        if (stats.tokens == 3) {
            inject_in_answer();
        }
        const auto history = m_session.tokens();
        auto drawn = sample(settings.sampler, {m_session.drawable_logits(), history, history.subspan(m_current.answer)},
                            m_session.kernels(), random, m_session.scratch());
        if (!drawn.ok()) {
            return fail(Status::tripped, "{}", m_sentinel.allocation_failed(Phase::decode, drawn.error()).what);
        }
        const Token token = drawn.value();
        if (ends_answer(token)) {
            stats.end = TurnEnd::end_token;
            break;
        }
        ++stats.tokens;
        const bool stopped = text.put(tokenizer.piece(previous, token));
        if (m_session.length() == m_session.context() && !drop_oldest(sink)) {
            stats.end = TurnEnd::context_full;
            break;
        }
        const uint64_t wanted = stopped ? 0 : settings.max_tokens - stats.tokens;
        TRY(m_session.decode_ahead(token, std::min<uint64_t>(settings.lookup, wanted)));
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

Result<TurnStats> Chat::answer(const Turn& turn, size_t undo_to, std::span<const Token> prompt,
                               const TurnSink& listener)
{
    const RandomStream random_before = random;
    const uint64_t ticks_per_second = m_platform.ticks_per_second();
    Recorder recorder{listener, m_transcript};
    const TurnSink sink = recorder.recording();
    TurnStats stats;
    m_current = turn;
    m_undo_to = undo_to;
    inject_before_prefill();

    const Session::LookupCount before = m_session.lookups();
    const uint64_t started = m_platform.ticks();
    auto result = m_session.prefill(prompt, sink.interrupt());
    const uint64_t prefilled = m_platform.ticks();
    if (result.ok()) {
        put_notice(sink, m_session.take_notice());
        m_making = true;
        result = generate(sink, stats);
        m_making = false;
    }
    const uint64_t ended = m_platform.ticks();
    put_notice(sink, m_session.take_notice());
    m_failure = Failure::none;
    m_session.unpoison_logits();
    if (!result.ok()) {
        // Turns that were dropped for this one are gone; what is left is the state before it.
        fail_safe(m_undo_to, random_before, result.error());
        m_transcript.discard();
        m_system_length = std::min(m_system_length, m_session.length());
        return result.error();
    }
    if (m_turn_count > 0) {
        m_turns[m_turn_count - 1].end = m_current.start;
    }
    m_current.said = m_current.end = m_session.length();
    m_turns[m_turn_count++] = m_current;
    stats.prefill_tokens = prompt.size();
    stats.prefill_ms = to_ms(prefilled - started, ticks_per_second);
    stats.lookups = m_session.lookups().since(before);
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
    if (text.size() > kMaxPromptBytes) {
        return fail(Status::invalid_argument, "the text is {} bytes long, at most {} are read", text.size(),
                    kMaxPromptBytes);
    }
    TRY(settle_last(sink));
    Arena& scratch = m_session.scratch();
    for (;;) {
        const Place place = next_place();
        auto composed = compose(place, text, nullptr);
        if (!composed.ok()) {
            scratch.clear();
            if (composed.error().status != Status::out_of_memory) {
                return composed.error();
            }
            return fail(Status::tripped, "{}", m_sentinel.allocation_failed(Phase::prefill, composed.error()).what);
        }
        const Composed& turn = composed.value();
        if (turn.tokens.empty()) {
            return fail(Status::invalid_argument, "the text is empty, and this vocabulary has no BOS to begin with");
        }
        const bool is_first = place == Place::first;
        auto room =
            make_room(is_first ? turn.turn : m_system_length, turn.tokens.size() - (is_first ? turn.turn : 0), sink);
        if (!room.ok()) {
            scratch.clear();
            return room.error();
        }
        if (place != next_place()) {
            continue; // all turns went to make room: it is the first one now
        }
        const size_t there = is_first ? keep_front(turn) : 0;
        const size_t base = m_session.length() - there; // of the composed tokens
        const Turn places = {base + turn.turn,
                             base + turn.text,
                             base + turn.bare,
                             base + turn.answer,
                             base + turn.answer,
                             base + turn.answer,
                             false};
        m_transcript.begin(text);
        auto stats = answer(places, m_session.length(), turn.tokens.subspan(there), sink);
        if (stats.ok()) {
            m_transcript.keep();
        }
        scratch.clear();
        return stats;
    }
}

Result<TurnStats> Chat::regenerate(const TurnSink& sink)
{
    if (m_turn_count == 0) {
        return fail(Status::not_found, "there is no answer to make again");
    }
    const Turn& read_back = m_turns[m_turn_count - 1];
    if (!m_how.family->is_raw() && !m_transcript.known(m_turn_count - 1) && read_back.answer == read_back.said) {
        return fail(Status::not_found, "what was read back is one piece: there is no answer in it to make again");
    }
    Turn turn = m_turns[m_turn_count - 1];
    Arena& scratch = m_session.scratch();
    scratch.clear();
    const size_t count = turn.said - turn.start;
    const std::span<Token> kept{TRY(scratch.alloc_array<Token>(count)), count};
    const auto old = m_session.tokens().subspan(turn.start, count);
    std::copy(old.begin(), old.end(), kept.begin());
    --m_turn_count;
    m_session.rewind(turn.start);
    m_transcript.begin_again();
    auto stats = answer(turn, turn.start, kept.first(turn.answer - turn.start), sink);
    if (stats.ok()) {
        m_transcript.keep_in_place_of_last();
    } else if (m_current.start == turn.start && m_session.prefill(kept, {}).ok()) {
        turn.end = turn.said;
        m_turns[m_turn_count++] = turn;
    } else {
        m_transcript.drop_last();
    }
    scratch.clear();
    return stats;
}

} // namespace llmk
