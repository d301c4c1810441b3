// SPDX-License-Identifier: MIT
#include "engine/transcript.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

void put(Transcript& transcript, std::string_view user, std::string_view answer)
{
    transcript.begin(user);
    for (const char c : answer) {
        transcript.add({&c, 1});
    }
    transcript.keep();
}

std::string all(const Transcript& transcript)
{
    std::string text;
    for (size_t i = 0; i < transcript.count(); ++i) {
        text += std::string(transcript.user(i)) + ":" + std::string(transcript.answer(i)) + ";";
    }
    return text;
}

TEST(Transcript, KeepsAndDropsTurns)
{
    FakePlatform platform;
    Transcript transcript(platform);
    put(transcript, "one", "1");
    put(transcript, "", "");
    put(transcript, "three", std::string(9000, '3'));
    EXPECT_EQ(all(transcript), "one:1;:;three:" + std::string(9000, '3') + ";");
    transcript.begin("never kept");
    transcript.add("so");
    transcript.drop_first(); // while a turn is made
    transcript.add("on");
    transcript.discard();
    transcript.drop_last();
    EXPECT_EQ(all(transcript), ":;");
    put(transcript, "four", "4");
    Transcript moved = std::move(transcript);
    EXPECT_EQ(all(moved), ":;four:4;");
    moved.clear();
    EXPECT_EQ(moved.count(), 0u);
}

TEST(Transcript, TheLastTurnOnceMore)
{
    FakePlatform platform;
    Transcript transcript(platform);
    put(transcript, "one", "1");
    put(transcript, "two", std::string(5000, '2'));
    transcript.begin_again();
    transcript.add("another");
    EXPECT_EQ(transcript.answer(1).size(), 5000u) << "both are there";
    transcript.discard();
    EXPECT_EQ(transcript.answer(1).size(), 5000u);
    transcript.begin_again();
    transcript.add("another");
    transcript.keep_in_place_of_last();
    EXPECT_EQ(all(transcript), "one:1;two:another;");
    put(transcript, "three", "3");
    EXPECT_EQ(all(transcript), "one:1;two:another;three:3;");
}

TEST(Transcript, WithoutMemoryATurnIsNotKnown)
{
    FakePlatform platform;
    Transcript transcript(platform);
    put(transcript, "one", "1");
    platform.extents = {0};
    put(transcript, "two", std::string(10'000, '2'));
    EXPECT_EQ(transcript.count(), 2u) << "it counts all the same";
    EXPECT_TRUE(transcript.known(0));
    EXPECT_FALSE(transcript.known(1));
    EXPECT_EQ(all(transcript), "one:1;:;");
    transcript.begin_again();
    transcript.add("x");
    transcript.keep_in_place_of_last();
    EXPECT_FALSE(transcript.known(1)) << "what was said is gone";
    transcript.keep_unknown();
    EXPECT_EQ(transcript.count(), 3u);
    transcript.drop_first();
    EXPECT_EQ(all(transcript), ":;:;");
}

} // namespace
} // namespace llmk
