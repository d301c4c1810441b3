// SPDX-License-Identifier: MIT
#include "platform/host/workers.h"

#include <algorithm>

namespace llmk {

namespace {
constexpr int kSpins = 4000; // of PAUSE: some tens of microseconds
/// Then rounds of letting others run, some milliseconds: longer than a processor that is done waits for the last part
/// of a job. One that sleeps meanwhile is late for the next: waking it takes tens of microseconds, and it may wake on
/// the processor of who woke it.
constexpr int kYields = 10'000;

/// One of many rounds of waiting.
void rest(int round)
{
    if (round < kSpins) {
        __builtin_ia32_pause();
    } else {
        std::this_thread::yield();
    }
}
} // namespace

Workers::Workers(size_t count)
{
    for (size_t i = 1; i < count; ++i) {
        m_threads.emplace_back([this] { work(); });
    }
}

Workers::~Workers()
{
    m_board.close();
    m_board.ticket().notify_all();
    for (std::thread& thread : m_threads) {
        thread.join();
    }
}

void Workers::work()
{
    while (!m_board.closed()) {
        const uint64_t seen = m_board.ticket().load();
        m_board.claim();
        for (int i = 0; i < kSpins + kYields && !m_board.open() && !m_board.closed(); ++i) {
            rest(i);
        }
        if (!m_board.open() && !m_board.closed()) {
            m_board.ticket().wait(seen);
        }
    }
}

void Workers::begin(ParallelFunction function, void* context, size_t parts)
{
    LLMK_ASSERT(m_board.finished());
    m_board.publish(function, context, parts);
    m_board.ticket().notify_all();
}

void Workers::end()
{
    m_board.claim();
    for (int i = 0; !m_board.finished(); i = std::min(i + 1, kSpins)) {
        rest(i);
    }
}

} // namespace llmk
