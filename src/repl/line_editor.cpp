// SPDX-License-Identifier: MIT
#include "repl/line_editor.h"

#include "base/text.h"
#include "repl/multiline.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

/// A key that stands for itself. Alt does not matter: AltGr makes '@' and '{' on many keyboards and arrives as Alt.
bool is_typed(const Key& key)
{
    const char32_t c = key.character;
    return key.code == KeyCode::character && !key.ctrl && c >= 0x20 && c != 0x7F && c <= 0x10FFFF &&
           !(c >= 0x80 && c < 0xA0) && !(c >= 0xD800 && c < 0xE000);
}

} // namespace

LineEditor::LineEditor(Platform& platform, KeyQueue& keys, History& history, std::span<char> storage)
    : m_platform(platform), m_keys(keys), m_history(history), m_view(platform),
      m_buffer(storage.first(storage.size() / 2)), m_draft(storage.subspan(storage.size() / 2))
{
}

LineEvent LineEditor::read_line(std::string_view prompt)
{
    m_prompt = prompt;
    m_size = 0;
    m_cursor = 0;
    m_draft_size = 0;
    m_age = 0;
    m_truncated = false;
    m_tab_was_last = false;
    m_has_pending = false;
    m_view.begin(prompt);
    for (;;) {
        const Key key = m_has_pending ? m_pending : m_keys.wait();
        m_has_pending = false;
        const bool tab = key.code == KeyCode::tab;
        const Step step = handle(key);
        m_tab_was_last = tab;
        switch (step) {
        case Step::go_on:
            break;
        case Step::line:
            m_view.finish(text());
            m_history.add(text());
            m_size = join_lines(m_buffer.first(m_size));
            return LineEvent::line;
        case Step::interrupt:
            m_view.finish(text());
            return LineEvent::interrupt;
        case Step::end:
            m_view.finish(text());
            return LineEvent::end;
        }
    }
}

LineEditor::Step LineEditor::handle(const Key& key)
{
    const bool by_word = key.ctrl || key.alt;
    switch (key.code) {
    case KeyCode::character:
        if (key.ctrl) {
            return handle_ctrl(key.character);
        }
        insert_typed(key);
        break;
    case KeyCode::enter:
        return enter();
    case KeyCode::backspace:
        replace(by_word ? word_before(m_cursor) : previous(m_cursor), m_cursor, {});
        break;
    case KeyCode::del:
        replace(m_cursor, by_word ? word_after(m_cursor) : following(m_cursor), {});
        break;
    case KeyCode::tab:
        complete();
        break;
    case KeyCode::left:
        move_to(by_word ? word_before(m_cursor) : previous(m_cursor));
        break;
    case KeyCode::right:
        move_to(by_word ? word_after(m_cursor) : following(m_cursor));
        break;
    case KeyCode::home:
        move_to(line_start(m_cursor));
        break;
    case KeyCode::end:
        move_to(line_end(m_cursor));
        break;
    case KeyCode::up:
        up();
        break;
    case KeyCode::down:
        down();
        break;
    case KeyCode::escape: // stops an answer; one that comes late must not cost the next input
    case KeyCode::page_up:
    case KeyCode::page_down:
        break;
    }
    return Step::go_on;
}

/// For keyboards and lines whose cursor keys do not come through.
LineEditor::Step LineEditor::handle_ctrl(char32_t letter)
{
    switch (letter) {
    case 'a':
        move_to(line_start(m_cursor));
        break;
    case 'b':
        move_to(previous(m_cursor));
        break;
    case 'c':
        if (m_size == 0) {
            return Step::interrupt;
        }
        replace(0, m_size, {});
        m_age = 0;
        m_truncated = false;
        break;
    case 'd':
        if (m_size == 0) {
            return Step::end;
        }
        replace(m_cursor, following(m_cursor), {});
        break;
    case 'e':
        move_to(line_end(m_cursor));
        break;
    case 'f':
        move_to(following(m_cursor));
        break;
    case 'h':
        replace(previous(m_cursor), m_cursor, {});
        break;
    case 'k':
        replace(m_cursor, line_end(m_cursor), {});
        break;
    case 'l':
        m_view.repaint(text(), m_cursor);
        break;
    case 'n':
        down();
        break;
    case 'p':
        up();
        break;
    case 'u':
        replace(line_start(m_cursor), m_cursor, {});
        break;
    case 'w':
        replace(word_before(m_cursor), m_cursor, {});
        break;
    default:
        break;
    }
    return Step::go_on;
}

LineEditor::Step LineEditor::enter()
{
    if (wants_more_lines(text()) && replace(m_cursor, m_cursor, "\n")) {
        return Step::go_on;
    }
    return Step::line;
}

