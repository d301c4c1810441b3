// SPDX-License-Identifier: MIT
//
// A pool of threads for Platform::parallel: parts are claimed from a counter, so a thread that is faster, or not
// interrupted, takes more of them. Between jobs the threads spin a little, since the next one is microseconds away in
// the middle of a token, and then sleep.
#pragma once

#include "llmk/platform.h"

#include <atomic>
#include <thread>
#include <vector>

namespace llmk {

class Workers {
public:
    /// `count` processors, the caller's included; at least 1.
    explicit Workers(size_t count);
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    size_t count() const { return m_threads.size() + 1; }
    void run(ParallelFunction function, void* context, size_t parts);

private:
    void work();
    void claim_parts();

    std::vector<std::thread> m_threads;
    ParallelFunction m_function = nullptr;
    void* m_context = nullptr;
    size_t m_parts = 0;
    alignas(64) std::atomic<uint32_t> m_generation{0};
    alignas(64) std::atomic<size_t> m_next{0};
    alignas(64) std::atomic<size_t> m_busy{0};
    std::atomic<bool> m_stop{false};
};

} // namespace llmk
