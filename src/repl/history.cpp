// SPDX-License-Identifier: MIT
#include "repl/history.h"

#include "base/text.h"

namespace llmk {

void History::add(std::string_view entry)
{
    const bool like_the_last = m_count > 0 && this->entry(1) == entry;
    // A zero byte inside would split the entry; the keyboard makes none.
    if (trim(entry).empty() || like_the_last || entry.size() >= m_storage.size() ||
        entry.find('\0') != std::string_view::npos) {
        return;
    }
    while (m_storage.size() - m_used < entry.size() + 1) {
        drop_oldest();
    }
    __builtin_memcpy(m_storage.data() + m_used, entry.data(), entry.size());
    m_used += entry.size();
    m_storage[m_used++] = '\0';
    ++m_count;
}

std::string_view History::entry(size_t age) const
{
    std::string_view rest(m_storage.data(), m_used);
    for (size_t i = age; i < m_count; ++i) {
        rest = tail(rest, rest.find('\0') + 1);
    }
    return head(rest, rest.find('\0'));
}

void History::drop_oldest()
{
    const size_t bytes = entry(m_count).size() + 1;
    __builtin_memmove(m_storage.data(), m_storage.data() + bytes, m_used - bytes);
    m_used -= bytes;
    --m_count;
}

} // namespace llmk
