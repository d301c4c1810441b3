// SPDX-License-Identifier: MIT
#include "format/gguf_metadata.h"

#include <bit>

namespace llmk::gguf {

namespace {

constexpr uint32_t kSwapped = 0x47475546; // "FUGG" as a little-endian word
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1u << 30;
/// Real files have some dozens.
constexpr uint64_t kMaxPairs = 16 * 1024;
constexpr uint64_t kMaxKeyBytes = 65535; // docs/gguf.md
/// Arrays of arrays have been seen; deeper than this nobody goes.
constexpr int kMaxDepth = 8;
/// Fewest bytes of a pair: a length, one letter, a type, one byte.
constexpr uint64_t kLeastPairBytes = 8 + 1 + 4 + 1;

/// Bytes of a scalar; of a text or an array the fewest there can be.
uint64_t least_bytes(ValueType type)
{
    constexpr uint8_t kBytes[kValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
    return kBytes[static_cast<size_t>(type)];
}

bool is_scalar(ValueType type) { return type != ValueType::text && type != ValueType::array; }

Result<ValueType> read_type(FileReader& reader, std::string_view key)
{
    const uint32_t number = TRY(reader.u32("the type of a metadata value"));
    if (number >= kValueTypes) {
        return fail(Status::bad_format, "{}: '{}' has the value type {}, expected 0 to {}", reader.path(),
                    printable(key), number, kValueTypes - 1);
    }
    return static_cast<ValueType>(number);
}

Result<void> skip_elements(FileReader& reader, std::string_view key, ValueType type, uint64_t count, int depth);

/// Reads an array's type and count and goes behind its end.
Result<Value> read_array(FileReader& reader, std::string_view key, int depth)
{
    if (depth > kMaxDepth) {
        return fail(Status::bad_format, "{}: '{}' has arrays within arrays, more than {} deep", reader.path(),
                    printable(key), kMaxDepth);
    }
    Value value;
    value.type = ValueType::array;
    value.element = TRY(read_type(reader, key));
    value.count = TRY(reader.u64("the length of a metadata array"));
    value.offset = reader.offset();
    if (value.count > reader.remaining() / least_bytes(value.element)) {
        return fail(Status::bad_format,
                    "{}: '{}' claims {} elements of type {}, but only {} bytes of the GGUF file follow", reader.path(),
                    printable(key), value.count, value_type_name(value.element), reader.remaining());
    }
    TRY(skip_elements(reader, key, value.element, value.count, depth));
    value.size_bytes = reader.offset() - value.offset;
    return value;
}

Result<void> skip_elements(FileReader& reader, std::string_view key, ValueType type, uint64_t count, int depth)
{
    if (is_scalar(type)) {
        return reader.skip("a metadata array", count * least_bytes(type)); // checked: it fits into the file
    }
    for (uint64_t i = 0; i < count; ++i) {
        if (type == ValueType::array) {
            TRY(read_array(reader, key, depth + 1));
        } else {
            const uint64_t bytes = TRY(reader.u64("the length of a text in a metadata array"));
            TRY(reader.skip("a text in a metadata array", bytes));
        }
    }
    return success();
}

uint32_t hash_of(std::string_view text)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (const char c : text) {
        hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
    }
    return hash;
}

/// The value of a signed type as 64 bits.
int64_t sign_extended(const Value& value)
{
    const int unused_bits = 64 - 8 * static_cast<int>(least_bytes(value.type));
    return static_cast<int64_t>(value.bits << unused_bits) >> unused_bits;
}

} // namespace

Result<Header> read_header(FileReader& reader)
{
    const uint32_t magic = TRY(reader.u32("the magic"));
    const uint32_t version = TRY(reader.u32("the version"));
    const bool swapped = magic == kSwapped || (version != 0 && (version & 0xffffu) == 0);
    if (swapped) {
        return fail(Status::unsupported,
                    "{}: a byte-swapped (big-endian) GGUF file; convert it to little-endian (gguf-py's "
                    "gguf_convert_endian)",
                    reader.path());
    }
    if (version == 1) {
        return fail(Status::unsupported,
                    "{}: GGUF version 1 is not read, expected 2 or 3; convert the model anew with a current llama.cpp",
                    reader.path());
    }
    if (version != 2 && version != 3) {
        return fail(Status::unsupported, "{}: GGUF version {} is not known, expected 2 or 3", reader.path(), version);
    }
    Header header = {};
    header.tensor_count = TRY(reader.u64("the number of tensors"));
    header.pair_count = TRY(reader.u64("the number of metadata pairs"));
    return header;
}

Result<uint64_t> read_alignment(const Metadata& metadata, std::string_view path)
{
    const uint64_t alignment = TRY(metadata.integer("general.alignment")).value_or(kDefaultAlignment);
    if (alignment == 0 || alignment % 8 != 0 || alignment > kMaxAlignment) {
        return fail(Status::bad_format, "{}: 'general.alignment' is {}, expected a multiple of 8 up to {}", path,
                    alignment, kMaxAlignment);
    }
    return alignment;
}

std::string_view value_type_name(ValueType type)
{
    constexpr std::string_view kNames[kValueTypes] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                      "bool", "string", "array", "u64", "i64", "f64"};
    return kNames[static_cast<size_t>(type)];
}

