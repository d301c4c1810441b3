// SPDX-License-Identifier: MIT
#include "platform/uefi/memory.h"

#include "base/checked.h"

#include <algorithm>

namespace llmk::uefi {
namespace {

constexpr uint64_t kLargePage = 2 << 20; // what the firmware maps memory with
constexpr uint64_t kFourGiB = uint64_t{1} << 32;
// Firmware starts processors from code below 1 MiB, and there is little of it.
constexpr uint64_t kLowest = 1 << 20;
// What firmware needs while we run: file system caches, USB transfers, event records. All below 4 GiB.
constexpr uint64_t kReserve = 16 << 20;
// Smaller pieces are left to the firmware, and count as part of its reserve.
constexpr uint64_t kSmallestExtent = 1 << 20;

struct Extent {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t size() const { return end - begin; }
};

constexpr uint64_t alignment_for(uint64_t bytes) { return bytes >= kLargePage ? kLargePage : EFI_PAGE_SIZE; }

/// A copy of the firmware's map, of which only free memory matters here. One descriptor is one extent: neighbours that
/// could be merged the firmware has merged, and an allocation must fit one descriptor.
class FreeMemory {
public:
    explicit FreeMemory(const Firmware& firmware) : m_buffer(firmware)
    {
        // The buffer for the map changes the map, by a descriptor or two.
        constexpr UINTN kSlack = 8;
        UINTN key = 0;
        UINT32 version = 0;
        EFI_STATUS status = firmware.boot->GetMemoryMap(&m_size, nullptr, &key, &m_stride, &version);
        for (int tries = 0; status == EFI_BUFFER_TOO_SMALL && tries < 4; ++tries) {
            m_size += kSlack * m_stride;
            if (!m_buffer.allocate(m_size)) {
                break;
            }
            status = firmware.boot->GetMemoryMap(&m_size, static_cast<EFI_MEMORY_DESCRIPTOR*>(m_buffer.data()), &key,
                                                 &m_stride, &version);
        }
        if (EFI_ERROR(status) || m_stride < sizeof(EFI_MEMORY_DESCRIPTOR)) {
            m_size = 0;
        }
    }

