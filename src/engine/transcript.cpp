// SPDX-License-Identifier: MIT
#include "engine/transcript.h"

#include <algorithm>

namespace llmk {

size_t Transcript::start_of(size_t turn) const
{
    size_t at = 0;
    for (size_t i = 0; i < turn; ++i) {
        at += m_turns[i].user_bytes + m_turns[i].answer_bytes;
    }
    return at;
}

std::string_view Transcript::user(size_t turn) const
{
    return {m_text.data() + start_of(turn), m_turns[turn].user_bytes};
}

std::string_view Transcript::answer(size_t turn) const
{
    return {m_text.data() + start_of(turn) + m_turns[turn].user_bytes, m_turns[turn].answer_bytes};
}

bool Transcript::append(std::string_view text)
{
    const size_t wanted = m_text_used + text.size();
    if (wanted > m_text.capacity() && !m_text.reserve(std::max(2 * m_text.capacity(), wanted)).ok()) {
        return false;
    }
    if (wanted > m_text.size() && !m_text.resize(wanted).ok()) {
        return false;
    }
    std::copy(text.begin(), text.end(), m_text.data() + m_text_used);
    m_text_used = wanted;
    return true;
}

void Transcript::begin(std::string_view user)
{
    discard();
    m_started = {0, 0, append(user)};
    m_started.user_bytes = m_started.known ? static_cast<uint32_t>(user.size()) : 0;
}

void Transcript::add(std::string_view answer)
{
    if (m_started.known && !append(answer)) {
        discard(); // half a turn is none
        m_started = {0, 0, false};
    }
    m_started.answer_bytes += m_started.known ? static_cast<uint32_t>(answer.size()) : 0;
}

void Transcript::keep()
{
    LLMK_ASSERT(m_count < kMaxTurns);
    m_turns[m_count++] = m_started;
}

void Transcript::begin_again()
{
    discard();
    const Turn last = m_turns[m_count - 1];
    const size_t start = start_of(m_count - 1);
    m_started = {last.user_bytes, 0, last.known};
    // Not a view: the text may move when it grows.
    for (size_t i = 0; i < last.user_bytes && m_started.known; ++i) {
        const char c = m_text[start + i];
        m_started.known = append({&c, 1});
    }
    if (!m_started.known) {
        discard();
        m_started = {0, 0, false};
    }
}

void Transcript::keep_in_place_of_last()
{
    const size_t from = end_of_turns();
    const size_t to = start_of(m_count - 1);
    std::copy(m_text.data() + from, m_text.data() + m_text_used, m_text.data() + to);
    m_text_used -= from - to;
    m_turns[m_count - 1] = m_started;
}

void Transcript::keep_unknown()
{
    discard();
    m_started = {0, 0, false};
    keep();
}

void Transcript::drop_first()
{
    const size_t bytes = start_of(1);
    std::copy(m_text.data() + bytes, m_text.data() + m_text_used, m_text.data());
    m_text_used -= bytes;
    std::copy(m_turns + 1, m_turns + m_count, m_turns);
    --m_count;
}

void Transcript::drop_last()
{
    --m_count;
    discard();
}

void Transcript::clear()
{
    m_count = 0;
    discard();
}

} // namespace llmk
