// SPDX-License-Identifier: MIT
//
// Reads one input from a person: editing, history, several lines, completion. Owns the text and what the keys do to
// it; how it looks is src/repl/line_view.h, when it ends is src/repl/multiline.h.
//
//   Left Right Ctrl-B Ctrl-F     a character           Backspace Ctrl-H   delete the character before the cursor
//   Ctrl-Left Ctrl-Right         a word                Del Ctrl-D         delete the character at the cursor
//   Home End Ctrl-A Ctrl-E       ends of the line      Ctrl-W             delete the word before the cursor
//   Up Down Ctrl-P Ctrl-N        a line, then history  Ctrl-U Ctrl-K      delete to the line's start, end
//   Tab (twice: list)            complete              Ctrl-L             clear the screen
//   Ctrl-C                       drop the input        Ctrl-D when empty  the end
#pragma once

#include "repl/completion.h"
#include "repl/history.h"
#include "repl/keys.h"
#include "repl/line_view.h"

namespace llmk {

enum class LineEvent : uint8_t {
    line,      ///< `line()` holds it
    interrupt, ///< Ctrl-C on an empty input
    end,       ///< Ctrl-D on an empty input
};

class LineEditor {
public:
    /// Half of `storage` is the capacity of an input, the other half keeps the input being typed while a person looks
    /// through the history. All must outlive the editor.
    LineEditor(Platform& platform, KeyQueue& keys, History& history, std::span<char> storage);

    void set_completer(CompletionFunction function, void* context)
    {
        m_completer = function;
        m_completer_context = context;
    }

    /// The cursor must be at the start of a line, and is again on return. Adds the input to the history.
    LineEvent read_line(std::string_view prompt);
    /// What was read, the marks of several lines taken out. Valid until the next read_line.
    std::string_view line() const { return {m_buffer.data(), m_size}; }
    /// True if something typed was dropped because the storage was full; then the line is only the start of it.
    bool truncated() const { return m_truncated; }

private:
    enum class Step : uint8_t { go_on, line, interrupt, end };

    std::string_view text() const { return {m_buffer.data(), m_size}; }
    size_t previous(size_t index) const;
    size_t following(size_t index) const;
    size_t word_before(size_t index) const;
    size_t word_after(size_t index) const;
    size_t line_start(size_t index) const;
    size_t line_end(size_t index) const;
    size_t same_column_in(size_t line) const;

    Step handle(const Key& key);
    Step handle_ctrl(char32_t letter);
    Step enter();
    /// Puts `with` in the place of the bytes from `begin` to `end`; false if not all of it fitted.
    bool replace(size_t begin, size_t end, std::string_view with);
    void move_to(size_t index);
    void insert_typed(const Key& first);
    void up();
    void down();
    void show_history(size_t age);
    void complete();
    void list_candidates(size_t widest);

    Platform& m_platform;
    KeyQueue& m_keys;
    History& m_history;
    LineView m_view;
    CompletionFunction m_completer = nullptr;
    void* m_completer_context = nullptr;

    std::span<char> m_buffer;
    std::span<char> m_draft;
    std::string_view m_prompt;
    size_t m_size = 0;
    size_t m_cursor = 0; ///< byte index, at the start of a character
    size_t m_draft_size = 0;
    size_t m_age = 0; ///< the history entry that is shown; 0 is the draft
    bool m_truncated = false;
    bool m_tab_was_last = false;
    bool m_has_pending = false;
    Key m_pending; ///< taken from the queue while characters were gathered, but to be handled by itself
};

} // namespace llmk
