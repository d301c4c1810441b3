// SPDX-License-Identifier: MIT
//
// What a chat puts in front of the model: system prompt, turns rendered by the template, conversations put back.
#include "engine/chat.h"

#include <algorithm>

namespace llmk {

namespace {

/// How many of the first tokens are the same.
size_t common_length(std::span<const Token> a, std::span<const Token> b)
{
    const size_t most = std::min(a.size(), b.size());
    return static_cast<size_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(most), b.begin()).first -
                               a.begin());
}

} // namespace

void Chat::set_template(const ChatTemplate& how)
{
    m_how = how;
    for (auto& stop : m_template_stops) {
        stop.clear();
    }
    m_session.scratch().clear();
    for (size_t i = 0; i < kMaxEnds; ++i) {
        const auto name = how.family->ends[i];
        m_ends[i] = name.empty() ? kNoToken : special_token(*m_model.tokenizer, name, m_session.scratch());
        if (m_ends[i] == kNoToken) { // a vocabulary without it spells it
            m_template_stops[i] = name;
        }
    }
    m_template_stops[kMaxEnds] = how.family->stop;
}

bool Chat::ends_answer(Token token) const
{
    const Tokenizer& tokenizer = *m_model.tokenizer;
    return token == tokenizer.bos() || tokenizer.is_end(token) ||
           std::find(std::begin(m_ends), std::end(m_ends), token) != std::end(m_ends);
}

Result<std::span<Token>> Chat::encode_prompt(TextStart start)
{
    Arena& scratch = m_session.scratch();
    const Tokenizer& tokenizer = *m_model.tokenizer;
    const size_t room = m_prompt.max_tokens(tokenizer);
    const std::span<Token> tokens{TRY(scratch.alloc_array<Token>(room)), room};
    const size_t count = TRY(m_prompt.encode(tokenizer, start, tokens, scratch));
    return tokens.first(count);
}

Result<Chat::Composed> Chat::compose(Place place, std::string_view text, const std::string_view* answer)
{
    m_session.scratch().clear();
    m_prompt.clear();
    const bool is_first = place == Place::first;
    const TextStart start = is_first ? TextStart::fresh : TextStart::continued;
    TRY(is_first ? m_prompt.front(m_how, m_system) : m_prompt.close(m_how));
    const auto before = TRY(encode_prompt(start));
    std::span<Token> lead;
    if (!m_how.family->joined.empty()) {
        TRY(m_prompt.user(m_how, {}, is_first, m_system));
        lead = TRY(encode_prompt(start));
        m_prompt.clear();
        TRY(is_first ? m_prompt.front(m_how, m_system) : m_prompt.close(m_how));
    }
    TRY(m_prompt.user(m_how, text, is_first, m_system));
    TRY(m_prompt.open(m_how));
    std::span<Token> opened; // only when an answer follows: it is as long as all the rest
    if (answer != nullptr) {
        opened = TRY(encode_prompt(start));
        TRY(m_prompt.answer(m_how, *answer));
    } else {
        TRY(m_prompt.thought(m_how));
    }
    Composed turn;
    turn.tokens = TRY(encode_prompt(start));
    turn.turn = common_length(before, turn.tokens);
    turn.text = std::max(turn.turn, common_length(lead, turn.tokens));
    if (is_first && m_system.size() > 0) {
        turn.text = turn.turn;
    }
    turn.answer = answer != nullptr ? common_length(opened, turn.tokens) : turn.tokens.size();
    turn.bare = answer != nullptr ? turn.answer : turn.answer - TRY(thought_length());
    return turn;
}

Result<size_t> Chat::thought_length()
{
    if (m_how.family->thought.empty()) {
        return size_t{0};
    }
    m_prompt.clear();
    TRY(m_prompt.open(m_how));
    const auto opened = TRY(encode_prompt(TextStart::fresh));
    TRY(m_prompt.thought(m_how));
    const auto thinking = TRY(encode_prompt(TextStart::fresh));
    return thinking.size() - common_length(opened, thinking);
}

size_t Chat::keep_front(const Composed& turn)
{
    const size_t there = std::min(turn.turn, common_length(turn.tokens, m_session.tokens()));
    m_session.rewind(there);
    m_system_length = turn.turn;
    return there;
}

Result<void> Chat::put_front(const TurnSink& sink)
{
    Arena& scratch = m_session.scratch();
    scratch.clear();
    m_prompt.clear();
    TRY(m_prompt.front(m_how, m_system));
    const auto tokens = TRY(encode_prompt(TextStart::fresh));
    if (tokens.size() + 1 >= m_session.context()) {
        return fail(Status::invalid_argument, "the system prompt is {} tokens long, the context {}", tokens.size(),
                    m_session.context());
    }
    const size_t there = common_length(tokens, m_session.tokens());
    m_session.rewind(there);
    m_system_length = there;
    TRY(m_session.prefill(tokens.subspan(there), sink.interrupt()));
    m_system_length = tokens.size();
    scratch.clear();
    return success();
}

