// SPDX-License-Identifier: MIT
//
// Vocabularies in GGUF files: what is read, and the sentence for each way of being wrong.
#include "format/gguf_vocabulary.h"

#include "fake/described.h"
#include "fake/gguf_file.h"
#include "format/vocabularies.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

constexpr const char* kPath = "m.gguf";

void expect_refused(const std::string& file, std::string_view words, Status status = Status::bad_format)
{
    llmk::expect_refused(kPath, file, words, status);
}

TEST(GgufVocabulary, WrongOnes)
{
    GgufFile file = tiny_gguf();
    file.remove("tokenizer.ggml.model");
    expect_refused(file.bytes(), "'tokenizer.ggml.model' is missing");
    file.text("tokenizer.ggml.model", "bert");
    expect_refused(file.bytes(), "'tokenizer.ggml.model' is 'bert', known are: llama, gpt2", Status::unsupported);
    file.text("tokenizer.ggml.model", "gpt2");
    expect_refused(file.bytes(), "'tokenizer.ggml.merges' is missing");
    file = tiny_gguf();
    file.remove("tokenizer.ggml.tokens");
    expect_refused(file.bytes(), "'tokenizer.ggml.tokens' is missing");
    file.set("tokenizer.ggml.tokens", kGgufArray, gguf_array(kGgufString, 0, ""));
    expect_refused(file.bytes(), "'tokenizer.ggml.tokens' is empty");
    file.set("tokenizer.ggml.tokens", kGgufArray, gguf_array(kGgufU8, 2, "ab"));
    expect_refused(file.bytes(), "'tokenizer.ggml.tokens' is an array of u8, expected string");
    file.u32("tokenizer.ggml.tokens", 2);
    expect_refused(file.bytes(), "'tokenizer.ggml.tokens' is of type u32, expected array");
    file = tiny_gguf();
    file.remove("tokenizer.ggml.scores");
    expect_refused(file.bytes(), "'tokenizer.ggml.scores' is missing");
    for (const char* key : {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"}) {
        file = tiny_gguf();
        const bool scores = std::string_view(key).ends_with("scores");
        file.set(key, kGgufArray, gguf_array(scores ? kGgufF32 : kGgufI32, 289, std::string(289 * 4, '\0')));
        expect_refused(file.bytes(), std::string("'") + key + "' has 289 elements");
    }
}

/// The entries of a file as they are loaded, or the error's words.
std::string loaded(const GgufFile& file, uint32_t id, BpeVocabulary* out = nullptr)
{
    FakePlatform platform;
    platform.add_file(kPath, file.bytes());
    const VocabularyDesc desc = describe_vocabulary(platform, kPath, 0).take();
    const uint64_t planned = vocabulary_bytes(desc);
    Arena arena;
    EXPECT_TRUE(arena.add_extent(platform, planned).ok());
    auto vocabulary = load_vocabulary(platform, desc, arena);
    std::string result;
    if (vocabulary.ok()) {
        EXPECT_EQ(vocabulary.value().entries.size(), desc.entries);
        EXPECT_LE(arena.used_bytes(), planned);
        result = vocabulary.value().entry_text(id);
        if (out != nullptr) {
            *out = vocabulary.value(); // numbers only: the memory goes
        }
    } else {
        result = vocabulary.error().message.view();
    }
    EXPECT_EQ(arena.broken_guard(), nullptr);
    arena.release(platform);
    return result;
}

TEST(GgufVocabulary, PiecesComeWithBlanks)
{
    GgufFile file = tiny_gguf();
    file.boolean("tokenizer.ggml.add_bos_token", false);
    file.boolean("tokenizer.ggml.add_space_prefix", false);
    file.u32("tokenizer.ggml.eot_token_id", 7);
    file.u32("tokenizer.ggml.padding_token_id", 0xffffffffu);
    BpeVocabulary vocabulary;
    EXPECT_EQ(loaded(file, 259, &vocabulary), " t");
    EXPECT_EQ(loaded(file, 1), "<s>");
    EXPECT_EQ(loaded(file, 3), "<0x00>");
    EXPECT_EQ(vocabulary.special.bos, 1u);
    EXPECT_EQ(vocabulary.special.eot, 7u);
    EXPECT_FALSE(vocabulary.special.pad);
    EXPECT_EQ(vocabulary.flags.add_bos, false);
    EXPECT_EQ(vocabulary.flags.add_space_prefix, false);
    EXPECT_FALSE(vocabulary.flags.add_eos);
    EXPECT_TRUE(vocabulary.merges.empty());
}

TEST(GgufVocabulary, MergesAreKeptAsSpelled)
{
    GgufFile file;
    file.text("general.architecture", "any");
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "gpt-2");
    const std::string block = "\xE2\x96\x81x";
    file.set("tokenizer.ggml.tokens", kGgufArray, gguf_array(kGgufString, 2, gguf_text("a") + gguf_text(block)));
    file.set("tokenizer.ggml.merges", kGgufArray, gguf_array(kGgufString, 1, gguf_text("a b")));
    EXPECT_EQ(loaded(file, 1), block) << "U+2581 is a character like others there";
    FakePlatform platform;
    platform.add_file(kPath, file.bytes());
    const ModelDesc desc = describe_model(platform, kPath).take();
    EXPECT_TRUE(desc.tensors.empty());
    EXPECT_EQ(desc.vocabulary.merges, 1u);
    EXPECT_EQ(desc.vocabulary.merge_bytes, 3u);
    EXPECT_EQ(desc.vocabulary.pre.view(), "gpt-2");
}

TEST(GgufVocabulary, AScoreThatIsNoNumber)
{
    GgufFile file = tiny_gguf();
    std::string scores(290 * 4, '\0');
    std::memcpy(scores.data() + 5 * 4, "\xff\xff\xff\x7f", 4);
    file.set("tokenizer.ggml.scores", kGgufArray, gguf_array(kGgufF32, 290, scores));
    EXPECT_NE(loaded(file, 0).find("the score of token 5 is not a number"), std::string::npos);
}

TEST(GgufVocabulary, AFileThatWasReplacedSince)
{
    FakePlatform platform;
    platform.add_file(kPath, tiny_gguf().bytes());
    const VocabularyDesc desc = describe_vocabulary(platform, kPath, 0).take();
    Arena arena;
    ASSERT_TRUE(arena.add_extent(platform, vocabulary_bytes(desc)).ok());
    for (const std::string& now : {std::string(), std::string(20'000, '\xff'), std::string(20'000, '\0')}) {
        platform.add_file(kPath, now);
        arena.clear();
        (void)load_vocabulary(platform, desc, arena).ok();
        EXPECT_EQ(arena.broken_guard(), nullptr);
    }
    arena.release(platform);
}

} // namespace
} // namespace llmk
