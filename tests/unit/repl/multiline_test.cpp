// SPDX-License-Identifier: MIT
#include "repl/multiline.h"

#include <gtest/gtest.h>

#include <string>

namespace llmk {
namespace {

std::string joined(std::string text)
{
    text.resize(join_lines(text));
    return text;
}

TEST(Multiline, WantsMore)
{
    for (const char* open :
         {"a\\", "\\", "a\\\nb\\", "\"\"\"", "\"\"\"\na", "  \"\"\" a\n\"\"", "\"\"\"\na\"\"\"\nb"}) {
        EXPECT_TRUE(wants_more_lines(open)) << open;
    }
    for (const char* done : {"", "a", "a\\ ", "a\\\nb", "\"\"\"a\"\"\"", "\"\"\"\na\\\n\"\"\"", "\"\"\"\n\"\"\"  ",
                             "say \"\"\" now", "\"\"\"\"\"\""}) {
        EXPECT_FALSE(wants_more_lines(done)) << done;
    }
}

TEST(Multiline, Joins)
{
    EXPECT_EQ(joined("plain"), "plain");
    EXPECT_EQ(joined(""), "");
    EXPECT_EQ(joined("a\\\nb\\\n\\\nc"), "a\nb\n\nc");
    EXPECT_EQ(joined("a\\b"), "a\\b");
    EXPECT_EQ(joined("\"\"\"\na\\\nb\n\"\"\""), "a\\\nb");
    EXPECT_EQ(joined("\"\"\"one\ntwo\"\"\" "), "one\ntwo");
    EXPECT_EQ(joined("\"\"\"\"\"\""), "");
    EXPECT_EQ(joined("\"\"\"\n\n\"\"\""), "") << "one break belongs to each fence";
    EXPECT_EQ(joined("\"\"\"\nunfinished"), "unfinished") << "when the storage was full";
}

} // namespace
} // namespace llmk
