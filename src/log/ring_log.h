// SPDX-License-Identifier: MIT
//
// The ring log of Zone C: fixed records, the newest over the oldest, no allocation, readable after a fault. Owns the
// records and how a line of it looks; where lines go (console, file) is the caller's.
#pragma once

#include "base/status.h"

namespace llmk {

enum class LogCode : uint8_t {
    boot,
    cpu,
    kernels,
    file,
    load,
    memory,
    turn,
    budget,
    trip,
    rewind,
    config,
    error,
};
std::string_view log_code_name(LogCode code);

/// One record, 128 bytes. `arena` is a ZoneId, or 0xff for none.
struct LogRecord {
    uint64_t ticks;
    uint64_t pointer;
    uint64_t size;
    LogCode code;
    uint8_t arena;
    uint8_t text_length;
    char text[101];
};
static_assert(sizeof(LogRecord) == 128);

class RingLog {
public:
    static constexpr uint8_t kNoArena = 0xff;

    /// `records` is storage that outlives the log; none means that records are dropped.
    void attach(std::span<LogRecord> records) { m_records = records; }

    /// Cuts `text` to what a record holds.
    void add(uint64_t ticks, LogCode code, std::string_view text, uint8_t arena = kNoArena, uint64_t pointer = 0,
             uint64_t size = 0);

    /// Records there are now, at most the capacity.
    size_t count() const;
    /// Records ever written.
    uint64_t total() const { return m_total; }
    size_t capacity() const { return m_records.size(); }
    /// 0 is the oldest that is still there.
    const LogRecord& at(size_t index) const;
    void clear() { m_total = 0; }

    /// "[    1.234567] trip      the guard of KV was overwritten (0x1000 +64)".
    static void format_record(TextWriter& out, const LogRecord& record, uint64_t first_ticks,
                              uint64_t ticks_per_second);

private:
    std::span<LogRecord> m_records;
    uint64_t m_total = 0;
};

} // namespace llmk
