// SPDX-License-Identifier: MIT
//
// Tab: how candidates come from whoever knows them (the command table, the volume) to the line editor, and what it
// makes of them. Nothing is stored: candidates are asked for once to find what they share, once more to list them.
#pragma once

#include "llmk/platform.h"

namespace llmk {

/// Where a completer puts what could stand at the cursor.
class CompletionSink {
public:
    /// A full replacement for the part being completed; with a blank at its end if one should follow.
    virtual void add(std::string_view candidate) = 0;

protected:
    ~CompletionSink() = default;
};

/// Offers candidates for the end of `before`, which is the text up to the cursor. Returns where in `before` the part
/// starts that they replace. Called twice for a list, so it must offer the same each time.
using CompletionFunction = size_t (*)(void* context, std::string_view before, CompletionSink& sink);

/// What all candidates start with, how many there are and how wide.
class CommonStart final : public CompletionSink {
public:
    void add(std::string_view candidate) override;

    std::string_view common() const { return m_common.view(); }
    size_t count() const { return m_count; }
    /// Columns of the widest.
    size_t widest() const { return m_widest; }

private:
    Text<512> m_common;
    size_t m_count = 0;
    size_t m_widest = 0;
};

/// Writes the candidates in columns of `widest` within `width`.
class CandidateColumns final : public CompletionSink {
public:
    CandidateColumns(Platform& platform, size_t width, size_t widest);
    void add(std::string_view candidate) override;
    /// Ends the last row.
    void finish();

private:
    Platform& m_platform;
    size_t m_cell;
    size_t m_columns;
    size_t m_written = 0;
};

} // namespace llmk