Result<uint32_t> NameTable::keep(std::string_view text)
{
    const uint64_t offset = m_text.size();
    TRY(m_text.reserve(std::bit_ceil(offset + text.size() + 1)));
    TRY(m_text.resize(offset + text.size()));
    __builtin_memcpy(m_text.data() + offset, text.data(), text.size());
    return static_cast<uint32_t>(offset);
}

Result<bool> NameTable::add(std::string_view name)
{
    const uint32_t hash = hash_of(name);
    for (const Name& other : m_names) {
        if (other.hash == hash && text(other.offset, other.length) == name) {
            return false;
        }
    }
    const uint32_t offset = TRY(keep(name));
    TRY(m_names.push({hash, offset, static_cast<uint32_t>(name.size())}));
    return true;
}

Result<Metadata> Metadata::read(FileReader& reader, uint64_t count)
{
    if (count > kMaxPairs || count > reader.remaining() / kLeastPairBytes) {
        return fail(Status::bad_format,
                    "{}: the GGUF header claims {} metadata pairs; {} bytes follow, and at most {} "
                    "pairs are read",
                    reader.path(), count, reader.remaining(), kMaxPairs);
    }
    Metadata metadata(reader.platform(), reader.path());
    for (uint64_t i = 0; i < count; ++i) {
        TRY(metadata.read_pair(reader));
    }
    return metadata;
}

Result<void> Metadata::read_pair(FileReader& reader)
{
    const uint64_t key_bytes = TRY(reader.u64("the length of a metadata key"));
    if (key_bytes == 0 || key_bytes > kMaxKeyBytes) {
        return fail(Status::bad_format, "{}: a metadata key of the GGUF file is {} bytes long, expected 1 to {}",
                    m_path, key_bytes, kMaxKeyBytes);
    }
    const auto raw = TRY(reader.bytes("a metadata key", key_bytes));
    const std::string_view name(reinterpret_cast<const char*>(raw.data()), raw.size());
    if (!TRY(m_names.add(name))) {
        return fail(Status::bad_format, "{}: the metadata key '{}' is there twice", m_path, printable(name));
    }
    const uint32_t key_offset = m_names.last_offset();
    const auto key = [&] { return m_names.text(key_offset, key_bytes); }; // the table moves when it grows
    Value value;
    value.type = TRY(read_type(reader, key()));
    if (value.type == ValueType::array) {
        value = TRY(read_array(reader, key(), 1));
    } else if (value.type == ValueType::text) {
        value.count = TRY(reader.u64("the length of a metadata text"));
        value.offset = reader.offset();
        if (value.count <= kShortText) {
            const auto text = TRY(reader.bytes("a metadata text", value.count));
            value.text_offset = TRY(m_names.keep({reinterpret_cast<const char*>(text.data()), text.size()}));
        } else {
            TRY(reader.skip("a metadata text", value.count));
        }
    } else {
        const auto bytes = TRY(reader.bytes("a metadata value", least_bytes(value.type)));
        for (size_t i = 0; i < bytes.size(); ++i) {
            value.bits |= static_cast<uint64_t>(bytes[i]) << (8 * i);
        }
    }
    value.key_offset = key_offset;
    value.key_length = static_cast<uint32_t>(key_bytes);
    return m_values.push(value);
}