bool LineEditor::replace(size_t begin, size_t end, std::string_view with)
{
    // What stays the same is not drawn again: entries of a history often start alike.
    while (begin < end && !with.empty() && m_buffer[begin] == with.front()) {
        ++begin;
        with.remove_prefix(1);
    }
    size_t back = 0;
    while (begin > 0 && begin < m_size && back < 3 && continues(m_buffer[begin])) {
        --begin;
        ++back;
    }
    with = {with.data() - back, with.size() + back};

    const size_t room = m_buffer.size() - (m_size - (end - begin));
    size_t fitting = std::min(with.size(), room);
    while (fitting > 0 && fitting < with.size() && continues(with[fitting])) {
        --fitting;
    }
    m_truncated = m_truncated || fitting < with.size();
    if (begin == end && fitting == 0) {
        move_to(begin);
        return with.empty();
    }
    m_view.before_change(text(), begin);
    __builtin_memmove(m_buffer.data() + begin + fitting, m_buffer.data() + end, m_size - end);
    if (fitting > 0) {
        __builtin_memcpy(m_buffer.data() + begin, with.data(), fitting);
    }
    m_size = m_size - (end - begin) + fitting;
    m_cursor = begin + fitting;
    m_view.changed(text(), begin, m_cursor);
    return fitting == with.size();
}

void LineEditor::move_to(size_t index)
{
    if (index != m_cursor) {
        m_cursor = index;
        m_view.moved(text(), m_cursor);
    }
}

/// Takes along what else was typed meanwhile: a paste into the middle of a text redraws its rest once, not for each
/// character (over a serial line that is the difference between at once and seconds).
void LineEditor::insert_typed(const Key& first)
{
    Text<128> run;
    Key key = first;
    for (;;) {
        if (is_typed(key)) {
            utf8_encode(run, key.character);
        }
        if (run.size() + 4 > run.capacity() || !m_keys.next(key)) {
            break;
        }
        if (!is_typed(key)) {
            m_pending = key;
            m_has_pending = true;
            break;
        }
    }
    replace(m_cursor, m_cursor, run.view());
}

// --- places in the text -------------------------------------------------------------------------------------------

size_t LineEditor::previous(size_t index) const
{
    index -= index > 0 ? 1 : 0;
    while (index > 0 && continues(m_buffer[index])) {
        --index;
    }
    return index;
}

size_t LineEditor::following(size_t index) const
{
    index += index < m_size ? 1 : 0;
    while (index < m_size && continues(m_buffer[index])) {
        ++index;
    }
    return index;
}

size_t LineEditor::word_before(size_t index) const
{
    while (index > 0 && is_blank(m_buffer[index - 1])) {
        --index;
    }
    while (index > 0 && !is_blank(m_buffer[index - 1])) {
        --index;
    }
    return index;
}

size_t LineEditor::word_after(size_t index) const
{
    while (index < m_size && is_blank(m_buffer[index])) {
        ++index;
    }
    while (index < m_size && !is_blank(m_buffer[index])) {
        ++index;
    }
    return index;
}

size_t LineEditor::line_start(size_t index) const
{
    while (index > 0 && m_buffer[index - 1] != '\n') {
        --index;
    }
    return index;
}

size_t LineEditor::line_end(size_t index) const
{
    while (index < m_size && m_buffer[index] != '\n') {
        ++index;
    }
    return index;
}

// --- history ------------------------------------------------------------------------------------------------------

/// Within an input of several lines first; past its first line, the history.
void LineEditor::up()
{
    const size_t start = line_start(m_cursor);
    if (start > 0) {
        move_to(same_column_in(line_start(start - 1)));
    } else if (m_age < m_history.count()) {
        show_history(m_age + 1);
    }
}

void LineEditor::down()
{
    const size_t end = line_end(m_cursor);
    if (end < m_size) {
        move_to(same_column_in(end + 1));
    } else if (m_age > 0) {
        show_history(m_age - 1);
    }
}

/// As many characters into the line that starts at `line` as the cursor is into its own.
size_t LineEditor::same_column_in(size_t line) const
{
    const size_t end = line_end(line);
    size_t target = line;
    for (size_t at = line_start(m_cursor); at < m_cursor && target < end; at = following(at)) {
        target = following(target);
    }
    return target;
}

void LineEditor::show_history(size_t age)
{
    if (m_age == 0) {
        __builtin_memcpy(m_draft.data(), m_buffer.data(), m_size);
        m_draft_size = m_size;
    }
    m_age = age;
    replace(0, m_size, age == 0 ? std::string_view(m_draft.data(), m_draft_size) : m_history.entry(age));
}

// --- completion ---------------------------------------------------------------------------------------------------

void LineEditor::complete()
{
    if (m_completer == nullptr) {
        return;
    }
    const auto before = head(text(), m_cursor);
    CommonStart found;
    const size_t start = m_completer(m_completer_context, before, found);
    if (found.count() == 0 || start > m_cursor) {
        return;
    }
    // One candidate is taken as it is (it may only differ in letter case); of several, what all of them add.
    if (found.common() != tail(before, start) && (found.count() == 1 || found.common().size() >= m_cursor - start)) {
        replace(start, m_cursor, found.common());
    } else if (m_tab_was_last && found.count() > 1) {
        list_candidates(found.widest());
    }
}

void LineEditor::list_candidates(size_t widest)
{
    m_view.finish(text());
    CandidateColumns list(m_platform, m_view.width(), widest);
    m_completer(m_completer_context, head(text(), m_cursor), list);
    list.finish();
    m_view.begin(m_prompt);
    m_view.changed(text(), 0, m_cursor);
}

} // namespace llmk
