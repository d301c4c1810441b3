// SPDX-License-Identifier: MIT
//
// Type-ahead: what is typed while an answer is being made waits here for the next prompt, and Esc or Ctrl-C is seen at
// once. Everything above the platform takes its keys from here, never from Platform::key_poll, or keys change places.
#pragma once

#include "llmk/platform.h"

namespace llmk {

/// Ctrl and this lower-case letter.
constexpr bool is_ctrl(const Key& key, char letter)
{
    return key.code == KeyCode::character && key.ctrl && key.character == static_cast<char32_t>(letter);
}

/// What stops an answer: Esc (slow to arrive over some serial lines) or Ctrl-C (filtered by some keyboards).
constexpr bool is_interrupt(const Key& key) { return key.code == KeyCode::escape || is_ctrl(key, 'c'); }

/// First in, first out, kCapacity keys. When it is full, the newest keys are dropped, as firmware does: what was typed
/// first is kept whole. Interrupts are found even then.
class KeyQueue {
public:
    static constexpr size_t kCapacity = 512;

    explicit KeyQueue(Platform& platform) : m_platform(platform) {}

    /// Takes over all keys that wait at the platform; true if Esc or Ctrl-C was among them (those are removed, the
    /// rest stays for `next`). To be called between tokens.
    bool interrupt_pending();
    /// The next key, if there is one. Does not block; interrupts are keys like any other here.
    bool next(Key& key);
    /// Rests until there is a key. With something to do meanwhile, that is done first, as long as it returns true.
    Key wait();
    void meanwhile(bool (*work)(void* context), void* context)
    {
        m_work = work;
        m_work_context = context;
    }
    /// Forgets what waits here (not what waits at the platform).
    void clear() { m_count = 0; }

private:
    Platform& m_platform;
    bool (*m_work)(void* context) = nullptr;
    void* m_work_context = nullptr;
    Key m_keys[kCapacity];
    size_t m_first = 0;
    size_t m_count = 0;
};

} // namespace llmk
