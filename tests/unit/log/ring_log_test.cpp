// SPDX-License-Identifier: MIT
#include "log/ring_log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace llmk {
namespace {

std::string_view text_of(const LogRecord& record) { return {record.text, record.text_length}; }

TEST(RingLog, WithoutStorageDropsAll)
{
    RingLog log;
    log.add(1, LogCode::boot, "lost");
    EXPECT_EQ(log.count(), 0u);
    EXPECT_EQ(log.total(), 0u);
    EXPECT_EQ(log.capacity(), 0u);
}

TEST(RingLog, KeepsTheNewestInOrder)
{
    for (const size_t capacity : {size_t{1}, size_t{2}, size_t{5}, size_t{16}}) {
        std::vector<LogRecord> records(capacity);
        RingLog log;
        log.attach(records);
        for (size_t written = 1; written <= 3 * capacity + 1; ++written) {
            log.add(written, LogCode::turn, std::to_string(written));
            ASSERT_EQ(log.count(), std::min(written, capacity));
            ASSERT_EQ(log.total(), written);
            for (size_t i = 0; i < log.count(); ++i) {
                const size_t wanted = written - log.count() + 1 + i;
                ASSERT_EQ(log.at(i).ticks, wanted);
                ASSERT_EQ(text_of(log.at(i)), std::to_string(wanted));
            }
        }
        log.clear();
        EXPECT_EQ(log.count(), 0u);
        log.add(99, LogCode::boot, "anew");
        EXPECT_EQ(text_of(log.at(0)), "anew");
    }
}

TEST(RingLog, KeepsEveryField)
{
    std::vector<LogRecord> records(4);
    RingLog log;
    log.attach(records);
    log.add(7, LogCode::trip, "guard", 3, 0x1000, 64);
    log.add(8, LogCode::file, "plain");
    EXPECT_EQ(log.at(0).code, LogCode::trip);
    EXPECT_EQ(log.at(0).arena, 3);
    EXPECT_EQ(log.at(0).pointer, 0x1000u);
    EXPECT_EQ(log.at(0).size, 64u);
    EXPECT_EQ(log.at(1).arena, RingLog::kNoArena);
    EXPECT_EQ(log.at(1).pointer, 0u);
}

TEST(RingLog, CutsLongTextsAtACharacter)
{
    std::vector<LogRecord> records(2);
    RingLog log;
    log.attach(records);
    log.add(1, LogCode::error, std::string(500, 'x'));
    EXPECT_EQ(text_of(log.at(0)), std::string(101, 'x'));
    log.add(2, LogCode::error, std::string(100, 'y') + "é");
    EXPECT_EQ(text_of(log.at(1)), std::string(100, 'y'));
}

TEST(RingLog, LinesShowTimeCodeAndText)
{
    LogRecord record = {};
    record.ticks = 2'234'567'000;
    record.code = LogCode::trip;
    record.text_length = 3;
    std::copy_n("abc", 3, record.text);
    Text<240> line;
    RingLog::format_record(line, record, 1'000'000'000, 1'000'000'000);
    EXPECT_EQ(line.view(), "[    1.234567] trip     abc");
    record.pointer = 0x1000;
    record.size = 64;
    line.clear();
    RingLog::format_record(line, record, 3'000'000'000, 0);
    EXPECT_EQ(line.view().find("[    0.000000] trip     abc ("), 0u)
        << "before the first tick, no clock: " << line.view();
    EXPECT_NE(line.view().find("0x1000 +64)"), std::string_view::npos);
}

TEST(RingLog, EveryCodeHasAName)
{
    for (int i = 0; i <= static_cast<int>(LogCode::error); ++i) {
        EXPECT_FALSE(log_code_name(static_cast<LogCode>(i)).empty());
    }
    EXPECT_EQ(log_code_name(LogCode::rewind), "rewind");
    EXPECT_EQ(log_code_name(LogCode::error), "error");
}

} // namespace
} // namespace llmk
