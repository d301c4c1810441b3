// SPDX-License-Identifier: MIT
#include "base/job_board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace llmk {
namespace {

struct Counts {
    std::vector<std::atomic<int>> done;
    explicit Counts(size_t parts) : done(parts) {}
    static void count(void* self, size_t part) { ++static_cast<Counts*>(self)->done[part]; }
    bool each_once() const
    {
        return std::all_of(done.begin(), done.end(), [](const auto& times) { return times == 1; });
    }
};

/// Processors that claim until the board is closed, as fast as they can.
class Crowd {
public:
    Crowd(JobBoard& board, size_t count) : m_board(board)
    {
        for (size_t i = 0; i < count; ++i) {
            m_threads.emplace_back([this] {
                while (!m_board.closed()) {
                    m_board.claim();
                }
            });
        }
    }
    ~Crowd()
    {
        m_board.close();
        for (std::thread& thread : m_threads) {
            thread.join();
        }
    }

private:
    JobBoard& m_board;
    std::vector<std::thread> m_threads;
};

TEST(JobBoard, WithoutAnybodyElseTheCallerDoesAllParts)
{
    JobBoard board;
    Counts counts(5);
    EXPECT_FALSE(board.open());
    board.publish(Counts::count, &counts, 5);
    EXPECT_TRUE(board.open());
    EXPECT_FALSE(board.finished());
    board.claim();
    EXPECT_FALSE(board.open());
    EXPECT_TRUE(board.finished());
    EXPECT_TRUE(counts.each_once());
}

TEST(JobBoard, EachPartOfManySmallJobsIsDoneOnceByACrowd)
{
    JobBoard board;
    const Crowd crowd(board, 3);
    for (size_t job = 0; job < 3000; ++job) {
        // The counts live on this stack frame's job only: a claim of the job before would be seen as a wrong count.
        Counts counts(1 + job % 7);
        board.publish(Counts::count, &counts, counts.done.size());
        board.claim();
        while (!board.finished()) {
            std::this_thread::yield();
        }
        ASSERT_TRUE(counts.each_once()) << "job " << job;
    }
}

TEST(JobBoard, AJobIsFinishedOnlyWhenAPartThatAnotherClaimedIsDone)
{
    JobBoard board;
    std::atomic<bool> entered = false;
    std::atomic<bool> go_on = false;
    struct Gate {
        std::atomic<bool>&entered, &go_on;
    } gate = {entered, go_on};
    board.publish(
        [](void* context, size_t part) {
            auto& shared = *static_cast<Gate*>(context);
            if (part == 0) {
                shared.entered = true;
                while (!shared.go_on) {
                    std::this_thread::yield();
                }
            }
        },
        &gate, 2);
    std::thread other([&] { board.claim(); });
    while (!entered) {
        std::this_thread::yield();
    }
    board.claim(); // part 1
    EXPECT_FALSE(board.open());
    EXPECT_FALSE(board.finished());
    go_on = true;
    other.join();
    EXPECT_TRUE(board.finished());
}

TEST(JobBoard, AClosedBoardHasNothingToClaimUntilItIsOpenedAgain)
{
    JobBoard board;
    board.close();
    EXPECT_TRUE(board.closed());
    board.claim();
    EXPECT_FALSE(board.open());
    board.ticket().fetch_add(1); // a claim that looked before it was closed, and counts on after
    EXPECT_TRUE(board.closed());
    EXPECT_FALSE(board.open());
    board.reopen();
    EXPECT_FALSE(board.closed());
    Counts counts(2);
    board.publish(Counts::count, &counts, 2);
    board.claim();
    EXPECT_TRUE(counts.each_once());
}

} // namespace
} // namespace llmk
