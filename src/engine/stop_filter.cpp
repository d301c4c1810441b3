// SPDX-License-Identifier: MIT
#include "engine/stop_filter.h"

#include <algorithm>

namespace llmk {

bool StopFilter::feed(std::string_view text, TextWriter& out)
{
    m_held.put(text);
    const std::string_view held = m_held;
    size_t found = std::string_view::npos;
    for (const auto& stop : m_stops) {
        if (stop.size() != 0) {
            found = std::min(found, held.find(stop.view()));
        }
    }
    if (found != std::string_view::npos) {
        out.put(head(held, found));
        m_held.clear();
        return true;
    }
    size_t keep = 0;
    for (const auto& stop : m_stops) {
        for (size_t length = std::min(held.size(), stop.size()); length > keep; --length) {
            if (tail(held, held.size() - length) == head(stop.view(), length)) {
                keep = length;
            }
        }
    }
    out.put(head(held, held.size() - keep));
    const Text<192> rest(tail(held, held.size() - keep));
    m_held = rest;
    return false;
}

void StopFilter::finish(TextWriter& out)
{
    out.put(m_held);
    m_held.clear();
}

} // namespace llmk
