// SPDX-License-Identifier: MIT
//
// Reads little-endian fields out of bytes that cannot be trusted. Every read is checked against the end and an error
// names the file, the field and the offset. Never cast a struct on a file's bytes: read its fields with this.
#pragma once

#include "base/status.h"

#include <bit>

namespace llmk {

class ByteReader {
public:
    /// `name` is the file as errors call it; it must outlive the reader, as must the bytes.
    ByteReader(std::string_view name, std::span<const uint8_t> bytes) : m_name(name), m_bytes(bytes) {}

    size_t offset() const { return m_offset; }
    size_t remaining() const { return m_bytes.size() - m_offset; }
    std::string_view name() const { return m_name; }

    Result<uint8_t> u8(std::string_view field) { return little_endian<uint8_t>(field); }
    Result<uint32_t> u32(std::string_view field) { return little_endian<uint32_t>(field); }
    Result<uint64_t> u64(std::string_view field) { return little_endian<uint64_t>(field); }
    Result<int32_t> i32(std::string_view field) { return std::bit_cast<int32_t>(TRY(u32(field))); }
    Result<float> f32(std::string_view field) { return std::bit_cast<float>(TRY(u32(field))); }

    /// The next `count` bytes, not copied.
    Result<std::span<const uint8_t>> bytes(std::string_view field, size_t count)
    {
        if (count > remaining()) {
            return fail(Status::bad_format, "{}: the file ends inside {} (offset {}, {} bytes needed, {} there)",
                        m_name, field, m_offset, count, remaining());
        }
        auto part = m_bytes.subspan(m_offset, count);
        m_offset += count;
        return part;
    }

private:
    template <class T> Result<T> little_endian(std::string_view field)
    {
        auto raw = TRY(bytes(field, sizeof(T)));
        T value = 0;
        for (size_t i = 0; i < sizeof(T); ++i) {
            value = static_cast<T>(value | static_cast<T>(static_cast<T>(raw[i]) << (8 * i)));
        }
        return value;
    }

    std::string_view m_name;
    std::span<const uint8_t> m_bytes;
    size_t m_offset = 0;
};

} // namespace llmk
