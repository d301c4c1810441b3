// SPDX-License-Identifier: MIT
//
// A conversation as text: what was said and answered, turn by turn. It outlives the model that it was had with, so that
// another can go on with it. Owns the text and nothing else; tokens and their places are src/engine/chat.h.
#pragma once

#include "mem/vec.h"

namespace llmk {

class Transcript {
public:
    static constexpr size_t kMaxTurns = 256;

    explicit Transcript(Platform& platform) : m_text(platform) {}

    size_t count() const { return m_count; }
    /// False of a turn whose text is not known: it came as tokens, or there was no memory for it.
    bool known(size_t turn) const { return m_turns[turn].known; }
    std::string_view user(size_t turn) const;
    std::string_view answer(size_t turn) const;

    /// Starts a turn behind the others, which counts once it is kept.
    void begin(std::string_view user);
    /// More of its answer.
    void add(std::string_view answer);
    void keep();
    /// Starts the last turn once more; until it is kept both are there.
    void begin_again();
    /// The started turn takes the last one's place.
    void keep_in_place_of_last();
    void discard() { m_text_used = end_of_turns(); }
    /// A turn without text.
    void keep_unknown();

    void drop_first();
    void drop_last();
    void clear();

private:
    struct Turn {
        uint32_t user_bytes;
        uint32_t answer_bytes;
        bool known;
    };

    size_t start_of(size_t turn) const;
    size_t end_of_turns() const { return start_of(m_count); }
    bool append(std::string_view text);

    Vec<char> m_text; ///< turns one behind the other, the started one last
    size_t m_text_used = 0;
    Turn m_turns[kMaxTurns] = {};
    Turn m_started = {};
    size_t m_count = 0;
};

} // namespace llmk
