// SPDX-License-Identifier: MIT
//
// A pool of threads for Platform::parallel over a job board. Between jobs the threads spin a little, since the next one
// is microseconds away in the middle of a token, and then sleep.
#pragma once

#include "base/job_board.h"
#include "llmk/platform.h"

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
    void run(ParallelFunction function, void* context, size_t parts)
    {
        begin(function, context, parts);
        end();
    }
    /// The threads do it; the caller takes part from end() on. One job at a time.
    void begin(ParallelFunction function, void* context, size_t parts);
    bool done() const { return m_board.finished(); }
    void end();

private:
    void work();

    std::vector<std::thread> m_threads;
    JobBoard m_board;
};

} // namespace llmk
