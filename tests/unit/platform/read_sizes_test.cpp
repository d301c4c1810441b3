// SPDX-License-Identifier: MIT
//
// Firmware that fails on large reads, as the loop around its Read sees it.
#include "platform/uefi/read_sizes.h"

#include <gtest/gtest.h>

#include <vector>

namespace llmk::uefi {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

/// A file whose reads fail above a size, at the n-th read, or altogether.
struct Firmware {
    size_t size = 10 * kMiB + 5;
    size_t most = SIZE_MAX; ///< larger reads fail
    size_t fail_in = 0;     ///< 1 is the next read
    bool gone = false;      ///< nothing helps
    size_t recoveries = 0;
    std::vector<size_t> reads;

    std::optional<size_t> read(ReadSizes& sizes, size_t wanted)
    {
        reads.clear();
        return read_in_pieces(
            sizes, wanted,
            [this](size_t done, size_t bytes, size_t& got) {
                reads.push_back(bytes);
                if (gone || bytes > most || (fail_in != 0 && --fail_in == 0)) {
                    return false;
                }
                got = std::min(bytes, size - std::min(done, size));
                return true;
            },
            [this] {
                ++recoveries;
                return !gone;
            });
    }
};

TEST(ReadSizes, FourMebibytesWhereTheFirmwareCan)
{
    ReadSizes sizes;
    Firmware firmware;
    EXPECT_EQ(firmware.read(sizes, firmware.size), firmware.size);
    EXPECT_EQ(firmware.reads, (std::vector<size_t>{4 * kMiB, 4 * kMiB, 2 * kMiB + 5}));
    EXPECT_EQ(firmware.recoveries, 0u);
}

TEST(ReadSizes, FallsToWhatWorksAndStaysThere)
{
    const struct {
        size_t most, falls_to, failures;
    } cases[] = {{3 * kMiB, kMiB, 1}, {kMiB, kMiB, 1}, {kMiB - 1, 64 * kKiB, 2}, {64 * kKiB, 64 * kKiB, 2}};
    for (const auto& each : cases) {
        ReadSizes sizes;
        Firmware firmware;
        firmware.most = each.most;
        EXPECT_EQ(firmware.read(sizes, firmware.size), firmware.size) << each.most;
        EXPECT_EQ(firmware.recoveries, each.failures) << each.most;
        EXPECT_EQ(sizes.largest(), each.falls_to) << each.most;
        EXPECT_EQ(firmware.read(sizes, 4 * kMiB), 4 * kMiB) << each.most;
        EXPECT_EQ(firmware.recoveries, each.failures) << "remembered: no further failure";
        EXPECT_EQ(firmware.reads, std::vector<size_t>(4 * kMiB / each.falls_to, each.falls_to)) << each.most;
    }
}

TEST(ReadSizes, ASmallReadThatFailsOnceSaysNothingOfLargeOnes)
{
    ReadSizes sizes;
    Firmware firmware;
    firmware.fail_in = 1;
    EXPECT_EQ(firmware.read(sizes, 4 * kKiB), 4 * kKiB);
    EXPECT_EQ(firmware.reads, (std::vector<size_t>{4 * kKiB, 4 * kKiB}));
    EXPECT_EQ(sizes.largest(), ReadSizes::kLargest);
}

TEST(ReadSizes, GivesUpAfterTheSmallestTwice)
{
    ReadSizes sizes;
    Firmware firmware;
    firmware.most = 0;
    EXPECT_EQ(firmware.read(sizes, 5 * kMiB), std::nullopt);
    EXPECT_EQ(firmware.reads, (std::vector<size_t>{4 * kMiB, kMiB, 64 * kKiB, 64 * kKiB}));
    EXPECT_EQ(sizes.largest(), ReadSizes::kLargest) << "the next stick may be a good one";
}

TEST(ReadSizes, AStickThatIsGoneIsNotAskedAgain)
{
    ReadSizes sizes;
    Firmware firmware;
    firmware.gone = true;
    EXPECT_EQ(firmware.read(sizes, 5 * kMiB), std::nullopt);
    EXPECT_EQ(firmware.reads.size(), 1u);
}

TEST(ReadSizes, EndsWhereTheFileDoes)
{
    ReadSizes sizes;
    Firmware firmware;
    firmware.size = 4 * kMiB;
    EXPECT_EQ(firmware.read(sizes, 9 * kMiB), 4 * kMiB);
}

} // namespace
} // namespace llmk::uefi
