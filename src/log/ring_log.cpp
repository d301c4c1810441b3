// SPDX-License-Identifier: MIT
#include "log/ring_log.h"

namespace llmk {

std::string_view log_code_name(LogCode code)
{
    constexpr std::string_view kNames[] = {"boot", "cpu",    "kernels", "file",   "load",   "memory",
                                           "turn", "budget", "trip",    "rewind", "config", "error"};
    return kNames[static_cast<size_t>(code)];
}

void RingLog::add(uint64_t ticks, LogCode code, std::string_view text, uint8_t arena, uint64_t pointer, uint64_t size)
{
    if (m_records.empty()) {
        return;
    }
    LogRecord& record = m_records[m_total % m_records.size()];
    TextWriter cut(record.text, sizeof record.text);
    cut.put(text);
    record.ticks = ticks;
    record.code = code;
    record.arena = arena;
    record.pointer = pointer;
    record.size = size;
    record.text_length = static_cast<uint8_t>(cut.size());
    ++m_total;
}

size_t RingLog::count() const { return m_total < m_records.size() ? static_cast<size_t>(m_total) : m_records.size(); }

const LogRecord& RingLog::at(size_t index) const
{
    const uint64_t oldest = m_total - count();
    return m_records[(oldest + index) % m_records.size()];
}

void RingLog::format_record(TextWriter& out, const LogRecord& record, uint64_t first_ticks, uint64_t ticks_per_second)
{
    const uint64_t elapsed = record.ticks >= first_ticks ? record.ticks - first_ticks : 0;
    const double seconds = static_cast<double>(elapsed) / static_cast<double>(ticks_per_second ? ticks_per_second : 1);
    format(out, "[{:12.6}] {:<8} {}", seconds, log_code_name(record.code),
           std::string_view(record.text, record.text_length));
    if (record.pointer != 0 || record.size != 0) {
        format(out, " (0x{:x} +{})", record.pointer, record.size);
    }
}

} // namespace llmk
