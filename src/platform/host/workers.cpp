// SPDX-License-Identifier: MIT
#include "platform/host/workers.h"

namespace llmk {

namespace {
constexpr int kSpins = 4000; // of PAUSE: some tens of microseconds
} // namespace

Workers::Workers(size_t count)
{
    for (size_t i = 1; i < count; ++i) {
        m_threads.emplace_back([this] { work(); });
    }
}

Workers::~Workers()
{
    m_stop = true;
    ++m_generation;
    m_generation.notify_all();
    for (std::thread& thread : m_threads) {
        thread.join();
    }
}

void Workers::claim_parts()
{
    for (size_t part = m_next.fetch_add(1); part < m_parts; part = m_next.fetch_add(1)) {
        m_function(m_context, part);
    }
}

void Workers::work()
{
    uint32_t seen = 0;
    for (;;) {
        for (int i = 0; i < kSpins && m_generation.load(std::memory_order_acquire) == seen; ++i) {
            __builtin_ia32_pause();
        }
        m_generation.wait(seen);
        seen = m_generation.load();
        if (m_stop) {
            return;
        }
        claim_parts();
        m_busy.fetch_sub(1, std::memory_order_release);
    }
}

void Workers::run(ParallelFunction function, void* context, size_t parts)
{
    m_function = function;
    m_context = context;
    m_parts = parts;
    m_next.store(0);
    m_busy.store(m_threads.size());
    m_generation.fetch_add(1);
    m_generation.notify_all();
    claim_parts();
    // Every thread must have seen this job before the next may be written.
    for (int spins = 0; m_busy.load(std::memory_order_acquire) != 0; ++spins) {
        if (spins < kSpins) {
            __builtin_ia32_pause();
        } else {
            std::this_thread::yield();
        }
    }
}

} // namespace llmk
