// SPDX-License-Identifier: MIT
//
// How processors share the parts of one parallel job: each claims the next part from a counter, so one that is faster,
// or not interrupted, takes more of them, and one that is late takes none. Nobody waits for a processor that has not
// claimed anything. No platform: who runs claim(), and how it rests between jobs, is the platform's.
#pragma once

#include "base/status.h"

#include <atomic>

namespace llmk {

class JobBoard {
public:
    using Function = void (*)(void* context, size_t part);
    /// Most parts of a job; what is left of the counter's 2^20 is for claims past the end, one a processor.
    static constexpr size_t kMaxParts = (size_t{1} << 20) - 8192;

    /// Offers a job. Only when the one before is finished().
    void publish(Function function, void* context, size_t parts)
    {
        LLMK_ASSERT(parts <= kMaxParts);
        m_function = function;
        m_context = context;
        m_parts = parts;
        m_done.store(0, std::memory_order_relaxed);
        m_generation = (m_generation + 1) & kGenerationMask;
        m_ticket.store(m_generation << (2 * kBits) | uint64_t{parts} << kBits);
    }
    /// Sends everybody home who asks: see closed().
    void close() { m_ticket.store(kClosed); }
    /// After close(), before the next publish(). Nobody may be in claim().
    void reopen() { m_ticket.store(0); }
    /// A late claim past the end may have counted on since.
    bool closed() const { return (m_ticket.load(std::memory_order_acquire) & kClosed) != 0; }

    /// True while parts are left that nobody has claimed.
    bool open() const { return has_part(m_ticket.load(std::memory_order_acquire)); }
    /// Does parts until none is left to claim.
    void claim()
    {
        // The look before the claim keeps the counter from growing with each visit.
        while (open()) {
            const uint64_t ticket = m_ticket.fetch_add(1, std::memory_order_acq_rel);
            if (!has_part(ticket)) {
                return;
            }
            // A job whose part is claimed and not done cannot be replaced: its fields stay as they are.
            m_function(m_context, ticket & kMask);
            m_done.fetch_add(1, std::memory_order_release);
        }
    }
    /// True when all parts of the job are done, and what they wrote can be read.
    bool finished() const { return m_done.load(std::memory_order_acquire) == m_parts; }
    /// What changes with each job: to wait for, by MWAIT or its like.
    std::atomic<uint64_t>& ticket() { return m_ticket; }

private:
    static constexpr unsigned kBits = 20;
    static constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
    static constexpr uint64_t kGenerationMask = (uint64_t{1} << 23) - 1;
    static constexpr uint64_t kClosed = uint64_t{1} << 63;

    /// Generation, parts, next part. A closed board has no parts.
    static bool has_part(uint64_t ticket) { return (ticket & kMask) < (ticket >> kBits & kMask); }

    alignas(64) std::atomic<uint64_t> m_ticket{0};
    alignas(64) std::atomic<size_t> m_done{0};
    alignas(64) Function m_function = nullptr;
    void* m_context = nullptr;
    size_t m_parts = 0;
    uint64_t m_generation = 0;
};

} // namespace llmk
