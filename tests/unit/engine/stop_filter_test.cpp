// SPDX-License-Identifier: MIT
#include "engine/stop_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace llmk {
namespace {

struct Outcome {
    std::string text;
    bool stopped = false;
    bool operator==(const Outcome&) const = default;
};

Outcome filtered(std::span<const Text<64>> stops, const std::vector<std::string>& parts)
{
    StopFilter filter(stops);
    Outcome outcome;
    Text<1024> out;
    for (const auto& part : parts) {
        if (filter.feed(part, out)) {
            outcome.stopped = true;
            break;
        }
    }
    if (!outcome.stopped) {
        filter.finish(out);
    }
    outcome.text = out.view();
    return outcome;
}

TEST(StopFilter, EveryCut)
{
    const Text<64> stops[] = {Text<64>("END"), Text<64>(""), Text<64>("\n\n"), Text<64>("ENENX")};
    const struct {
        std::string text;
        Outcome wanted;
    } cases[] = {
        {"a story END of it", {"a story ", true}},
        {"ENEND", {"EN", true}},
        {"no stop EN", {"no stop EN", false}},
        {"a\nb\n\nc", {"a\nb", true}},
        {"E E EN ENE", {"E E EN ENE", false}},
        {"ENENXEND", {"", true}},
        {"ENENEND", {"ENEN", true}},
        {"END", {"", true}},
        {"", {"", false}},
    };
    for (const auto& [text, wanted] : cases) {
        const size_t cuts = text.empty() ? 0 : text.size() - 1;
        for (uint32_t mask = 0; mask < 1u << cuts; ++mask) {
            std::vector<std::string> parts(1);
            for (size_t i = 0; i < text.size(); ++i) {
                parts.back() += text[i];
                if ((mask >> i & 1) != 0) {
                    parts.emplace_back();
                }
            }
            ASSERT_EQ(filtered(stops, parts), wanted) << text << " " << mask;
        }
    }
}

TEST(StopFilter, NothingIsHeldWithoutNeed)
{
    const Text<64> stops[] = {Text<64>("</s>")};
    StopFilter filter(stops);
    Text<64> out;
    EXPECT_FALSE(filter.feed("abc", out));
    EXPECT_EQ(out.view(), "abc");
    EXPECT_FALSE(filter.feed("<", out));
    EXPECT_FALSE(filter.feed("/", out));
    EXPECT_EQ(out.view(), "abc") << "may become a stop string";
    EXPECT_FALSE(filter.feed("x", out));
    EXPECT_EQ(out.view(), "abc</x");
}

TEST(StopFilter, LongestStopAndLargestPiece)
{
    const Text<64> stops[] = {Text<64>(std::string(63, 'a') + "b")};
    StopFilter filter(stops);
    Text<1024> out;
    for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(filter.feed(std::string(128, 'a'), out));
        EXPECT_FALSE(out.truncated());
    }
    EXPECT_EQ(out.size(), 5u * 128 - 63) << "as much is held as could still be the stop string";
    EXPECT_TRUE(filter.feed("b", out));
    EXPECT_EQ(out.size(), 5u * 128 - 63);
}

TEST(StopFilter, RandomAgainstSearch)
{
    std::mt19937 random(12);
    for (int round = 0; round < 3000; ++round) {
        std::string stop;
        for (size_t n = 1 + random() % 4; n > 0; --n) {
            stop += static_cast<char>('a' + random() % 2);
        }
        const Text<64> stops[] = {Text<64>(std::string_view(stop))};
        std::vector<std::string> parts;
        std::string all;
        for (size_t n = random() % 8; n > 0; --n) {
            parts.emplace_back();
            for (size_t m = random() % 4; m > 0; --m) {
                parts.back() += static_cast<char>('a' + random() % 2);
            }
            all += parts.back();
        }
        const size_t found = all.find(stop);
        const Outcome wanted = {all.substr(0, found), found != std::string::npos};
        ASSERT_EQ(filtered(stops, parts), wanted) << stop << " in " << all;
    }
}

} // namespace
} // namespace llmk
