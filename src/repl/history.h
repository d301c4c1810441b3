// SPDX-License-Identifier: MIT
//
// The inputs of this session, for Up and Down. Keeps whole inputs, several lines as one entry; nothing is saved.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace llmk {

/// Entries lie one behind the other in the caller's storage, each ended by a zero byte. When a new one does not fit,
/// the oldest go. An entry that is empty, blank, like the one before, or larger than the storage is not kept.
class History {
public:
    /// The storage must outlive the history.
    explicit History(std::span<char> storage) : m_storage(storage) {}
    History(const History&) = delete;
    History& operator=(const History&) = delete;

    void add(std::string_view entry);
    size_t count() const { return m_count; }
    /// `age` 1 is the newest, count() the oldest. Valid until the next `add`.
    std::string_view entry(size_t age) const;

private:
    void drop_oldest();

    std::span<char> m_storage;
    size_t m_used = 0; ///< bytes
    size_t m_count = 0;
};

} // namespace llmk
