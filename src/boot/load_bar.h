// SPDX-License-Identifier: MIT
//
// The bar that is shown while weights are read: how much, how fast, how long still. Esc or Ctrl-C cancels.
#pragma once

#include "model/loader.h"
#include "repl/keys.h"

namespace llmk {

class LoadBar {
public:
    LoadBar(Platform& platform, KeyQueue& keys, std::string_view name)
        : m_platform(platform), m_keys(keys), m_name(name), m_started(platform.ticks())
    {
        m_next = m_started + pause();
    }
    LoadObserver observer();
    /// Ends the line; with the whole bar if all went well.
    void finish(bool loaded);

private:
    static constexpr uint64_t kRedrawsPerSecond = 10; // a serial line has other things to carry
    static constexpr uint64_t kDrawingShare = 50;     // at most this part of the time is spent on it

    uint64_t pause() { return m_platform.ticks_per_second() / kRedrawsPerSecond; }
    bool progress(uint64_t done_bytes, uint64_t total_bytes);
    void draw(uint64_t done_bytes, uint64_t total_bytes);

    Platform& m_platform;
    KeyQueue& m_keys;
    Text<64> m_name;
    uint64_t m_started;
    uint64_t m_next = 0; ///< ticks when it may be drawn again
    size_t m_width = 0;  ///< columns it takes on the screen now
    uint64_t m_total_bytes = 0;
};

} // namespace llmk
