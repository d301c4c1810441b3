// SPDX-License-Identifier: MIT
#include "format/llama2c_tokenizer.h"

#include "base/reader.h"
#include "mem/file_bytes.h"

namespace llmk::llama2c {

namespace {

/// A vocabulary of a million pieces is some 20 MB; past this it is no tokenizer.
constexpr uint64_t kMaxFileBytes = 256u << 20;

struct Entry {
    float score;
    std::span<const uint8_t> text;
};

Result<Entry> next_entry(ByteReader& reader, std::string_view path, uint64_t index, int32_t longest)
{
    const float score = TRY(reader.f32("a tokenizer entry's score"));
    const int32_t length = TRY(reader.i32("a tokenizer entry's length"));
    if (length < 0 || length > longest) {
        return fail(Status::bad_format,
                    "{}: tokenizer entry {} has length {}, expected 0 to max_token_length ({}); the file is damaged or "
                    "not a tokenizer.bin",
                    path, index, length, longest);
    }
    if (score != score) {
        return fail(Status::bad_format, "{}: the score of tokenizer entry {} is not a number", path, index);
    }
    return Entry{score, TRY(reader.bytes("a tokenizer entry's text", static_cast<size_t>(length)))};
}

bool exists(Platform& platform, std::string_view path)
{
    auto file = platform.file_open(path, OpenMode::read);
    if (file.ok()) {
        platform.file_close(file.value());
    }
    return file.ok();
}

} // namespace

uint64_t vocabulary_bytes(uint64_t file_size_bytes, uint64_t vocab_size)
{
    return file_size_bytes + vocab_size * sizeof(VocabularyEntry) + 2 * Arena::kAlignment;
}

Result<uint64_t> check_tokenizer(std::string_view path, std::span<const uint8_t> bytes, uint64_t vocab_size)
{
    ByteReader reader(path, bytes);
    const int32_t longest = TRY(reader.i32("the tokenizer's max_token_length"));
    if (longest < 1) {
        return fail(Status::bad_format, "{}: the tokenizer's max_token_length is {}, expected 1 or more", path,
                    longest);
    }
    uint64_t count = 0;
    while (vocab_size == 0 ? reader.remaining() > 0 : count < vocab_size) {
        if (reader.remaining() == 0) {
            return fail(Status::bad_format,
                        "{}: the tokenizer has {} entries, the model's vocab_size is {}; it belongs to another model",
                        path, count, vocab_size);
        }
        TRY(next_entry(reader, path, count, longest));
        ++count;
    }
    if (reader.remaining() > 0) {
        return fail(Status::bad_format,
                    "{}: the tokenizer has more entries than the model's vocab_size of {}; it belongs to another model",
                    path, vocab_size);
    }
    return count;
}

Result<Vocabulary> load_vocabulary(Platform& platform, std::string_view path, uint64_t vocab_size, Arena& arena)
{
    const Vec<uint8_t> bytes = TRY(read_file(platform, path, kMaxFileBytes, "a tokenizer"));
    const uint64_t count = TRY(check_tokenizer(path, bytes.span(), vocab_size));
    auto* entries = TRY(arena.alloc_array<VocabularyEntry>(count));
    char* const text = TRY(arena.alloc_array<char>(bytes.size()));
    ByteReader reader(path, bytes.span());
    const int32_t longest = TRY(reader.i32("the tokenizer's max_token_length"));
    uint32_t used = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const Entry entry = TRY(next_entry(reader, path, i, longest));
        entries[i] = {used, static_cast<uint32_t>(entry.text.size()), entry.score};
        __builtin_memcpy(text + used, entry.text.data(), entry.text.size());
        used += static_cast<uint32_t>(entry.text.size());
    }
    return Vocabulary{{entries, static_cast<size_t>(count)}, {text, used}};
}

Result<Text<256>> find_tokenizer(Platform& platform, std::string_view model_path, uint64_t vocab_size)
{
    const auto folder = folder_of(model_path);
    auto stem = file_name(model_path);
    if (ends_with_ignore_case(stem, ".bin")) {
        stem = head(stem, stem.size() - 4);
    }
    const Text<256> choices[] = {
        Text<256>("{}{}.tok.bin", folder, stem),
        Text<256>("{}tok{}.bin", folder, vocab_size),
        Text<256>("{}tokenizer.bin", folder),
    };
    for (const auto& choice : choices) {
        if (!choice.truncated() && exists(platform, choice)) {
            return choice;
        }
    }
    return fail(Status::not_found,
                "{}: no tokenizer beside it; put {}.tok.bin, tok{}.bin or tokenizer.bin in its folder", model_path,
                stem, vocab_size);
}

Result<VocabularyDesc> probe_tokenizer(Platform& platform, std::string_view path, uint64_t vocab_size)
{
    const Vec<uint8_t> bytes = TRY(read_file(platform, path, kMaxFileBytes, "a tokenizer"));
    VocabularyDesc desc;
    desc.kind = VocabularyKind::llama2c;
    desc.path = path;
    desc.entries = TRY(check_tokenizer(path, bytes.span(), vocab_size));
    desc.text_bytes = bytes.size();
    return desc;
}

} // namespace llmk::llama2c