bool Chat::undo()
{
    if (m_turn_count == 0) {
        return false;
    }
    --m_turn_count;
    m_transcript.drop_last();
    size_t length = m_turns[m_turn_count].start;
    if (m_turn_count > 0) { // the answer before it is the last one again, and open
        Turn& last = m_turns[m_turn_count - 1];
        last.end = length = last.said;
    }
    m_session.rewind(length);
    return true;
}

void Chat::clear()
{
    m_turn_count = 0;
    m_transcript.clear();
    m_session.rewind(m_system_length);
}

Result<void> Chat::set_system(std::string_view text, const TurnSink& sink)
{
    if (text.size() > m_system.capacity()) {
        return fail(Status::invalid_argument, "the system prompt is {} bytes long, at most {} are kept", text.size(),
                    m_system.capacity());
    }
    const Text<2048> wanted(text); // it may be the one that goes
    m_turn_count = 0;
    m_transcript.clear();
    m_system_length = 0;
    m_system.clear();
    m_session.rewind(0);
    if (wanted.size() == 0) {
        return success();
    }
    m_system = wanted;
    auto put = put_front(sink);
    if (!put.ok()) {
        m_system.clear();
        m_session.rewind(0);
        m_system_length = 0;
    }
    return put;
}

Result<void> Chat::restore(std::span<const Token> tokens, const TurnSink& sink)
{
    if (m_turn_count == 0) {
        TRY(put_front(sink));
    }
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
    TRY(m_session.prefill(tokens, sink.interrupt()));
    const size_t end = m_session.length();
    m_turns[m_turn_count++] = {start, start, end, end, end, end, true};
    m_transcript.keep_unknown();
    return success();
}

Result<void> Chat::settle_last(const TurnSink& sink)
{
    if (!m_how.family->drops_thoughts || m_turn_count == 0) {
        return success();
    }
    Turn& last = m_turns[m_turn_count - 1];
    const auto said = m_transcript.known(m_turn_count - 1) ? m_transcript.answer(m_turn_count - 1) : std::string_view();
    if (last.settled || without_thoughts(*m_how.family, said).size() == said.size()) {
        return success();
    }
    m_session.scratch().clear();
    m_prompt.clear();
    TRY(m_prompt.open(m_how));
    const auto opened = TRY(encode_prompt(TextStart::fresh));
    TRY(m_prompt.answer(m_how, said));
    const auto answered = TRY(encode_prompt(TextStart::fresh));
    const auto rest = answered.subspan(common_length(opened, answered));
    m_session.rewind(last.bare);
    last.answer = last.said = last.end = last.bare;
    TRY(m_session.prefill(rest, sink.interrupt())); // stopped here, the next turn begins with it again
    last.settled = true;
    last.said = last.end = m_session.length();
    return success();
}

Result<void> Chat::replay_turn(std::string_view user, std::string_view answer, const TurnSink& sink)
{
    const Place place = next_place();
    const Composed turn = TRY(compose(place, user, &answer));
    const size_t there = place == Place::first ? keep_front(turn) : 0;
    const size_t base = m_session.length() - there;
    TRY(m_session.prefill(turn.tokens.subspan(there), sink.interrupt()));
    if (m_turn_count > 0) {
        m_turns[m_turn_count - 1].end = base + turn.turn;
    }
    const size_t end = m_session.length();
    m_turns[m_turn_count++] = {
        base + turn.turn, base + turn.text, base + turn.bare, base + turn.answer, end, end, true};
    m_transcript.begin(user);
    m_transcript.add(answer);
    m_transcript.keep();
    return success();
}

Result<size_t> Chat::replay(const Transcript& old, const TurnSink& sink)
{
    LLMK_ASSERT(m_turn_count == 0);
    // The last turns that fit and leave room for an answer.
    size_t room = m_session.context() - answer_room();
    size_t first = old.count();
    while (first > 0 && old.known(first - 1)) {
        const auto answer = without_thoughts(*m_how.family, old.answer(first - 1));
        // As the first of all it takes most: everything in front comes with it.
        auto whole = compose(Place::first, old.user(first - 1), &answer);
        if (!whole.ok() || whole.value().tokens.size() > room) {
            break; // or longer than any text that is encoded at once
        }
        auto alone = compose(Place::later, old.user(first - 1), &answer);
        room -= alone.ok() ? std::min(alone.value().tokens.size(), room) : room;
        --first;
    }
    for (size_t i = first; i < old.count(); ++i) {
        auto put = replay_turn(old.user(i), without_thoughts(*m_how.family, old.answer(i)), sink);
        if (!put.ok()) {
            clear();
            m_session.scratch().clear();
            return put.error();
        }
    }
    m_session.scratch().clear();
    return old.count() - first;
}

Transcript Chat::take_transcript()
{
    Transcript taken = std::move(m_transcript);
    m_transcript = Transcript(m_platform);
    clear();
    return taken;
}

Result<void> Chat::use_template(const ChatTemplate& how, const TurnSink& sink)
{
    const Transcript old = take_transcript();
    set_template(how);
    TRY(set_system(m_system, sink));
    return replay(old, sink).ok() ? success() : Result<void>(fail(Status::cancelled, "the conversation starts anew"));
}

} // namespace llmk
