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

TEST(Candidates, FilesOfASplitModelAreOne)
{
    FakePlatform platform;
    for (const char* path : {"models/big-00002-of-00003.gguf", "models/Big-00001-of-00003.gguf",
                             "models/BIG-00003-OF-00003.GGUF", "big-00001-of-00002.gguf", "lost-00002-of-00002.gguf",
                             "one-00001-of-00001.gguf", "odd-00004-of-00003.gguf", "a.gguf"}) {
        platform.add_file(path, "12345");
    }
    CandidateList list;
    EXPECT_EQ(listed(platform, list), "a.gguf\nbig-00001-of-00002.gguf\nmodels/BIG-00001-OF-00003.GGUF\n"
                                      "lost-00001-of-00002.gguf\nodd-00004-of-00003.gguf\none-00001-of-00001.gguf\n");
    EXPECT_EQ(list.items[2].size_bytes, 15u) << "of all three";
    EXPECT_TRUE(list.items[2].first_found);
    EXPECT_EQ(list.items[3].size_bytes, 5u);
    EXPECT_FALSE(list.items[3].first_found);
    platform.add_directory("lost-00001-of-00002.gguf");
    EXPECT_EQ(listed(platform, list), "a.gguf\nbig-00001-of-00002.gguf\nmodels/BIG-00001-OF-00003.GGUF\n"
                                      "lost-00001-of-00002.gguf\nlost-00001-of-00002.gguf/\n"
                                      "odd-00004-of-00003.gguf\none-00001-of-00001.gguf\n");
}

TEST(Candidates, SplitModelsThatDoNotFitAreCountedOnce)
{
    FakePlatform platform;
    for (int i = 0; i < 70; ++i) {
        for (int part = 1; part <= 3; ++part) {
            platform.add_file("m" + std::to_string(100 + i) + "-0000" + std::to_string(part) + "-of-00003.gguf", "12");
        }
    }
    CandidateList list;
    ASSERT_TRUE(list_candidates(platform, list).ok());
    EXPECT_EQ(list.count, 64u);
    EXPECT_EQ(list.left_out, 6u);
    for (const Candidate& item : list.view()) {
        EXPECT_EQ(item.size_bytes, 6u) << item.path.view();
    }
}

TEST(Candidates, WhatAPersonMeans)
{
    constexpr const char* kPath = "models/Big-Q8-00001-of-00003.gguf";
    for (const char* wanted :
         {"models/Big-Q8-00001-of-00003.gguf", "\\MODELS\\big-q8-00003-OF-00003.gguf", "big-q8-00002-of-00003.gguf",
          "big-q8-00001-of-00003", "Big-Q8", "BIG-Q8.GGUF", "models/big-q8", "/models/big-q8.gguf"}) {
        EXPECT_TRUE(is_meant(wanted, kPath)) << wanted;
    }
    for (const char* wanted : {"", "big", "models/big", "big-q8-00001-of-00002.gguf", "other/big-q8", "big-q8.bin",
                               "models/", "big-q8-00004-of-00003.gguf"}) {
        EXPECT_FALSE(is_meant(wanted, kPath)) << wanted;
    }
    for (const char* wanted : {"x", "x.bin", "models/x.bin", "models\\X", "\\models\\x.BIN"}) {
        EXPECT_TRUE(is_meant(wanted, "models/x.bin")) << wanted;
    }
    for (const char* wanted : {"x.gguf", "bin", "x.", "models"}) {
        EXPECT_FALSE(is_meant(wanted, "models/x.bin")) << wanted;
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
