// SPDX-License-Identifier: MIT
//
// Arithmetic on sizes that come from files: it never wraps. Everything is 64 bits.
#pragma once

#include <cstdint>

namespace llmk {

/// A product or sum of sizes that remembers whether it ever overflowed.
/// `CheckedSize bytes = CheckedSize(rows) * cols * 4; if (!bytes.valid()) ...`
class CheckedSize {
public:
    constexpr CheckedSize(uint64_t value) : m_value(value) {}

    constexpr CheckedSize operator*(CheckedSize other) const
    {
        CheckedSize result(0);
        result.m_overflow =
            __builtin_mul_overflow(m_value, other.m_value, &result.m_value) || m_overflow || other.m_overflow;
        return result;
    }
    constexpr CheckedSize operator+(CheckedSize other) const
    {
        CheckedSize result(0);
        result.m_overflow =
            __builtin_add_overflow(m_value, other.m_value, &result.m_value) || m_overflow || other.m_overflow;
        return result;
    }
    constexpr bool valid() const { return !m_overflow; }
    /// Only when valid().
    constexpr uint64_t value() const { return m_value; }

private:
    uint64_t m_value;
    bool m_overflow = false;
};

/// `value` rounded up to a multiple of `alignment`, a power of two.
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

} // namespace llmk
