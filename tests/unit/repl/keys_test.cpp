// SPDX-License-Identifier: MIT
#include "fake/fake_platform.h"
#include "repl/keys.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

std::string drain(KeyQueue& keys)
{
    std::string result;
    Key key;
    while (keys.next(key)) {
        result += key.code == KeyCode::enter ? '$' : static_cast<char>(key.character);
    }
    return result;
}

TEST(KeyQueue, KeepsWhatWasTypedDuringAnAnswer)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    platform.type("hel");
    EXPECT_FALSE(keys.interrupt_pending());
    platform.type("lo\r");
    EXPECT_EQ(drain(keys), "hello$");
    EXPECT_EQ(drain(keys), "");
}

TEST(KeyQueue, FindsInterruptsAmongOtherKeys)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    platform.type("ab\x1b"
                  "c\x03"
                  "d");
    EXPECT_TRUE(keys.interrupt_pending());
    EXPECT_FALSE(keys.interrupt_pending()) << "each counts once";
    EXPECT_EQ(drain(keys), "abcd");
}

TEST(KeyQueue, FullQueueKeepsTheFirstAndStillSeesAnInterrupt)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    platform.type(std::string(KeyQueue::kCapacity, 'x') + "dropped");
    EXPECT_FALSE(keys.interrupt_pending());
    platform.type("\x1b");
    EXPECT_TRUE(keys.interrupt_pending());
    EXPECT_EQ(drain(keys), std::string(KeyQueue::kCapacity, 'x'));
    platform.type("after");
    EXPECT_FALSE(keys.interrupt_pending());
    EXPECT_EQ(drain(keys), "after") << "the ring goes round";
}

TEST(KeyQueue, WaitRestsUntilAKeyComes)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    platform.type_at(1000, "k");
    EXPECT_EQ(keys.wait().character, U'k');
    EXPECT_GE(platform.now, 1'000'000'000u);
    EXPECT_GT(platform.idle_calls, 10u);
    EXPECT_LT(platform.idle_calls, 1000u) << "no busy loop";
}

TEST(KeyQueue, ClearForgets)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    platform.type("abc");
    EXPECT_FALSE(keys.interrupt_pending());
    keys.clear();
    EXPECT_EQ(drain(keys), "");
}

} // namespace
} // namespace llmk
