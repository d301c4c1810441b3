// SPDX-License-Identifier: MIT
#include "mem/zones.h"

namespace llmk {

namespace {

constexpr uint8_t kGuardPattern[16] = {0xDB, 0x1B, 0x5A, 0xA5, 0x6C, 0xC6, 0x3F, 0xF3,
                                       0x96, 0x69, 0x17, 0x71, 0xE8, 0x8E, 0x2D, 0xD2};

void write_guard(uint8_t* guard)
{
    for (size_t i = 0; i < Arena::kGuardBytes; ++i) {
        guard[i] = kGuardPattern[i % sizeof kGuardPattern];
    }
}

const uint8_t* first_difference(const uint8_t* guard)
{
    for (size_t i = 0; i < Arena::kGuardBytes; ++i) {
        if (guard[i] != kGuardPattern[i % sizeof kGuardPattern]) {
            return guard + i;
        }
    }
    return nullptr;
}

} // namespace

Result<void> Arena::add_extent(Platform& platform, uint64_t usable_bytes)
{
    if (m_extent_count == kMaxExtents) {
        return fail(Status::out_of_memory, "{}: more than {} pieces of memory", zone_name(m_id), kMaxExtents);
    }
    if (!(CheckedSize(usable_bytes) + kFrontBytes + kGuardBytes + 4096).valid()) {
        return fail(Status::out_of_memory, "{}: {} bytes are larger than the address space", zone_name(m_id),
                    usable_bytes);
    }
    const uint64_t bytes = extent_bytes(usable_bytes);
    auto pages = platform.pages_alloc(bytes);
    if (!pages.ok()) {
        return fail(pages.error().status, "{}: {} ({} bytes wanted)", zone_name(m_id), pages.error().message, bytes);
    }
    auto* base = static_cast<uint8_t*>(pages.take());
    write_guard(base + kFrontBytes - kGuardBytes);
    write_guard(base + bytes - kGuardBytes);
    m_extents[m_extent_count++] = {base, bytes, kFrontBytes};
    return success();
}

Result<void*> Arena::alloc(uint64_t bytes)
{
    if (m_fail_next) {
        m_fail_next = false;
        return fail(Status::out_of_memory, "{}: allocation of {} bytes failed (injected)", zone_name(m_id), bytes);
    }
    if (m_frozen) {
        return fail(Status::out_of_memory, "{}: read-only, {} bytes were asked of it", zone_name(m_id), bytes);
    }
    for (size_t i = m_current; i < m_extent_count; ++i) {
        Extent& extent = m_extents[i];
        const uint64_t start = align_up(extent.used_bytes, kAlignment);
        if (start <= extent.usable_end() && bytes <= extent.usable_end() - start) {
            extent.used_bytes = start + bytes;
            m_current = i;
            const uint64_t used = used_bytes();
            m_high_water = used > m_high_water ? used : m_high_water;
            return static_cast<void*>(extent.base + start);
        }
    }
    return fail(Status::out_of_memory, "{}: {} bytes do not fit ({} of {} in use)", zone_name(m_id), bytes,
                used_bytes(), size_bytes());
}

Arena::Mark Arena::mark() const
{
    return m_extent_count == 0 ? Mark{} : Mark{m_current, m_extents[m_current].used_bytes};
}

void Arena::rewind(const Mark& mark)
{
    for (size_t i = mark.extent; i < m_extent_count; ++i) {
        m_extents[i].used_bytes = kFrontBytes;
    }
    if (mark.extent < m_extent_count && mark.used_bytes > kFrontBytes) {
        m_extents[mark.extent].used_bytes = mark.used_bytes;
    }
    m_current = mark.extent;
}

void Arena::release(Platform& platform)
{
    for (size_t i = 0; i < m_extent_count; ++i) {
        platform.pages_free(m_extents[i].base, m_extents[i].size_bytes);
        m_extents[i] = {};
    }
    m_extent_count = 0;
    m_current = 0;
    m_high_water = 0;
    m_frozen = false;
    m_fail_next = false;
}

const void* Arena::broken_guard() const
{
    for (size_t i = 0; i < m_extent_count; ++i) {
        const Extent& extent = m_extents[i];
        if (const auto* front = first_difference(extent.base + kFrontBytes - kGuardBytes)) {
            return front;
        }
        if (const auto* back = first_difference(extent.base + extent.usable_end())) {
            return back;
        }
    }
    return nullptr;
}

void Arena::repair_guards()
{
    for (size_t i = 0; i < m_extent_count; ++i) {
        write_guard(m_extents[i].base + kFrontBytes - kGuardBytes);
        write_guard(m_extents[i].base + m_extents[i].usable_end());
    }
}

uint64_t Arena::size_bytes() const
{
    uint64_t sum = 0;
    for (const Extent& extent : extents()) {
        sum += extent.size_bytes;
    }
    return sum;
}

uint64_t Arena::used_bytes() const
{
    uint64_t sum = 0;
    for (const Extent& extent : extents()) {
        sum += extent.used_bytes - kFrontBytes;
    }
    return sum;
}

Zones::Zones(Platform& platform) : m_platform(platform)
{
    for (size_t i = 0; i < kZoneCount; ++i) {
        m_arenas[i].set_id(static_cast<ZoneId>(i));
    }
}

Zones::~Zones()
{
    for (Arena& arena : m_arenas) {
        arena.release(m_platform);
    }
}

void Zones::release_model()
{
    for (Arena& arena : m_arenas) {
        if (arena.id() != ZoneId::zonec) {
            arena.release(m_platform);
        }
    }
}

void Zones::repair_guards()
{
    for (Arena& arena : m_arenas) {
        arena.repair_guards();
    }
}

std::optional<Zones::BrokenGuard> Zones::broken_guard() const
{
    for (const Arena& arena : m_arenas) {
        if (const void* address = arena.broken_guard()) {
            return BrokenGuard{arena.id(), address};
        }
    }
    return std::nullopt;
}

} // namespace llmk
