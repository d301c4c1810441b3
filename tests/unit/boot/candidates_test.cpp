// SPDX-License-Identifier: MIT
#include "boot/candidates.h"
#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

/// The paths, one a line; a folder has a '/' behind.
std::string listed(FakePlatform& platform, CandidateList& list)
{
    EXPECT_TRUE(list_candidates(platform, list).ok());
    std::string result;
    for (const auto& candidate : list.view()) {
        result += std::string(candidate.path.view()) + (candidate.is_directory ? "/\n" : "\n");
    }
    return result;
}

TEST(Candidates, Names)
{
    for (const char* name : {"a.gguf", "A.GGUF", "stories15M.bin", "x.Bin", "tok.bin", "tokens.bin", "tok512x.bin",
                             "my tokenizer.bin", "a.tok.gguf", "größe.gguf"}) {
        EXPECT_TRUE(is_model_name(name)) << name;
    }
    for (const char* name : {"", ".gguf", "._a.gguf", ".hidden.bin", "tokenizer.bin", "TOKENIZER.BIN", "tok512.bin",
                             "Tok32000.BIN", "a.tok.bin", "A.TOK.BIN", "a.gguf.txt", "bin", "gguf", "a.bi", ".bin"}) {
        EXPECT_FALSE(is_model_name(name)) << name;
    }
}

TEST(Candidates, RootAndModelsSortedByName)
{
    FakePlatform platform;
    for (const char* path : {"zebra.bin", "Beta.gguf", "models/alpha.GGUF", "models/beta.gguf", "MODELS/tokenizer.bin",
                             "models/deeper/far.bin", "other/away.bin", "readme.txt", "llmk.cfg"}) {
        platform.add_file(path, "12345");
    }
    CandidateList list;
    EXPECT_EQ(listed(platform, list), "models/alpha.GGUF\nBeta.gguf\nmodels/beta.gguf\nzebra.bin\n");
    EXPECT_EQ(list.items[0].name(), "alpha.GGUF");
    EXPECT_EQ(list.items[0].size_bytes, 5u);
    EXPECT_EQ(list.left_out, 0u);
    EXPECT_EQ(listed(platform, list), "models/alpha.GGUF\nBeta.gguf\nmodels/beta.gguf\nzebra.bin\n") << "anew";
}

TEST(Candidates, HiddenAreSkippedFoldersAreFlagged)
{
    FakePlatform platform;
    platform.add_file("seen.bin", "");
    platform.add_file("hidden.bin", "", 0, true);
    platform.add_directory("folder.gguf");
    CandidateList list;
    EXPECT_EQ(listed(platform, list), "folder.gguf/\nseen.bin\n");
}

TEST(Candidates, NothingThere)
{
    FakePlatform platform;
    CandidateList list;
    EXPECT_EQ(listed(platform, list), "");
    platform.add_file("models", "a file of that name");
    EXPECT_EQ(listed(platform, list), "");
}

TEST(Candidates, MoreThanFitKeepsTheFirstByName)
{
    FakePlatform platform;
    for (int i = 0; i < 100; ++i) {
        platform.add_file("model" + std::to_string(100 + i) + ".bin", "");
    }
    CandidateList list;
    ASSERT_TRUE(list_candidates(platform, list).ok());
    EXPECT_EQ(list.count, 64u);
    EXPECT_EQ(list.left_out, 36u);
    for (size_t i = 0; i < list.count; ++i) {
        EXPECT_EQ(list.items[i].path.view(), "model" + std::to_string(100 + i) + ".bin");
    }
}

TEST(Candidates, TooLongAPathIsCounted)
{
    FakePlatform platform;
    platform.add_file(std::string(400, 'x') + ".bin", "");
    CandidateList list;
    EXPECT_EQ(listed(platform, list), "");
    EXPECT_EQ(list.left_out, 1u);
}

TEST(Candidates, ErrorsOfTheVolumeComeOut)
{
    FakePlatform platform;
    platform.add_file("models/a.bin", "");
    CandidateList list;
    for (const size_t which : {size_t{1}, size_t{2}}) {
        platform.fail_list_in = which;
        const auto result = list_candidates(platform, list);
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().status, Status::io_error);
    }
}

} // namespace
} // namespace llmk
