// SPDX-License-Identifier: MIT
#include "boot/load_bar.h"

#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {
constexpr size_t kCells = 20;

/// The first `columns` characters, each one column wide; `columns` becomes how many there were.
std::string_view first_columns(std::string_view text, size_t& columns)
{
    size_t bytes = 0;
    size_t count = 0;
    while (bytes < text.size() && count < columns) {
        bytes += utf8_decode(tail(text, bytes)).length;
        ++count;
    }
    columns = count;
    return head(text, bytes);
}
} // namespace

LoadObserver LoadBar::observer()
{
    return {this, [](void* context, uint64_t done, uint64_t total) {
                return static_cast<LoadBar*>(context)->progress(done, total);
            }};
}

bool LoadBar::progress(uint64_t done_bytes, uint64_t total_bytes)
{
    m_total_bytes = total_bytes;
    const uint64_t now = m_platform.ticks();
    if (now >= m_next) {
        draw(done_bytes, total_bytes);
        const uint64_t drawn = m_platform.ticks();
        m_next = now + std::max(pause(), (drawn - now) * kDrawingShare);
    }
    return !m_keys.interrupt_pending();
}

void LoadBar::draw(uint64_t done_bytes, uint64_t total_bytes)
{
    const double seconds = std::max(
        static_cast<double>(m_platform.ticks() - m_started) / static_cast<double>(m_platform.ticks_per_second()), 1e-6);
    const double speed = static_cast<double>(done_bytes) / seconds;
    const uint64_t cells = total_bytes == 0 ? kCells : done_bytes * kCells / total_bytes;
    Text<160> line("{:.24} [", m_name);
    for (size_t i = 0; i < kCells; ++i) {
        line.put(i < cells ? '#' : '.');
    }
    format(line, "] {} of {}, {:.1} MB/s", human_bytes(done_bytes), human_bytes(total_bytes), speed / 1e6);
    if (done_bytes < total_bytes) {
        format(line, ", {:.0} s left", static_cast<double>(total_bytes - done_bytes) / speed);
    }
    size_t columns = std::max<size_t>(m_platform.console_size().columns, 2) - 1;
    const auto shown = first_columns(line, columns);
    m_platform.console_move(-static_cast<int>(m_width), 0);
    m_platform.console_write(shown);
    for (size_t i = columns; i < m_width; ++i) {
        m_platform.console_write(" "); // over the rest of a longer line
    }
    if (m_width > columns) {
        m_platform.console_move(-static_cast<int>(m_width - columns), 0);
    }
    m_width = columns;
}

void LoadBar::finish(bool loaded)
{
    if (loaded) {
        draw(m_total_bytes, m_total_bytes);
    }
    m_platform.console_write("\n");
}

} // namespace llmk
