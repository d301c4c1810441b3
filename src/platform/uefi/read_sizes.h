// SPDX-License-Identifier: MIT
//
// How much is read at a time, and what happens when that fails: large reads are several times faster, and some firmware
// fails on them. Knows no firmware, so that the tests can fail for it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>

namespace llmk::uefi {

/// Goes down and never up again, until everything failed: firmware that cannot do it once never can.
class ReadSizes {
public:
    static constexpr size_t kLargest = 4 << 20;

    size_t largest() const { return kSizes[m_choice]; }
    /// A read of so many bytes failed. True: smaller ones will be tried from now on.
    bool shrink(size_t failed_bytes)
    {
        const size_t before = m_choice;
        while (m_choice + 1 < std::size(kSizes) && kSizes[m_choice] >= failed_bytes && failed_bytes > kSmallest) {
            ++m_choice;
        }
        return m_choice != before;
    }
    void forget() { m_choice = 0; }

private:
    static constexpr size_t kSmallest = 64 << 10;
    static constexpr size_t kSizes[] = {kLargest, 1 << 20, kSmallest};
    size_t m_choice = 0;
};

/// Reads `wanted` bytes. `read(done, bytes, got)` reads up to `bytes` behind the first `done` and is true when that
/// went well; `recover()` prepares a further try (the file is opened anew) and is false when there is no point in one.
/// Each piece is tried in every size, and once more in the smallest. Returns how many came, fewer at the file's end
/// only; nothing when a piece could not be read.
template <class Read, class Recover>
std::optional<size_t> read_in_pieces(ReadSizes& sizes, size_t wanted, Read read, Recover recover)
{
    size_t done = 0;
    bool retried = false;
    while (done < wanted) {
        const size_t bytes = std::min(wanted - done, sizes.largest());
        size_t got = 0;
        if (read(done, bytes, got)) {
            retried = false;
            done += got;
            if (got == 0) {
                break; // the file has become shorter
            }
            continue;
        }
        const bool smaller = sizes.shrink(bytes);
        if ((retried && !smaller) || !recover()) {
            sizes.forget(); // a bad stick says nothing about the next one
            return std::nullopt;
        }
        retried = !smaller;
    }
    return done;
}

} // namespace llmk::uefi
