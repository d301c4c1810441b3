// SPDX-License-Identifier: MIT
#include "format/gguf_vocabulary.h"

#include <bit>

namespace llmk::gguf {

namespace {

/// Past these no file is a vocabulary: the largest known have 260,000 entries and 10 MB of text.
constexpr uint64_t kMaxEntries = 1u << 24;
constexpr uint64_t kMaxTextBytes = 1u << 30;

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kScores = "tokenizer.ggml.scores";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";

/// Bytes of the texts of an array, without their lengths.
uint64_t text_bytes(const Value& array) { return array.size_bytes - array.count * sizeof(uint64_t); }

Result<void> check_size(std::string_view path, std::string_view key, const Value& array)
{
    if (array.count > kMaxEntries || text_bytes(array) > kMaxTextBytes) {
        return fail(Status::bad_format, "{}: '{}' has {} entries of {} bytes in all, expected at most {} and {}", path,
                    key, array.count, text_bytes(array), kMaxEntries, kMaxTextBytes);
    }
    return success();
}

/// Where an array starts that goes with the tokens, one element each; 0 when there is none.
Result<uint64_t> beside_tokens(const Metadata& metadata, std::string_view path, std::string_view key, ValueType element,
                               uint64_t entries)
{
    const Value* const array = TRY(metadata.array(key, element));
    if (array == nullptr) {
        return uint64_t{0};
    }
    if (array->count != entries) {
        return fail(Status::bad_format, "{}: '{}' has {} elements, '{}' {}; expected as many", path, key, array->count,
                    kTokens, entries);
    }
    return array->offset;
}

Result<std::optional<uint32_t>> token_id(const Metadata& metadata, std::string_view key)
{
    const auto id = TRY(metadata.integer(key));
    // Past the entries is "none" (some writers put 2^32 - 1); src/tokenizer sees to it.
    return id && *id < UINT32_MAX ? std::optional(static_cast<uint32_t>(*id)) : std::optional<uint32_t>();
}

Result<void> read_settings(const Metadata& metadata, VocabularyDesc& desc)
{
    desc.special.bos = TRY(token_id(metadata, "tokenizer.ggml.bos_token_id"));
    desc.special.eos = TRY(token_id(metadata, "tokenizer.ggml.eos_token_id"));
    desc.special.eot = TRY(token_id(metadata, "tokenizer.ggml.eot_token_id"));
    desc.special.eom = TRY(token_id(metadata, "tokenizer.ggml.eom_token_id"));
    desc.special.unk = TRY(token_id(metadata, "tokenizer.ggml.unknown_token_id"));
    desc.special.pad = TRY(token_id(metadata, "tokenizer.ggml.padding_token_id"));
    desc.flags.add_bos = TRY(metadata.boolean("tokenizer.ggml.add_bos_token"));
    desc.flags.add_eos = TRY(metadata.boolean("tokenizer.ggml.add_eos_token"));
    desc.flags.add_space_prefix = TRY(metadata.boolean("tokenizer.ggml.add_space_prefix"));
    desc.flags.ignore_merges = TRY(metadata.boolean("tokenizer.ggml.ignore_merges"));
    const auto pre = TRY(metadata.text("tokenizer.ggml.pre"));
    desc.pre = Text<32>(printable(pre.value_or(std::string_view())));
    return success();
}

Result<VocabularyKind> kind_of(const Metadata& metadata, std::string_view path)
{
    const auto model = TRY(metadata.text("tokenizer.ggml.model"));
    if (!model) {
        return fail(Status::bad_format, "{}: 'tokenizer.ggml.model' is missing: nothing says how its tokens are used",
                    path);
    }
    if (*model == "llama") {
        return VocabularyKind::spm;
    }
    if (*model == "gpt2") {
        return VocabularyKind::bpe;
    }
    return fail(Status::unsupported, "{}: 'tokenizer.ggml.model' is '{}', known are: llama, gpt2", path,
                printable(*model));
}

/// Texts of an array as they are copied into one block of an arena.
class TextBlock {
public:
    TextBlock(char* data, uint64_t capacity) : m_data(data), m_capacity(capacity) {}

