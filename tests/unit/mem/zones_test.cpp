// SPDX-License-Identifier: MIT
//
// Arenas: what they hand out, what they refuse, and what their guards see.
#include "mem/zones.h"

#include "fake/fake_platform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace llmk {
namespace {

/// An arena that gives its pages back.
struct Room {
    explicit Room(std::initializer_list<uint64_t> usable)
    {
        arena.set_id(ZoneId::kv);
        for (const uint64_t bytes : usable) {
            EXPECT_TRUE(arena.add_extent(platform, bytes).ok());
        }
    }
    ~Room() { arena.release(platform); }

    FakePlatform platform;
    Arena arena;
};

uint8_t* take(Arena& arena, uint64_t bytes)
{
    auto result = arena.alloc(bytes);
    EXPECT_TRUE(result.ok());
    return result.ok() ? static_cast<uint8_t*>(result.value()) : nullptr;
}

TEST(Arena, SizesAreInverse)
{
    for (uint64_t usable : {uint64_t{0}, uint64_t{1}, uint64_t{64}, uint64_t{4031}, uint64_t{4032}, uint64_t{4033},
                            uint64_t{1} << 20, (uint64_t{1} << 40) + 3}) {
        const uint64_t bytes = Arena::extent_bytes(usable);
        EXPECT_EQ(bytes % 4096, 0u);
        EXPECT_GE(Arena::usable_bytes(bytes), usable);
        EXPECT_LT(Arena::usable_bytes(bytes), usable + 4096);
        EXPECT_EQ(Arena::extent_bytes(Arena::usable_bytes(bytes)), bytes);
    }
}

TEST(Arena, HandsOutAlignedAndInOrder)
{
    Room room({16384});
    uint8_t* first = take(room.arena, 1);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 4096, 0u) << "the first is page-aligned";
    uint8_t* last = first + 1;
    for (const uint64_t bytes : {1u, 63u, 64u, 65u, 0u, 1000u}) {
        uint8_t* next = take(room.arena, bytes);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(next) % Arena::kAlignment, 0u);
        EXPECT_GE(next, last);
        std::memset(next, 0x11, bytes);
        last = next + bytes;
    }
    EXPECT_EQ(room.arena.broken_guard(), nullptr);
}

