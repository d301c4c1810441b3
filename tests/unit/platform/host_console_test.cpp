// SPDX-License-Identifier: MIT
#include "platform/host/host_console.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

// A token may stand for no text: a view of nothing, with no address. fwrite may not be given one.
TEST(HostConsole, WritesNothingWithoutAnAddress)
{
    HostConsole console;
    testing::internal::CaptureStdout();
    console.write({});
    console.write("a");
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "a");
}

} // namespace
} // namespace llmk