    /// Reads the next text of the file; with `blanks`, U+2581 ("lower one eighth block") becomes a blank. Returns its
    /// offset.
    Result<uint32_t> add(FileReader& reader, std::string_view field, bool blanks)
    {
        const uint64_t length = TRY(reader.u64(field));
        // The file may have changed since it was described.
        if (length > m_capacity - m_used || length > FileReader::kMaxPiece) {
            return fail(Status::bad_format, "{}: {} is {} bytes long, expected at most {}", reader.path(), field,
                        length, FileReader::kMaxPiece);
        }
        const auto offset = static_cast<uint32_t>(m_used);
        const auto bytes = TRY(reader.bytes(field, length));
        for (size_t i = 0; i < bytes.size(); ++i) {
            const bool block =
                blanks && bytes[i] == 0xE2 && bytes.size() - i > 2 && bytes[i + 1] == 0x96 && bytes[i + 2] == 0x81;
            m_data[m_used++] = block ? ' ' : static_cast<char>(bytes[i]);
            i += block ? 2 : 0;
        }
        return offset;
    }
    uint64_t used() const { return m_used; }
    std::string_view view() const { return {m_data, static_cast<size_t>(m_used)}; }

private:
    char* m_data;
    uint64_t m_capacity;
    uint64_t m_used = 0;
};

Result<void> load_scores(FileReader& reader, std::span<VocabularyEntry> entries)
{
    for (size_t i = 0; i < entries.size(); ++i) {
        entries[i].score = std::bit_cast<float>(TRY(reader.u32("a token's score")));
        if (entries[i].score != entries[i].score) {
            return fail(Status::bad_format, "{}: the score of token {} is not a number", reader.path(), i);
        }
    }
    return success();
}

Result<void> load_types(FileReader& reader, std::span<TokenType> types)
{
    for (TokenType& type : types) {
        const uint32_t number = TRY(reader.u32("a token's type"));
        type = number > static_cast<uint32_t>(TokenType::byte) ? TokenType::undefined : static_cast<TokenType>(number);
    }
    return success();
}

/// Offsets were in the file when it was described; it may have been replaced by a shorter one since.
Result<void> go_to(FileReader& reader, std::string_view key, uint64_t offset)
{
    reader.seek(0);
    return reader.skip(key, offset);
}

} // namespace

Result<VocabularyDesc> describe_vocabulary(const Metadata& metadata, std::string_view path)
{
    VocabularyDesc desc;
    const Value* const tokens = TRY(metadata.array(kTokens, ValueType::text));
    if (tokens == nullptr) {
        if (metadata.find("tokenizer.ggml.model") != nullptr) {
            return fail(Status::bad_format, "{}: '{}' is missing: the vocabulary has no tokens", path, kTokens);
        }
        return desc;
    }
    if (tokens->count == 0) {
        return fail(Status::bad_format, "{}: '{}' is empty, expected tokens", path, kTokens);
    }
    TRY(check_size(path, kTokens, *tokens));
    desc.kind = TRY(kind_of(metadata, path));
    desc.path = path;
    desc.entries = tokens->count;
    desc.text_bytes = text_bytes(*tokens);
    desc.tokens_at = tokens->offset;
    desc.scores_at = TRY(beside_tokens(metadata, path, kScores, ValueType::f32, desc.entries));
    desc.types_at = TRY(beside_tokens(metadata, path, kTypes, ValueType::i32, desc.entries));
    if (desc.kind == VocabularyKind::spm && desc.scores_at == 0) {
        return fail(Status::bad_format, "{}: '{}' is missing: SentencePiece joins the pair with the best score", path,
                    kScores);
    }
    if (desc.kind == VocabularyKind::bpe) {
        const Value* const merges = TRY(metadata.array(kMerges, ValueType::text));
        if (merges == nullptr) {
            return fail(Status::bad_format, "{}: '{}' is missing: byte-level BPE joins pairs in their order", path,
                        kMerges);
        }
        TRY(check_size(path, kMerges, *merges));
        desc.merges = merges->count;
        desc.merge_bytes = text_bytes(*merges);
        desc.merges_at = merges->offset;
    }
    TRY(read_settings(metadata, desc));
    return desc;
}

uint64_t vocabulary_bytes(const VocabularyDesc& desc)
{
    return desc.entries * (sizeof(VocabularyEntry) + sizeof(TokenType)) + desc.text_bytes +
           desc.merges * sizeof(MergeSpelling) + desc.merge_bytes + 6 * Arena::kAlignment;
}

Result<BpeVocabulary> load_vocabulary(Platform& platform, const VocabularyDesc& desc, Arena& arena)
{
    const ModelFile file = TRY(ModelFile::open(platform, desc.path));
    FileReader reader(file, "GGUF");
    const bool blanks = desc.kind == VocabularyKind::spm;

    const std::span<VocabularyEntry> entries(TRY(arena.alloc_array<VocabularyEntry>(desc.entries)), desc.entries);
    TextBlock text(TRY(arena.alloc_array<char>(desc.text_bytes)), desc.text_bytes);
    TRY(go_to(reader, kTokens, desc.tokens_at));
    for (VocabularyEntry& entry : entries) {
        const uint32_t offset = TRY(text.add(reader, "a token", blanks));
        entry = {offset, static_cast<uint32_t>(text.used() - offset), 0.0f};
    }
    if (desc.scores_at != 0) {
        TRY(go_to(reader, kScores, desc.scores_at));
        TRY(load_scores(reader, entries));
    }
    BpeVocabulary vocabulary;
    if (desc.types_at != 0) {
        const std::span<TokenType> types(TRY(arena.alloc_array<TokenType>(desc.entries)), desc.entries);
        TRY(go_to(reader, kTypes, desc.types_at));
        TRY(load_types(reader, types));
        vocabulary.types = types;
    }
    if (desc.merges_at != 0) {
        const std::span<MergeSpelling> merges(TRY(arena.alloc_array<MergeSpelling>(desc.merges)), desc.merges);
        TextBlock merge_text(TRY(arena.alloc_array<char>(desc.merge_bytes)), desc.merge_bytes);
        TRY(go_to(reader, kMerges, desc.merges_at));
        for (MergeSpelling& merge : merges) {
            const uint32_t offset = TRY(merge_text.add(reader, "a merge", false));
            merge = {offset, static_cast<uint32_t>(merge_text.used() - offset)};
        }
        vocabulary.merges = merges;
        vocabulary.merge_text = merge_text.view();
    }
    vocabulary.entries = entries;
    vocabulary.text = text.view();
    vocabulary.special = desc.special;
    vocabulary.flags = desc.flags;
    return vocabulary;
}

} // namespace llmk::gguf