TEST(Arena, AllOfItCanBeUsed)
{
    Room room({10'000});
    const uint64_t usable = Arena::usable_bytes(room.arena.size_bytes());
    uint8_t* all = take(room.arena, usable);
    std::memset(all, 0xEE, usable);
    EXPECT_EQ(room.arena.broken_guard(), nullptr);
    const auto more = room.arena.alloc(1);
    ASSERT_FALSE(more.ok());
    EXPECT_EQ(more.error().status, Status::out_of_memory);
    EXPECT_NE(more.error().message.view().find("KV"), std::string_view::npos);
    EXPECT_FALSE(room.arena.alloc(UINT64_MAX).ok());
    EXPECT_FALSE(room.arena.alloc(UINT64_MAX - 8192).ok());
}

TEST(Arena, ArraysDoNotWrap)
{
    Room room({4096});
    const auto huge = room.arena.alloc_array<uint64_t>(uint64_t{1} << 61);
    ASSERT_FALSE(huge.ok());
    EXPECT_EQ(huge.error().status, Status::out_of_memory);
    EXPECT_TRUE(room.arena.alloc_array<float>(100).ok());
}

TEST(Arena, NeverStraddlesExtents)
{
    Room room({8000, 4000, 12'000});
    std::vector<std::pair<uint8_t*, size_t>> parts;
    for (;;) {
        const auto part = room.arena.alloc(1500);
        if (!part.ok()) {
            break;
        }
        parts.emplace_back(static_cast<uint8_t*>(const_cast<Result<void*>&>(part).value()), 1500);
    }
    size_t inside = 0;
    for (const auto& [at, bytes] : parts) {
        for (const auto& extent : room.arena.extents()) {
            const auto* low = extent.base + Arena::kFrontBytes;
            inside += at >= low && at + bytes <= extent.base + extent.usable_end() ? 1 : 0;
        }
        std::memset(at, 0x22, bytes);
    }
    EXPECT_EQ(inside, parts.size());
    EXPECT_EQ(parts.size(), 5u + 2u + 7u);
    EXPECT_EQ(room.arena.broken_guard(), nullptr);
    EXPECT_FALSE(room.arena.alloc(20'000).ok()) << "no extent holds it, though all together do";
}

TEST(Arena, MarksAndRewinds)
{
    Room room({8000, 8000});
    (void)take(room.arena, 100);
    const auto mark = room.arena.mark();
    const uint64_t used = room.arena.used_bytes();
    uint8_t* inner = take(room.arena, 3000);
    (void)take(room.arena, 6000); // in the second extent
    (void)take(room.arena, 1000);
    const uint64_t high = room.arena.high_water_bytes();
    room.arena.rewind(mark);
    EXPECT_EQ(room.arena.used_bytes(), used);
    EXPECT_EQ(room.arena.high_water_bytes(), high) << "the highest is remembered";
    EXPECT_EQ(take(room.arena, 3000), inner) << "the same place again";
    room.arena.clear();
    EXPECT_EQ(room.arena.used_bytes(), 0u);
    EXPECT_TRUE(room.arena.alloc(7900).ok());
    EXPECT_TRUE(room.arena.alloc(7900).ok());
}

TEST(Arena, GuardsSeeWritesOnBothSides)
{
    Room room({4096, 8192});
    for (size_t which = 0; which < 2; ++which) {
        const auto& extent = room.arena.extents()[which];
        uint8_t* const begin = extent.base + Arena::kFrontBytes;
        uint8_t* const end = extent.base + extent.usable_end();
        for (uint8_t* victim : {begin - 1, begin - Arena::kGuardBytes, end, end + Arena::kGuardBytes - 1}) {
            *victim = static_cast<uint8_t>(*victim + 1);
            EXPECT_EQ(room.arena.broken_guard(), victim);
            room.arena.repair_guards();
            EXPECT_EQ(room.arena.broken_guard(), nullptr);
        }
    }
}

TEST(Arena, FreezesAndFailsOnDemand)
{
    Room room({4096});
    room.arena.fail_next_alloc();
    const auto failed = room.arena.alloc(16);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().status, Status::out_of_memory);
    EXPECT_TRUE(room.arena.alloc(16).ok()) << "once only";
    room.arena.freeze();
    EXPECT_TRUE(room.arena.frozen());
    EXPECT_FALSE(room.arena.alloc(16).ok());
    room.arena.release(room.platform);
    EXPECT_FALSE(room.arena.frozen());
    EXPECT_EQ(room.arena.size_bytes(), 0u);
    EXPECT_FALSE(room.arena.alloc(1).ok()) << "nothing is left";
}

TEST(Arena, NoMemoryNamesTheArena)
{
    FakePlatform platform;
    platform.extents = {8192};
    Arena arena;
    arena.set_id(ZoneId::weights);
    for (const uint64_t bytes : {uint64_t{100'000}, UINT64_MAX - 100, UINT64_MAX}) {
        const auto result = arena.add_extent(platform, bytes);
        ASSERT_FALSE(result.ok());
        EXPECT_EQ(result.error().status, Status::out_of_memory);
        EXPECT_NE(result.error().message.view().find("WEIGHTS"), std::string_view::npos);
    }
    EXPECT_EQ(arena.extents().size(), 0u);
}

TEST(Arena, HasAtMostSixteenExtents)
{
    Room room({});
    for (size_t i = 0; i < Arena::kMaxExtents; ++i) {
        ASSERT_TRUE(room.arena.add_extent(room.platform, 64).ok());
    }
    EXPECT_FALSE(room.arena.add_extent(room.platform, 64).ok());
}

TEST(Zones, ReleaseKeepsZoneC)
{
    FakePlatform platform;
    {
        Zones zones(platform);
        for (size_t i = 0; i < kZoneCount; ++i) {
            Arena& arena = zones[static_cast<ZoneId>(i)];
            EXPECT_EQ(arena.id(), static_cast<ZoneId>(i));
            ASSERT_TRUE(arena.add_extent(platform, 4096).ok());
        }
        EXPECT_FALSE(zones.broken_guard());
        const auto& extent = zones[ZoneId::acts].extents()[0];
        extent.base[extent.usable_end()] = 0;
        const auto broken = zones.broken_guard();
        ASSERT_TRUE(broken);
        EXPECT_EQ(broken->zone, ZoneId::acts);
        EXPECT_EQ(broken->address, extent.base + extent.usable_end());
        zones.repair_guards();
        EXPECT_FALSE(zones.broken_guard());
        zones.release_model();
        EXPECT_EQ(zones[ZoneId::weights].size_bytes(), 0u);
        EXPECT_GT(zones[ZoneId::zonec].size_bytes(), 0u);
    }
    EXPECT_EQ(platform.pages_in_use(), 0u);
}

} // namespace
} // namespace llmk
