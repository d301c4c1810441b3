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

/// What there is to do comes before resting, and a key before what there is to do.
TEST(KeyQueue, WorksBeforeItRests)
{
    FakePlatform platform;
    KeyQueue keys(platform);
    struct Work {
        FakePlatform& platform;
        size_t left = 5;
    } work{platform};
    const auto step = [](void* context) {
        auto& self = *static_cast<Work*>(context);
        if (self.left == 3) {
            self.platform.type("k");
        }
        return --self.left > 0;
    };
    keys.meanwhile(step, &work);
    EXPECT_EQ(keys.wait().character, U'k');
    EXPECT_EQ(work.left, 2u);
    EXPECT_EQ(platform.idle_calls, 0u);
    work.left = 2;
    platform.type_at(1000, "l");
    platform.on_idle = [&] { work.left = 1; }; // asked again after each rest, and has nothing
    EXPECT_EQ(keys.wait().character, U'l');
    EXPECT_GT(platform.idle_calls, 10u);
    keys.meanwhile(nullptr, nullptr);
    platform.type("m");
    EXPECT_EQ(keys.wait().character, U'm');
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
