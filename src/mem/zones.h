// SPDX-License-Identifier: MIT
//
// The five arenas that hold everything after load: WEIGHTS, KV, SCRATCH, ACTS, ZONEC. Each takes its pages once, is
// handed out from the front, and stands between guards that the sentinel checks at each turn. Sizes are computed from
// the model before anything is reserved (src/model/loader.h). Does not own who puts what where.
#pragma once

#include "base/checked.h"
#include "llmk/platform.h"

namespace llmk {

enum class ZoneId : uint8_t { weights, kv, scratch, acts, zonec };
constexpr size_t kZoneCount = 5;
constexpr std::string_view zone_name(ZoneId zone)
{
    constexpr std::string_view kNames[] = {"WEIGHTS", "KV", "SCRATCH", "ACTS", "ZONEC"};
    return kNames[static_cast<size_t>(zone)];
}

/// One arena: one or more extents of pages, since firmware memory is fragmented. An allocation never straddles two.
class Arena {
public:
    static constexpr size_t kMaxExtents = 16;
    static constexpr size_t kGuardBytes = 64;
    /// The front guard ends a page of its own, so that the first allocation is page-aligned.
    static constexpr size_t kFrontBytes = 4096;
    static constexpr size_t kAlignment = 64;

    struct Extent {
        uint8_t* base = nullptr;
        uint64_t size_bytes = 0; ///< front page and guard included
        uint64_t used_bytes = 0; ///< front page included
        uint64_t usable_end() const { return size_bytes - kGuardBytes; }
    };

    /// Where an arena stood; rewinding to it frees what came after.
    struct Mark {
        size_t extent = 0;
        uint64_t used_bytes = 0;
    };

    void set_id(ZoneId id) { m_id = id; }
    ZoneId id() const { return m_id; }

    /// Takes pages for `usable_bytes` more, guards on top. Status::out_of_memory names the arena and the sizes.
    Result<void> add_extent(Platform& platform, uint64_t usable_bytes);
    /// Bytes of pages that an extent of so many usable bytes takes, and the other way round.
    static uint64_t usable_bytes(uint64_t extent_bytes) { return extent_bytes - kFrontBytes - kGuardBytes; }
    static uint64_t extent_bytes(uint64_t usable_bytes)
    {
        return align_up(kFrontBytes + usable_bytes + kGuardBytes, 4096);
    }

    /// kAlignment-aligned, contents undefined. Status::out_of_memory when full, frozen, or told to fail.
    Result<void*> alloc(uint64_t bytes);
    template <class T> Result<T*> alloc_array(uint64_t count)
    {
        const CheckedSize bytes = CheckedSize(count) * sizeof(T);
        if (!bytes.valid()) {
            return fail(Status::out_of_memory, "{}: {} elements are larger than the address space", zone_name(m_id),
                        count);
        }
        return static_cast<T*>(TRY(alloc(bytes.value())));
    }

    Mark mark() const;
    void rewind(const Mark& mark);
    /// Everything handed out is taken back; the pages stay.
    void clear() { rewind({}); }
    /// Gives the pages back to the platform.
    void release(Platform& platform);

    /// No allocation from now on: the arena is read-only by agreement. (WEIGHTS after load.)
    void freeze() { m_frozen = true; }
    bool frozen() const { return m_frozen; }

    /// The first guard byte that was overwritten, or null.
    const void* broken_guard() const;
    /// Writes the guards anew, after a trip has been logged.
    void repair_guards();

    /// The next alloc fails, once. For /test_failsafe.
    void fail_next_alloc() { m_fail_next = true; }

    std::span<const Extent> extents() const { return {m_extents, m_extent_count}; }
    uint64_t size_bytes() const;
    uint64_t used_bytes() const;
    uint64_t high_water_bytes() const { return m_high_water; }

private:
    ZoneId m_id = ZoneId::scratch;
    Extent m_extents[kMaxExtents];
    size_t m_extent_count = 0;
    size_t m_current = 0;
    uint64_t m_high_water = 0;
    bool m_frozen = false;
    bool m_fail_next = false;
};

/// Gives back at its end what was allocated since its beginning, on the way of an error too.
class ArenaScope {
public:
    explicit ArenaScope(Arena& arena) : m_arena(arena), m_mark(arena.mark()) {}
    ~ArenaScope() { m_arena.rewind(m_mark); }
    ArenaScope(const ArenaScope&) = delete;
    ArenaScope& operator=(const ArenaScope&) = delete;

private:
    Arena& m_arena;
    Arena::Mark m_mark;
};

class Zones {
public:
    explicit Zones(Platform& platform);
    ~Zones();
    Zones(const Zones&) = delete;
    Zones& operator=(const Zones&) = delete;

    Arena& operator[](ZoneId zone) { return m_arenas[static_cast<size_t>(zone)]; }
    const Arena& operator[](ZoneId zone) const { return m_arenas[static_cast<size_t>(zone)]; }

    /// Gives back everything but ZONEC, which lives as long as the program.
    void release_model();

    struct BrokenGuard {
        ZoneId zone;
        const void* address;
    };
    std::optional<BrokenGuard> broken_guard() const;
    void repair_guards();

private:
    Platform& m_platform;
    Arena m_arenas[kZoneCount];
};

} // namespace llmk
