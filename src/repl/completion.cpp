// SPDX-License-Identifier: MIT
#include "repl/completion.h"

#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr size_t kGap = 2;

size_t columns_of(std::string_view text)
{
    size_t count = 0;
    for (; !text.empty(); ++count) {
        text.remove_prefix(utf8_decode(text).length);
    }
    return count;
}

} // namespace

void CommonStart::add(std::string_view candidate)
{
    if (m_count++ == 0) {
        m_common = candidate;
    } else {
        const auto common = m_common.view();
        size_t same = 0; // whole characters
        while (same < common.size()) {
            const size_t length = utf8_decode(tail(common, same)).length;
            if (head(tail(candidate, same), length) != head(tail(common, same), length)) {
                break;
            }
            same += length;
        }
        const Text<512> shorter(head(common, same));
        m_common = shorter;
    }
    m_widest = std::max(m_widest, columns_of(trim(candidate)));
}

CandidateColumns::CandidateColumns(Platform& platform, size_t width, size_t widest)
    : m_platform(platform), m_cell(widest + kGap), m_columns(std::max<size_t>((width + kGap) / m_cell, 1))
{
}

void CandidateColumns::add(std::string_view candidate)
{
    const auto name = trim(candidate);
    if (m_written > 0 && m_written % m_columns == 0) {
        m_platform.console_write("\n");
    }
    m_platform.console_write(name);
    // No blanks behind the last of a row: it may end in the last column but one.
    if (++m_written % m_columns != 0) {
        for (size_t i = columns_of(name); i < m_cell; ++i) {
            m_platform.console_write(" ");
        }
    }
}

void CandidateColumns::finish()
{
    if (m_written > 0) {
        m_platform.console_write("\n");
    }
}

} // namespace llmk
