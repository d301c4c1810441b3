// SPDX-License-Identifier: MIT
#include "format/file_reader.h"

#include "base/reader.h"

#include <algorithm>

namespace llmk {

Result<void> FileReader::require(std::string_view field, uint64_t count) const
{
    if (count > remaining()) {
        return fail(Status::bad_format, "{}: the {} file ends inside {} (offset {}, {} bytes needed, {} there)", path(),
                    m_what, field, m_offset, count, remaining());
    }
    return success();
}

Result<void> FileReader::fill(uint64_t count)
{
    const uint64_t wanted = std::min(std::max(count, m_next_window), remaining());
    m_next_window = std::min(m_next_window * 2, kMaxPiece);
    m_window.clear();
    TRY(m_window.resize(wanted));
    m_window_start = m_offset;
    const size_t got = TRY(m_file.platform().file_read_at(m_file.handle(), m_offset, m_window.data(), wanted));
    if (got != wanted) {
        m_window.clear();
        return fail(Status::io_error, "{}: reading stopped at byte {} of {}; the stick may be damaged or was pulled",
                    path(), m_offset + got, m_size);
    }
    return success();
}

Result<std::span<const uint8_t>> FileReader::bytes(std::string_view field, uint64_t count)
{
    LLMK_ASSERT(count <= kMaxPiece);
    TRY(require(field, count));
    if (m_offset < m_window_start || m_offset + count > m_window_start + m_window.size()) {
        TRY(fill(count));
    }
    const auto piece =
        std::span<const uint8_t>(m_window.data(), m_window.size()).subspan(m_offset - m_window_start, count);
    m_offset += count;
    return piece;
}

Result<void> FileReader::skip(std::string_view field, uint64_t count)
{
    TRY(require(field, count));
    m_offset += count;
    return success();
}

Result<uint32_t> FileReader::u32(std::string_view field)
{
    ByteReader reader(path(), TRY(bytes(field, sizeof(uint32_t))));
    return reader.u32(field);
}

Result<uint64_t> FileReader::u64(std::string_view field)
{
    ByteReader reader(path(), TRY(bytes(field, sizeof(uint64_t))));
    return reader.u64(field);
}

Text<80> printable(std::string_view text)
{
    constexpr size_t kMost = 64;
    Text<80> out;
    for (const char c : head(text, kMost)) {
        out.put(c >= 0x20 && c < 0x7f ? c : '?');
    }
    if (text.size() > kMost) {
        out.put("...");
    }
    return out;
}

} // namespace llmk
