// SPDX-License-Identifier: MIT
//
// The front of a GGUF file (github.com/ggml-org/ggml, docs/gguf.md): its header, and the key-value part. Reads it once,
// keeps scalars and short texts, and remembers where long texts and arrays lie. Knows the shapes of values, not what
// keys mean, but for general.alignment.
#pragma once

#include "format/file_reader.h"

namespace llmk::gguf {

struct Header {
    uint64_t tensor_count;
    uint64_t pair_count;
};

/// Reads the header; the reader stands at the file's start. Other versions than 2 and 3 are Status::unsupported.
Result<Header> read_header(FileReader& reader);

/// With the numbers of the file.
enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };
constexpr uint32_t kValueTypes = 13;
std::string_view value_type_name(ValueType type);

/// A value, or where it lies in the file.
struct Value {
    ValueType type = ValueType::u8;
    ValueType element = ValueType::u8; ///< of an array
    uint64_t bits = 0;                 ///< of a scalar: its bytes, zeros above
    uint64_t offset = 0;               ///< of a text: its first byte; of an array: its first element
    uint64_t count = 0;                ///< of a text: bytes; of an array: elements
    uint64_t size_bytes = 0;           ///< of an array: all its elements, with the lengths of texts
    uint32_t key_offset = 0;           ///< in the names
    uint32_t key_length = 0;
    uint32_t text_offset = 0; ///< of a short text, in the names
};

/// Names that must be there once only. Finds by hash, then compares.
class NameTable {
public:
    explicit NameTable(Platform& platform) : m_text(platform), m_names(platform) {}
    /// False when it is there already.
    Result<bool> add(std::string_view name);
    size_t count() const { return m_names.size(); }
    /// Where the last one that was added starts.
    uint32_t last_offset() const { return m_names[m_names.size() - 1].offset; }
    Result<uint32_t> keep(std::string_view text);
    std::string_view text(uint32_t offset, uint64_t length) const { return {m_text.data() + offset, length}; }

private:
    struct Name {
        uint32_t hash, offset, length;
    };
    Vec<char> m_text;
    Vec<Name> m_names;
};

class Metadata {
public:
    /// Texts up to this length are kept.
    static constexpr uint64_t kShortText = 256;

    /// Reads `count` pairs from where the reader stands.
    static Result<Metadata> read(FileReader& reader, uint64_t count);

    /// Null when there is none.
    const Value* find(std::string_view key) const;

    // What the file says, or nothing. Another type than asked for is an error that names the key.
    Result<std::optional<uint64_t>> integer(std::string_view key) const;
    Result<std::optional<float>> real(std::string_view key) const;
    Result<std::optional<bool>> boolean(std::string_view key) const;
    /// Longer texts than kShortText are refused.
    Result<std::optional<std::string_view>> text(std::string_view key) const;
    /// Null when there is none.
    Result<const Value*> array(std::string_view key, ValueType element) const;

private:
    Metadata(Platform& platform, std::string_view path) : m_path(path), m_names(platform), m_values(platform) {}
    Result<void> read_pair(FileReader& reader);
    Error wrong_type(const Value& value, std::string_view key, std::string_view expected) const;

    std::string_view m_path; ///< the open file's
    NameTable m_names;
    Vec<Value> m_values;
};

/// That of the tensors' offsets: general.alignment, else 32.
Result<uint64_t> read_alignment(const Metadata& metadata, std::string_view path);

} // namespace llmk::gguf
