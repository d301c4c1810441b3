// SPDX-License-Identifier: MIT
#include "memory_map.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace llmk::efisim {
namespace {

constexpr uint64_t kPage = EFI_PAGE_SIZE;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFourGiB = uint64_t{1} << 32;
constexpr uint64_t kLowTop = uint64_t{2} << 30; // as QEMU's q35 and many boards: above are device registers
constexpr uint64_t kFill = 1 * kMiB;            // allocations up to this are filled
constexpr uint64_t kLeast = 64 * kMiB;

void reserve(uint64_t begin, uint64_t end)
{
    void* const wanted = reinterpret_cast<void*>(begin);
    void* const got =
        mmap(wanted, end - begin, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != wanted) {
        stop(kExitUsage, "this system does not give %llu MiB at address 0x%llx (%s): try a smaller --memory",
             static_cast<unsigned long long>((end - begin) / kMiB), static_cast<unsigned long long>(begin),
             got == MAP_FAILED ? strerror(errno) : "it is taken");
    }
    madvise(got, end - begin, MADV_HUGEPAGE); // firmware maps memory with large pages
}

void allow(uint64_t begin, uint64_t end, int protection)
{
    if (mprotect(reinterpret_cast<void*>(begin), end - begin, protection) != 0) {
        stop(kExitUsage, "the system does not change the rights of memory: %s", strerror(errno));
    }
}

} // namespace

void Memory::add(uint64_t begin, uint64_t end, EFI_MEMORY_TYPE type) { m_pieces[begin] = {end, type}; }

void Memory::create(uint64_t bytes)
{
    bytes = std::max(bytes / kPage * kPage, kLeast);
    const uint64_t low = std::min(bytes, kLowTop);
    reserve(kMiB, low);
    // The places are those of OVMF: tables at 8 MiB, and below the top what drivers have left behind, piece by piece.
    add(0, kMiB, EfiReservedMemoryType);
    add(kMiB, 8 * kMiB, EfiConventionalMemory);
    add(8 * kMiB, 8 * kMiB + 8 * kPage, EfiACPIMemoryNVS);
    add(8 * kMiB + 8 * kPage, 9 * kMiB, EfiConventionalMemory);
    add(9 * kMiB, 14 * kMiB, EfiBootServicesData);
    uint64_t at = low - 8 * kMiB;
    add(14 * kMiB, at, EfiConventionalMemory);
    for (const uint64_t pages : {37u, 3u, 300u, 20u, 140u, 90u}) {
        add(at, at + pages * kPage, EfiBootServicesData);
        add(at + pages * kPage, at + 2 * pages * kPage, EfiConventionalMemory);
        at += 2 * pages * kPage;
    }
    add(at, low - kMiB, EfiBootServicesCode);
    add(low - kMiB, low, EfiRuntimeServicesData);
    if (bytes > low) {
        reserve(kFourGiB, kFourGiB + bytes - low);
        add(kFourGiB, kFourGiB + bytes - low, EfiConventionalMemory);
    }
}

/// Among those that hold `bytes` below `limit`, the highest below 4 GiB, else the highest.
Memory::Pieces::iterator Memory::find_free(uint64_t bytes, uint64_t limit)
{
    auto found = m_pieces.end();
    for (auto piece = m_pieces.begin(); piece != m_pieces.end(); ++piece) {
        const uint64_t end = std::min(piece->second.end, limit);
        const bool fits =
            piece->second.type == EfiConventionalMemory && end > piece->first && end - piece->first >= bytes;
        if (fits && (found == m_pieces.end() || piece->first < kFourGiB)) {
            found = piece;
        }
    }
    return found;
}

void Memory::take(Pieces::iterator piece, uint64_t begin, uint64_t end, EFI_MEMORY_TYPE type)
{
    const auto [first, rest] = *piece;
    m_pieces.erase(piece);
    if (first < begin) {
        add(first, begin, rest.type);
    }
    add(begin, end, type);
    if (end < rest.end) {
        add(end, rest.end, rest.type);
    }
}

EFI_STATUS Memory::allocate(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, uint64_t pages, EFI_PHYSICAL_ADDRESS& address)
{
    const uint64_t bytes = pages * kPage;
    if (pages == 0 || bytes / kPage != pages) {
        return EFI_INVALID_PARAMETER;
    }
    auto piece = m_pieces.end();
    uint64_t begin = address;
    if (how == AllocateAddress) {
        if (address % kPage != 0) {
            return EFI_NOT_FOUND;
        }
        piece = m_pieces.upper_bound(address);
        piece = piece == m_pieces.begin() ? m_pieces.end() : std::prev(piece);
        if (piece == m_pieces.end() || piece->second.type != EfiConventionalMemory || piece->second.end < address ||
            piece->second.end - address < bytes) {
            return EFI_NOT_FOUND;
        }
    } else {
        const uint64_t limit = how == AllocateMaxAddress ? (address + 1) / kPage * kPage : ~uint64_t{0};
        piece = find_free(bytes, limit);
        if (piece == m_pieces.end()) {
            return EFI_OUT_OF_RESOURCES;
        }
        begin = std::min(piece->second.end, limit) - bytes;
    }
    take(piece, begin, begin + bytes, type);
    allow(begin, begin + bytes, PROT_READ | PROT_WRITE);
    if (bytes <= kFill) {
        memset(reinterpret_cast<void*>(begin), 0xaf, bytes);
    }
    address = begin;
    return EFI_SUCCESS;
}

EFI_STATUS Memory::free(EFI_PHYSICAL_ADDRESS address, uint64_t pages)
{
    const uint64_t end = address + pages * kPage;
    auto piece = m_pieces.upper_bound(address);
    if (piece == m_pieces.begin() || pages == 0) {
        return EFI_NOT_FOUND;
    }
    piece = std::prev(piece);
    const EFI_MEMORY_TYPE type = piece->second.type;
    if (piece->second.end < end || (type != EfiLoaderData && type != EfiLoaderCode)) {
        return EFI_NOT_FOUND;
    }
    take(piece, address, end, EfiConventionalMemory);
    allow(address, end, PROT_NONE);
    for (piece = m_pieces.begin(); piece != m_pieces.end();) {
        const auto next = std::next(piece);
        const bool joins = next != m_pieces.end() && next->first == piece->second.end && next->first != kFourGiB &&
                           piece->second.type == EfiConventionalMemory && next->second.type == EfiConventionalMemory;
        if (joins) {
            piece->second.end = next->second.end;
            m_pieces.erase(next);
        } else {
            piece = next;
        }
    }
    return EFI_SUCCESS;
}

std::vector<EFI_MEMORY_DESCRIPTOR> Memory::map() const
{
    std::vector<EFI_MEMORY_DESCRIPTOR> descriptors;
    for (const auto& [begin, piece] : m_pieces) {
        EFI_MEMORY_DESCRIPTOR descriptor = {};
        descriptor.Type = piece.type;
        descriptor.PhysicalStart = begin;
        descriptor.NumberOfPages = (piece.end - begin) / kPage;
        descriptor.Attribute = EFI_MEMORY_WB;
        descriptors.push_back(descriptor);
    }
    return descriptors;
}

uint64_t Memory::pages_of(EFI_MEMORY_TYPE type) const
{
    uint64_t pages = 0;
    for (const auto& [begin, piece] : m_pieces) {
        pages += piece.type == type ? (piece.end - begin) / kPage : 0;
    }
    return pages;
}

} // namespace llmk::efisim
