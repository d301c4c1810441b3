// SPDX-License-Identifier: MIT
//
// Rows on their way through the blocks of positions of kernels/attention_blocks.h, which includes this file behind a
// set's `Isa`, and tells what that is.
#pragma once

#include "kernels/attention_vectors.h"
#include "kernels/djiblas.h"

namespace llmk::djiblas::LLMK_KERNEL_SET {

namespace {

/// Positions of a block.
constexpr size_t kBlock = 64;
/// Rows that go through a block before the next is taken, while it is in the first-level cache.
constexpr size_t kRows = 32;
constexpr float kInfinity = __builtin_inff();

/// A query of one head on its way through the blocks. Its scores are in units of ln 2: a weight is a power of two. What
/// a group of kN rows knows of them is in vectors, lane i of which is of row i % kN.
struct Row {
    const float* query;
    float* out;        ///< sum of 2^(score - peak) * value
    size_t first, end; ///< positions that it sees
    Floats peak;       ///< of the first row of a group: the largest scores so far
    Floats sum;        ///< of 2^(score - peak), parts of it: those of all rows of a group together are the sums

    /// Those of its positions that belong to the block from `start` on, counted from there; none if from >= to.
    size_t from(size_t start) const { return first > start ? first - start : 0; }
    size_t to(size_t start) const
    {
        const size_t left = end > start ? end - start : 0;
        return left < kBlock ? left : kBlock;
    }
};

/// Asks for memory that is needed soon, a line or two whenever there is something else to do: more at a time than a
/// processor can wait for hold up what comes next.
class Ahead {
public:
    /// `bytes` at p, in so many steps. They may lie past the end of the keys or values; a prefetch does not mind.
    Ahead(const uint8_t* p, size_t bytes, size_t steps)
        : m_at(p), m_end(p + bytes), m_step((bytes + steps * kLine - 1) / (steps * kLine) * kLine)
    {
    }
    void step()
    {
        if (m_at >= m_end) {
            return;
        }
        const uint8_t* const to = m_at + m_step;
        for (; m_at != to; m_at += kLine) {
            __builtin_prefetch(m_at);
        }
    }

private:
    static constexpr size_t kLine = 64;
    const uint8_t* m_at;
    const uint8_t* m_end;
    size_t m_step;
};

/// Positions of a block, as Row::from and Row::to.
struct Range {
    size_t from;
    size_t to;

    bool empty() const { return from >= to; }
};

/// Those that any of so many rows sees. Those of a later row are later ones.
inline Range seen(const Row* rows, size_t count, size_t start)
{
    Range range = {SIZE_MAX, 0};
    for (size_t r = 0; r < count; r++) {
        range.from = rows[r].from(start) < range.from ? rows[r].from(start) : range.from;
        range.to = rows[r].to(start) > range.to ? rows[r].to(start) : range.to;
    }
    return range;
}

/// Calls function<kN>(r) for groups of kN rows from the r-th on.
template <class Function> inline void by_groups(size_t count, const Function& function)
{
    size_t r = 0;
    for (; r + 4 <= count; r += 4) {
        function.template operator()<4>(r);
    }
    if (r + 2 <= count) {
        function.template operator()<2>(r);
        r += 2;
    }
    if (r < count) {
        function.template operator()<1>(r);
    }
}

/// Calls function<kN>(r, range) for those that see any of these positions of the block; `range` is what they see.
template <class Function>
inline void by_groups(const Row* rows, size_t count, size_t start, const Range& positions, const Function& function)
{
    by_groups(count, [&]<size_t kN>(size_t r) {
        Range range = seen(rows + r, kN, start);
        range.from = range.from > positions.from ? range.from : positions.from;
        range.to = range.to < positions.to ? range.to : positions.to;
        if (!range.empty()) {
            function.template operator()<kN>(r, range);
        }
    });
}

} // namespace

} // namespace llmk::djiblas::LLMK_KERNEL_SET
