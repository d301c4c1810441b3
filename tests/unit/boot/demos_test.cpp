// SPDX-License-Identifier: MIT
#include "boot/demos.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace llmk {
namespace {

TEST(Demos, EachKindHasSomeAndTheyFitAScreen)
{
    for (const char* kind : {"story", "chat", "Chat"}) {
        const auto prompts = demo_prompts(kind);
        EXPECT_GE(prompts.size(), 4u) << kind;
        EXPECT_LE(prompts.size(), 6u) << kind;
        for (const auto prompt : prompts) {
            EXPECT_LE(prompt.size(), 70u) << prompt;
            EXPECT_TRUE(std::all_of(prompt.begin(), prompt.end(), [](char c) { return c >= ' ' && c <= '~'; }))
                << "every console can show it";
        }
    }
    EXPECT_TRUE(demo_prompts("poem").empty());
}

} // namespace
} // namespace llmk
