// SPDX-License-Identifier: MIT
//
// A file on the stick while the other processors are tried out: where a machine hangs or resets in that, it is still
// there at the next start, which then leaves them alone. Written to the volume the program came from, or nowhere.
#pragma once

#include "platform/uefi/volumes.h"

namespace llmk::uefi {

class ProbeMark {
public:
    explicit ProbeMark(Volumes& volumes) : m_volumes(volumes) {}

    static constexpr std::string_view kFile = "llmk-probe.txt";

    /// The step in which the last start ended; empty when it did not.
    Text<64> left() const;
    /// A stick that cannot be written to is no reason not to go on.
    void set(std::string_view step);
    void clear();

private:
    Volumes& m_volumes;
    bool m_is_set = false;
};

} // namespace llmk::uefi
