// SPDX-License-Identifier: MIT
#include "engine/lookup.h"

#include <algorithm>

namespace llmk {

namespace {

/// Share of a new sample in the odds and in the times.
constexpr double kLearning = 1.0 / 16;
/// A pass must promise this much more than it takes: odds and times are estimates.
constexpr double kMargin = 1.05;
/// The price falls by this share with each pass of one token, so that one that was measured in a bad moment is measured
/// again some hundreds of tokens later.
constexpr double kForgetting = 1.0 / 512;

} // namespace

void Lookup::find(std::span<const Token> history)
{
    m_match = 0;
    if (history.empty()) {
        return;
    }
    const size_t last = history.size() - 1;
    // The latest of the longest matches: what was said last is the likeliest to be said again.
    for (size_t at = last; at-- > 0 && m_match < kLongestMatch;) {
        size_t match = 0;
        while (match < kLongestMatch && match <= at && history[at - match] == history[last - match]) {
            ++match;
        }
        if (match > m_match) {
            m_match = match;
            m_source = at + 1;
        }
    }
}

void Lookup::follow(std::span<const Token> history)
{
    const bool goes_on = m_length != 0 && history.size() == m_length + 1;
    bool came_true = false;
    if (goes_on && m_match > 0) {
        came_true = history[m_source] == history.back();
        double& odds = m_odds[m_match];
        odds += ((came_true ? 1.0 : 0.0) - odds) * kLearning;
    }
    m_length = history.size();
    if (came_true) {
        ++m_source;
        m_match = std::min(m_match + 1, kLongestMatch);
    } else {
        find(history);
    }
}

double Lookup::expected(size_t drafted) const
{
    double sum = 1.0;
    double all = 1.0;
    for (size_t i = 0; i < drafted; ++i) {
        all *= m_odds[std::min(m_match + i, kLongestMatch)];
        sum += all;
    }
    return sum;
}

size_t Lookup::draft(std::span<const Token> history, std::span<Token> out) const
{
    if (m_match == 0 || history.size() != m_length || (m_passes < kFirstPasses && !m_always)) {
        return 0;
    }
    size_t best = m_always ? out.size() : 0;
    double gain = kMargin;
    for (size_t count = 1; !m_always && count <= std::min(out.size(), m_most); ++count) {
        const double promised = expected(count) / price(count);
        if (promised > gain) {
            gain = promised;
            best = count;
        }
    }
    for (size_t i = 0; i < best; ++i) {
        // A guess may run into itself: what repeats every few tokens is guessed to go on.
        const size_t at = m_source + i;
        out[i] = at < history.size() ? history[at] : out[at - history.size()];
    }
    return best;
}

void Lookup::took(size_t drafted, uint64_t ticks)
{
    const auto time = static_cast<double>(ticks);
    if (drafted == 0) {
        // An interruption is no sample of the usual speed.
        const double sample = m_passes == 0 ? time : std::min(time, 2.0 * m_ticks);
        m_ticks += (sample - m_ticks) * (m_passes < kFirstPasses ? 1.0 / (m_passes + 1) : kLearning);
        ++m_passes;
        m_price -= m_price * kForgetting;
        return;
    }
    const double extra = (time / std::max(m_ticks, 1.0) - 1.0) / static_cast<double>(drafted);
    const double sample = std::clamp(extra, 0.0, 2.0);
    m_price += (sample - m_price) * (m_most == 1 ? 0.5 : 2 * kLearning);
    const bool pays = 1.0 + sample * static_cast<double>(drafted) < expected(drafted);
    m_most = pays ? std::min<size_t>(2 * m_most + 1, kMostDrafted) : 1;
}

} // namespace llmk
