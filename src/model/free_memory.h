// SPDX-License-Identifier: MIT
//
// What memory there is, for planning: how much an allocation takes off it before anything is allocated.
#pragma once

#include "mem/zones.h"

#include <algorithm>

namespace llmk {

/// Free extents as a planner fills them.
class FreeMemory {
public:
    /// A 2 MiB-aligned allocation can cost up to this on top of its size.
    static constexpr uint64_t kAlignmentSlack = 2u << 20;

    explicit FreeMemory(Platform& platform) { m_count = platform.memory_extents(m_sizes); }

    uint64_t total() const
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < m_count; ++i) {
            sum += m_sizes[i];
        }
        return sum;
    }
    uint64_t largest() const { return m_count == 0 ? 0 : *std::max_element(m_sizes, m_sizes + m_count); }
    /// What an allocation of so many bytes of pages can take off a free extent.
    static uint64_t cost(uint64_t page_bytes)
    {
        return page_bytes >= kAlignmentSlack ? page_bytes + kAlignmentSlack : page_bytes;
    }
    /// The same for an arena's extent of so many usable bytes.
    static uint64_t extent_cost(uint64_t usable_bytes) { return cost(Arena::extent_bytes(usable_bytes)); }
    /// Takes them from the smallest free extent that holds them, so that the large ones stay whole.
    bool take_pages(uint64_t page_bytes) { return take(cost(page_bytes)); }
    bool take_extent(uint64_t usable_bytes) { return take(extent_cost(usable_bytes)); }

private:
    static constexpr size_t kMaxExtents = 64;

    bool take(uint64_t bytes)
    {
        size_t best = m_count;
        for (size_t i = 0; i < m_count; ++i) {
            if (m_sizes[i] >= bytes && (best == m_count || m_sizes[i] < m_sizes[best])) {
                best = i;
            }
        }
        if (best == m_count) {
            return false;
        }
        m_sizes[best] -= bytes;
        return true;
    }

    uint64_t m_sizes[kMaxExtents];
    size_t m_count = 0;
};

} // namespace llmk
