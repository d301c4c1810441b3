// SPDX-License-Identifier: MIT
#include "boot/menu.h"

#include "boot/candidates.h"
#include "boot/menu_view.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr size_t kNone = SIZE_MAX;
constexpr uint32_t kPollMilliseconds = 20;

bool is_leave(const Key& key)
{
    return is_interrupt(key) || (key.code == KeyCode::character && (key.character == 'q' || key.character == 'Q'));
}

class Menu {
public:
    Menu(Platform& platform, KeyQueue& keys, std::span<const MenuEntry> entries, const MenuOptions& options)
        : m_platform(platform), m_keys(keys), m_entries(entries), m_options(options), m_view(platform, entries, options)
    {
        find_default();
    }

    MenuChoice run();

private:
    void find_default();
    size_t only_loadable() const;
    Key wait_or_count_down();
    bool handle(const Key& key);
    void digit(size_t value);
    void select(size_t index);
    void activate();

    Platform& m_platform;
    KeyQueue& m_keys;
    std::span<const MenuEntry> m_entries;
    const MenuOptions& m_options;
    MenuView m_view;
    MenuChoice m_choice = {MenuAction::leave, 0};
    size_t m_selected = 0;
    size_t m_target = kNone; ///< what the countdown starts
    bool m_counting = false;
    bool m_default_missing = false;
    bool m_ended = false;
    size_t m_number = 0; ///< being typed
};

void Menu::find_default()
{
    const auto first_with = [&](auto&& test) {
        const auto found = std::find_if(m_entries.begin(), m_entries.end(), test);
        return found == m_entries.end() ? kNone : static_cast<size_t>(found - m_entries.begin());
    };
    const size_t first_loadable = first_with([](const MenuEntry& entry) { return entry.loadable; });
    m_selected = first_loadable == kNone ? 0 : first_loadable;
    m_target = first_loadable;
    if (!m_options.default_name.empty()) {
        // One that can be loaded is preferred: x.bin may lie beside a broken x.gguf.
        const auto named = [&](const MenuEntry& entry) { return is_meant(m_options.default_name, entry.path); };
        size_t index = first_with([&](const MenuEntry& entry) { return entry.loadable && named(entry); });
        m_target = index;
        index = index == kNone ? first_with(named) : index;
        m_selected = index == kNone ? m_selected : index;
        m_default_missing = index == kNone;
    }
}

size_t Menu::only_loadable() const
{
    size_t index = kNone;
    for (size_t i = 0; i < m_entries.size(); ++i) {
        if (m_entries[i].loadable) {
            if (index != kNone) {
                return kNone;
            }
            index = i;
        }
    }
    return index;
}

MenuChoice Menu::run()
{
    if (const size_t only = only_loadable(); m_options.start_only_one && only != kNone) {
        return {MenuAction::start, only};
    }
    m_counting = m_options.timeout_seconds.has_value() && m_target != kNone;
    if (m_counting && *m_options.timeout_seconds == 0) {
        return {MenuAction::start, m_target};
    }
    m_view.draw(m_selected);
    if (m_default_missing && !m_entries.empty()) {
        m_view.status(Style::warning,
                      Text<160>("The default model \"{:.64}\" is not here.", m_options.default_name).view());
    }
    while (!m_ended) {
        if (m_counting) {
            const Key key = wait_or_count_down();
            // Whoever presses Esc to stop a countdown does not want to be thrown out.
            if (m_ended || is_leave(key)) {
                continue;
            }
            m_ended = handle(key);
        } else {
            m_ended = handle(m_keys.wait());
        }
    }
    m_view.close();
    return m_choice;
}

/// Returns with a key, or with the choice made.
Key Menu::wait_or_count_down()
{
    const uint64_t second = m_platform.ticks_per_second();
    const uint64_t start = m_platform.ticks();
    uint64_t shown = UINT64_MAX;
    Key key;
    while (!m_keys.next(key)) {
        const uint64_t passed = (m_platform.ticks() - start) / second;
        if (passed >= *m_options.timeout_seconds) {
            m_choice = {MenuAction::start, m_target};
            m_ended = true;
            return key;
        }
        const uint64_t left = *m_options.timeout_seconds - passed;
        if (left != shown) {
            shown = left;
            const Text<240> line("Starts {} in {} s; any key stops this.", m_entries[m_target].name, left);
            m_view.status(Style::accent, line.view());
        }
        m_platform.idle(kPollMilliseconds);
    }
    m_counting = false;
    m_view.status(Style::normal, "");
    return key;
}

/// True when the menu is over.
bool Menu::handle(const Key& key)
{
    const size_t last = m_entries.empty() ? 0 : m_entries.size() - 1;
    const size_t typed = m_number;
    m_number = 0;
    m_view.status(Style::normal, "");
    if (is_leave(key)) {
        m_choice = {MenuAction::leave, 0};
        return true;
    }
    switch (key.code) {
    case KeyCode::up:
        select(m_selected > 0 ? m_selected - 1 : 0);
        break;
    case KeyCode::down:
        select(std::min(m_selected + 1, last));
        break;
    case KeyCode::page_up:
        select(m_selected > m_view.page() ? m_selected - m_view.page() : 0);
        break;
    case KeyCode::page_down:
        select(std::min(m_selected + m_view.page(), last));
        break;
    case KeyCode::home:
        select(0);
        break;
    case KeyCode::end:
        select(last);
        break;
    case KeyCode::enter:
        activate();
        break;
    case KeyCode::backspace:
        m_number = typed;
        digit(kNone);
        break;
    case KeyCode::character:
        if (key.character >= '0' && key.character <= '9') {
            m_number = typed;
            digit(key.character - '0');
        } else if (key.character == 'r' || key.character == 'R') {
            m_choice = {MenuAction::rescan, 0};
            return true;
        }
        break;
    default:
        break;
    }
    return m_ended;
}

/// One digit of a number, or kNone to take the last one back. Up to nine entries, a digit is the whole number.
void Menu::digit(size_t value)
{
    const size_t number = value == kNone ? m_number / 10 : m_number * 10 + value;
    m_number = number <= m_entries.size() ? number : m_number;
    if (m_number == 0) {
        return;
    }
    select(m_number - 1);
    if (m_entries.size() <= 9) {
        m_number = 0;
        activate();
    } else {
        m_view.status(Style::accent, Text<64>("Number {}, then Enter.", m_number).view());
    }
}

void Menu::select(size_t index)
{
    if (!m_entries.empty() && index != m_selected) {
        m_selected = index;
        m_view.select(index);
    }
}

void Menu::activate()
{
    if (m_entries.empty()) {
        return;
    }
    if (!m_entries[m_selected].loadable) {
        m_view.status(Style::error, "This one cannot be started; the reason is above.");
        return;
    }
    m_choice = {MenuAction::start, m_selected};
    m_ended = true;
}

} // namespace

MenuChoice run_menu(Platform& platform, KeyQueue& keys, std::span<const MenuEntry> entries, const MenuOptions& options)
{
    return Menu(platform, keys, entries, options).run();
}

} // namespace llmk
