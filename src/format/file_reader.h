// SPDX-License-Identifier: MIT
//
// Reads a file front to back through a window that starts small and grows: for headers of any length (a vocabulary of
// 150,000 entries is several megabytes) in a bounded amount of memory. Every read is checked against the file's end;
// an error names the file, the field and the offset.
#pragma once

#include "format/formats.h"

namespace llmk {

class FileReader {
public:
    /// Nothing longer than this is looked at in one piece.
    static constexpr uint64_t kMaxPiece = 1u << 20;

    /// `what` is the kind of file as errors call it. The file must outlive the reader.
    FileReader(const ModelFile& file, std::string_view what)
        : m_file(file), m_what(what), m_window(file.platform()), m_size(file.size_bytes())
    {
    }

    Platform& platform() const { return m_file.platform(); }
    std::string_view path() const { return m_file.path(); }
    uint64_t offset() const { return m_offset; }
    uint64_t remaining() const { return m_size - m_offset; }
    /// Goes to `offset`, which is not behind the file's end.
    void seek(uint64_t offset)
    {
        LLMK_ASSERT(offset <= m_size);
        m_offset = offset;
    }

    /// The next `count` bytes (at most kMaxPiece); good until the next call.
    Result<std::span<const uint8_t>> bytes(std::string_view field, uint64_t count);
    Result<void> skip(std::string_view field, uint64_t count);
    Result<uint32_t> u32(std::string_view field);
    Result<uint64_t> u64(std::string_view field);

private:
    Result<void> require(std::string_view field, uint64_t count) const;
    Result<void> fill(uint64_t count);

    const ModelFile& m_file;
    std::string_view m_what;
    Vec<uint8_t> m_window;
    uint64_t m_window_start = 0; ///< in the file
    uint64_t m_next_window = 64 * 1024;
    uint64_t m_size;
    uint64_t m_offset = 0;
};

/// Bytes of a file as an error may show them: what is not printable ASCII becomes '?', what is long is cut.
Text<80> printable(std::string_view text);

} // namespace llmk
