// SPDX-License-Identifier: MIT
#include "repl/keys.h"

namespace llmk {

namespace {
/// Short enough that typing feels immediate, long enough that the processor sleeps. Polled, because the firmware's key
/// event may never fire.
constexpr uint32_t kPollMilliseconds = 10;
} // namespace

bool KeyQueue::interrupt_pending()
{
    bool interrupted = false;
    Key key;
    while (m_platform.key_poll(key)) {
        if (is_interrupt(key)) {
            interrupted = true;
        } else if (m_count < kCapacity) {
            m_keys[(m_first + m_count++) % kCapacity] = key;
        }
    }
    return interrupted;
}

bool KeyQueue::next(Key& key)
{
    if (m_count == 0) {
        return m_platform.key_poll(key);
    }
    key = m_keys[m_first];
    m_first = (m_first + 1) % kCapacity;
    --m_count;
    return true;
}

Key KeyQueue::wait()
{
    Key key;
    while (!next(key)) {
        if (m_work == nullptr || !m_work(m_work_context)) {
            m_platform.idle(kPollMilliseconds);
        }
    }
    return key;
}

} // namespace llmk
