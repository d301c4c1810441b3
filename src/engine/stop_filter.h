// SPDX-License-Identifier: MIT
//
// Stop strings in a stream: text passes through, but what may be the beginning of a stop string is kept back until it
// is clear. A stop string itself never comes out.
#pragma once

#include "base/text.h"

namespace llmk {

class StopFilter {
public:
    /// `stops` must live as long as the filter; empty ones are skipped.
    explicit StopFilter(std::span<const Text<64>> stops) : m_stops(stops) {}

    /// Takes the next text (at most 128 bytes at a time) and appends what is sure to `out`. True when a stop string is
    /// complete: then nothing more may be fed.
    bool feed(std::string_view text, TextWriter& out);
    /// At the end: what was kept back after all.
    void finish(TextWriter& out);

private:
    std::span<const Text<64>> m_stops;
    Text<192> m_held;
};

} // namespace llmk