    /// Calls `visit` with each free extent above the first megabyte.
    template <class Visit> void each(Visit visit) const
    {
        const auto* bytes = static_cast<const uint8_t*>(m_buffer.data());
        for (size_t at = 0; m_stride != 0 && at + m_stride <= m_size; at += m_stride) {
            const auto& descriptor = *reinterpret_cast<const EFI_MEMORY_DESCRIPTOR*>(bytes + at);
            const uint64_t end = descriptor.PhysicalStart + descriptor.NumberOfPages * EFI_PAGE_SIZE;
            if (descriptor.Type == EfiConventionalMemory && end > kLowest) {
                visit(Extent{std::max(descriptor.PhysicalStart, kLowest), end});
            }
        }
    }

private:
    PoolBuffer m_buffer;
    UINTN m_size = 0;
    UINTN m_stride = 0;
};

/// Where `bytes` fit best: above 4 GiB if they can, in the smallest extent that holds them. 0: nowhere.
uint64_t best_place(const Firmware& firmware, uint64_t bytes)
{
    uint64_t place = 0;
    Extent chosen;
    FreeMemory(firmware).each([&](Extent extent) {
        const uint64_t begin = align_up(extent.begin, alignment_for(bytes));
        if (begin >= extent.end || extent.end - begin < bytes) {
            return;
        }
        const bool high = begin >= kFourGiB;
        const bool chosen_high = chosen.begin >= kFourGiB;
        if (place == 0 || (high && !chosen_high) || (high == chosen_high && extent.size() < chosen.size())) {
            place = begin;
            chosen = extent;
        }
    });
    return place;
}

/// The firmware's own choice of place, made longer so that an aligned part can be kept.
Result<void*> allocate_anywhere(const Firmware& firmware, uint64_t bytes)
{
    const uint64_t alignment = alignment_for(bytes);
    const uint64_t with_slack = bytes + alignment - EFI_PAGE_SIZE;
    EFI_PHYSICAL_ADDRESS address = 0;
    if (EFI_ERROR(
            firmware.boot->AllocatePages(AllocateAnyPages, EfiLoaderData, with_slack / EFI_PAGE_SIZE, &address))) {
        return fail(Status::out_of_memory, "no piece of memory of {} is free", human_bytes(bytes));
    }
    const uint64_t begin = align_up(address, alignment);
    if (begin > address) {
        firmware.boot->FreePages(address, (begin - address) / EFI_PAGE_SIZE);
    }
    if (address + with_slack > begin + bytes) {
        firmware.boot->FreePages(begin + bytes, (address + with_slack - begin - bytes) / EFI_PAGE_SIZE);
    }
    return reinterpret_cast<void*>(begin);
}

} // namespace

Result<void*> allocate_pages(const Firmware& firmware, uint64_t bytes)
{
    constexpr uint64_t kMost = uint64_t{1} << 52; // of physical addresses on x86-64: keeps the sums below from wrapping
    if (bytes == 0 || bytes > kMost) {
        return fail(Status::invalid_argument, "an allocation of {} bytes", bytes);
    }
    bytes = align_up(bytes, EFI_PAGE_SIZE);
    if (bytes >= kLargePage) {
        EFI_PHYSICAL_ADDRESS address = best_place(firmware, bytes);
        if (address != 0 &&
            !EFI_ERROR(firmware.boot->AllocatePages(AllocateAddress, EfiLoaderData, bytes / EFI_PAGE_SIZE, &address))) {
            return reinterpret_cast<void*>(address);
        }
    }
    return allocate_anywhere(firmware, bytes);
}

void free_pages(const Firmware& firmware, void* pages, uint64_t bytes)
{
    const EFI_STATUS status = firmware.boot->FreePages(reinterpret_cast<EFI_PHYSICAL_ADDRESS>(pages),
                                                       align_up(bytes, EFI_PAGE_SIZE) / EFI_PAGE_SIZE);
    LLMK_ASSERT(!EFI_ERROR(status));
}

size_t free_extents(const Firmware& firmware, std::span<uint64_t> sizes_bytes)
{
    constexpr size_t kMostExtents = 64;
    uint64_t high[kMostExtents];
    uint64_t low[kMostExtents];
    size_t high_count = 0;
    size_t low_count = 0;
    uint64_t reserved = 0;
    FreeMemory(firmware).each([&](Extent extent) {
        const bool is_high = extent.begin >= kFourGiB;
        // Of a large extent only what lies behind its first 2 MiB boundary can be had in one piece.
        const uint64_t aligned = align_up(extent.begin, kLargePage);
        const bool large = extent.end > aligned && extent.end - aligned >= kLargePage;
        const uint64_t size = large ? extent.end - aligned : std::min(extent.size(), kLargePage - EFI_PAGE_SIZE);
        if (size < kSmallestExtent || (is_high ? high_count : low_count) == kMostExtents) {
            reserved += is_high ? 0 : extent.size();
        } else if (is_high) {
            high[high_count++] = size;
        } else {
            low[low_count++] = size;
        }
    });
    // The reserve comes off the smallest low extents first, so that the large ones stay whole.
    std::sort(low, low + low_count);
    size_t first_low = 0;
    for (; first_low < low_count && reserved < kReserve; ++first_low) {
        const uint64_t taken = std::min(low[first_low], kReserve - reserved);
        reserved += taken;
        low[first_low] -= taken;
        if (low[first_low] >= kSmallestExtent) {
            break;
        }
    }
    uint64_t all[2 * kMostExtents];
    uint64_t* end = std::copy(low + first_low, low + low_count, all);
    end = std::copy(high, high + high_count, end);
    std::sort(all, end, [](uint64_t a, uint64_t b) { return a > b; });
    const size_t count = std::min<size_t>(static_cast<size_t>(end - all), sizes_bytes.size());
    std::copy_n(all, count, sizes_bytes.begin());
    return count;
}

} // namespace llmk::uefi