const Value* Metadata::find(std::string_view key) const
{
    for (const Value& value : m_values) {
        if (m_names.text(value.key_offset, value.key_length) == key) {
            return &value;
        }
    }
    return nullptr;
}

Error Metadata::wrong_type(const Value& value, std::string_view key, std::string_view expected) const
{
    return fail(Status::bad_format, "{}: '{}' is of type {}, expected {}", m_path, key, value_type_name(value.type),
                expected);
}

Result<std::optional<uint64_t>> Metadata::integer(std::string_view key) const
{
    const Value* const value = find(key);
    if (value == nullptr) {
        return std::optional<uint64_t>();
    }
    switch (value->type) {
    case ValueType::u8:
    case ValueType::u16:
    case ValueType::u32:
    case ValueType::u64:
        return std::optional(value->bits);
    case ValueType::i8:
    case ValueType::i16:
    case ValueType::i32:
    case ValueType::i64:
        if (sign_extended(*value) < 0) {
            return fail(Status::bad_format, "{}: '{}' is {}, expected 0 or more", m_path, key, sign_extended(*value));
        }
        return std::optional(value->bits);
    default:
        return wrong_type(*value, key, "an integer");
    }
}

Result<std::optional<float>> Metadata::real(std::string_view key) const
{
    const Value* const value = find(key);
    if (value == nullptr) {
        return std::optional<float>();
    }
    if (value->type == ValueType::f32) {
        return std::optional(std::bit_cast<float>(static_cast<uint32_t>(value->bits)));
    }
    if (value->type == ValueType::f64) {
        return std::optional(static_cast<float>(std::bit_cast<double>(value->bits)));
    }
    return wrong_type(*value, key, "f32");
}

Result<std::optional<bool>> Metadata::boolean(std::string_view key) const
{
    const Value* const value = find(key);
    if (value == nullptr) {
        return std::optional<bool>();
    }
    if (value->type != ValueType::boolean) {
        return wrong_type(*value, key, "bool");
    }
    if (value->bits > 1) {
        return fail(Status::bad_format, "{}: '{}' is {}, expected 0 or 1", m_path, key, value->bits);
    }
    return std::optional(value->bits == 1);
}

Result<std::optional<std::string_view>> Metadata::text(std::string_view key) const
{
    const Value* const value = find(key);
    if (value == nullptr) {
        return std::optional<std::string_view>();
    }
    if (value->type != ValueType::text) {
        return wrong_type(*value, key, "string");
    }
    if (value->count > kShortText) {
        return fail(Status::bad_format, "{}: '{}' is {} bytes long, expected at most {}", m_path, key, value->count,
                    kShortText);
    }
    return std::optional(m_names.text(value->text_offset, value->count));
}

Result<const Value*> Metadata::array(std::string_view key, ValueType element) const
{
    const Value* const value = find(key);
    if (value == nullptr) {
        return static_cast<const Value*>(nullptr);
    }
    if (value->type != ValueType::array) {
        return wrong_type(*value, key, "array");
    }
    // Signed and unsigned 32-bit numbers are used for one another (token types).
    const bool same = value->element == element || (value->element == ValueType::u32 && element == ValueType::i32);
    if (!same) {
        return fail(Status::bad_format, "{}: '{}' is an array of {}, expected {}", m_path, key,
                    value_type_name(value->element), value_type_name(element));
    }
    return value;
}

} // namespace llmk::gguf
