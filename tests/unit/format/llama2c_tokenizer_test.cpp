// SPDX-License-Identifier: MIT
//
// tokenizer.bin: which one belongs to a model, and what a wrong one is told.
#include "format/llama2c_tokenizer.h"

#include "fake/tiny_model.h"

#include <gtest/gtest.h>

#include <climits>
#include <cmath>

namespace llmk {
namespace {

std::span<const uint8_t> bytes_of(const std::string& text)
{
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void expect_refused(const std::string& file, uint64_t vocab_size, std::string_view word)
{
    const auto result = llama2c::check_tokenizer("t.bin", bytes_of(file), vocab_size);
    ASSERT_FALSE(result.ok()) << word;
    EXPECT_EQ(result.error().status, Status::bad_format);
    const std::string message(result.error().message.view());
    EXPECT_NE(message.find("t.bin"), std::string::npos) << message;
    EXPECT_NE(message.find(word), std::string::npos) << message;
}

TEST(Llama2cTokenizer, CountsItsEntries)
{
    const auto file = tokenizer_file(tiny_vocabulary(290));
    EXPECT_EQ(llama2c::check_tokenizer("t.bin", bytes_of(file), 290).value(), 290u);
    EXPECT_EQ(llama2c::check_tokenizer("t.bin", bytes_of(file), 0).value(), 290u) << "0 takes what is there";
    EXPECT_EQ(llama2c::check_tokenizer("t.bin", bytes_of(file.substr(0, 4)), 0).value(), 0u);
}

TEST(Llama2cTokenizer, AnotherSizeIsAnotherModels)
{
    const auto file = tokenizer_file(tiny_vocabulary(290));
    expect_refused(file, 291, "the tokenizer has 290 entries, the model's vocab_size is 291");
    expect_refused(file, 289, "more entries than the model's vocab_size of 289");
    expect_refused(file, UINT64_MAX, "belongs to another model");
}

TEST(Llama2cTokenizer, TruncatedAnywhere)
{
    const auto file = tokenizer_file(tiny_vocabulary(262));
    for (size_t size = 0; size < file.size(); ++size) {
        const auto result = llama2c::check_tokenizer("t.bin", bytes_of(file.substr(0, size)), 262);
        ASSERT_FALSE(result.ok()) << size;
        ASSERT_NE(result.error().message.view().find("t.bin"), std::string_view::npos);
    }
}

TEST(Llama2cTokenizer, WrongFields)
{
    const auto good = tokenizer_file(tiny_vocabulary(262));
    for (const int32_t longest : {0, -1, INT_MIN}) {
        auto bad = good;
        patch_i32(bad, 0, longest);
        expect_refused(bad, 262, "max_token_length is " + std::to_string(longest));
    }
    for (const int32_t length : {-1, 1000, INT_MIN, INT_MAX}) {
        auto bad = good;
        patch_i32(bad, 8, length);
        expect_refused(bad, 262, "entry 0 has length " + std::to_string(length));
    }
    auto bad = good;
    patch_i32(bad, 4, 0x7fc00000);
    expect_refused(bad, 262, "score of tokenizer entry 0");
    bad = good;
    patch_i32(bad, 4, static_cast<int32_t>(0xff800000)); // minus infinity is a number
    EXPECT_TRUE(llama2c::check_tokenizer("t.bin", bytes_of(bad), 262).ok());
}

TEST(Llama2cTokenizer, TheNearestNameWins)
{
    FakePlatform platform;
    const auto found = [&](std::string_view model) {
        auto path = llama2c::find_tokenizer(platform, model, 512);
        return path.ok() ? std::string(path.value().view()) : "error: " + std::string(path.error().message.view());
    };
    EXPECT_EQ(found("models/x.bin").find("error: "), 0u);
    EXPECT_EQ(llama2c::find_tokenizer(platform, "models/x.bin", 512).error().status, Status::not_found);
    for (const char* name : {"x.tok.bin", "tok512.bin", "tokenizer.bin", "models/x.bin"}) {
        EXPECT_NE(found("models/x.bin").find(name), std::string::npos) << found("models/x.bin");
    }
    platform.add_file("tokenizer.bin", "");
    EXPECT_EQ(found("models/x.bin").find("error: "), 0u) << "only its own folder counts";
    platform.add_file("models/tokenizer.bin", "");
    EXPECT_EQ(found("models/x.bin"), "models/tokenizer.bin");
    platform.add_file("models/tok32000.bin", "");
    EXPECT_EQ(found("models/x.bin"), "models/tokenizer.bin");
    platform.add_file("models/tok512.bin", "");
    EXPECT_EQ(found("models/x.bin"), "models/tok512.bin");
    platform.add_file("models/X.tok.BIN", "");
    EXPECT_EQ(found("models/x.bin"), "models/x.tok.bin");
    EXPECT_EQ(found("models/y.BIN"), "models/tok512.bin");
    EXPECT_EQ(found("z.bin"), "tokenizer.bin");
    EXPECT_EQ(platform.open_files(), 0u);
}

TEST(Llama2cTokenizer, AFolderOfThatNameIsNoTokenizer)
{
    FakePlatform platform;
    platform.add_directory("x.tok.bin");
    platform.add_file("tokenizer.bin", "");
    EXPECT_EQ(llama2c::find_tokenizer(platform, "x.bin", 512).value().view(), "tokenizer.bin");
}

TEST(Llama2cTokenizer, ProbeKeepsNothing)
{
    FakePlatform platform;
    const auto file = tokenizer_file(tiny_vocabulary(290));
    platform.add_file("t.bin", file);
    EXPECT_EQ(llama2c::probe_tokenizer(platform, "t.bin", 290).value().text_bytes, file.size());
    EXPECT_FALSE(llama2c::probe_tokenizer(platform, "t.bin", 300).ok());
    platform.add_file("empty.bin", "");
    EXPECT_EQ(llama2c::probe_tokenizer(platform, "empty.bin", 300).error().status, Status::bad_format);
    platform.fail_read_in = 1;
    EXPECT_EQ(llama2c::probe_tokenizer(platform, "t.bin", 290).error().status, Status::io_error);
    platform.short_read_in = 1;
    EXPECT_EQ(llama2c::probe_tokenizer(platform, "t.bin", 290).error().status, Status::io_error);
    platform.fail_alloc_in = 1;
    EXPECT_EQ(llama2c::probe_tokenizer(platform, "t.bin", 290).error().status, Status::out_of_memory);
    EXPECT_EQ(platform.pages_in_use(), 0u);
    EXPECT_EQ(platform.open_files(), 0u);
}

TEST(Llama2cTokenizer, LoadsIntoWhatWasPlanned)
{
    for (const int size : {262, 290, 400}) {
        FakePlatform platform;
        const auto list = tiny_vocabulary(size);
        const auto file = tokenizer_file(list);
        platform.add_file("t.bin", file);
        const uint64_t planned = llama2c::vocabulary_bytes(file.size(), list.size());
        Arena arena;
        ASSERT_TRUE(arena.add_extent(platform, planned).ok());
        auto loaded = llama2c::load_vocabulary(platform, "t.bin", 0, arena);
        ASSERT_TRUE(loaded.ok());
        const Vocabulary& vocabulary = loaded.value();
        EXPECT_LE(arena.used_bytes(), planned);
        ASSERT_EQ(vocabulary.entries.size(), list.size());
        for (uint32_t i = 0; i < list.size(); ++i) {
            EXPECT_EQ(vocabulary.entry_text(i), list[i].first);
            EXPECT_EQ(vocabulary.entries[i].score, list[i].second);
        }
        EXPECT_EQ(arena.broken_guard(), nullptr);
        arena.release(platform);
    }
}

} // namespace
} // namespace llmk
