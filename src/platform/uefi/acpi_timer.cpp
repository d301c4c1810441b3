// SPDX-License-Identifier: MIT
#include "platform/uefi/acpi_timer.h"

#include <cstring>

namespace llmk::uefi {
namespace {

constexpr EFI_GUID kAcpi20 = ACPI_20_TABLE_GUID;
constexpr EFI_GUID kAcpi10 = ACPI_TABLE_GUID;

// Offsets and sizes, ACPI specification 5.2.5 to 5.2.9.
constexpr size_t kRsdpRevision = 15;
constexpr size_t kRsdpRsdt = 16;
constexpr size_t kRsdpXsdt = 24;
constexpr size_t kTableLength = 4;
constexpr size_t kTableHeaderBytes = 36;
constexpr size_t kFadtTimerPort = 76;
constexpr size_t kFadtTimerLength = 91;
constexpr size_t kFadtFlags = 112;
constexpr uint32_t kFlagTimerIs32Bits = 1 << 8;
constexpr uint32_t kMostBytes = 1 << 20; // a longer table is a broken one

/// Tables are packed: their fields need not be aligned.
template <class T> T field(const uint8_t* table, size_t offset)
{
    T value;
    memcpy(&value, table + offset, sizeof(T));
    return value;
}

const uint8_t* find_rsdp(const Firmware& firmware)
{
    const EFI_SYSTEM_TABLE& system = *firmware.system;
    const uint8_t* found = nullptr;
    for (UINTN i = 0; i < system.NumberOfTableEntries; ++i) {
        const EFI_CONFIGURATION_TABLE& entry = system.ConfigurationTable[i];
        if (memcmp(&entry.VendorGuid, &kAcpi20, sizeof(EFI_GUID)) == 0) {
            return static_cast<const uint8_t*>(entry.VendorTable);
        }
        if (memcmp(&entry.VendorGuid, &kAcpi10, sizeof(EFI_GUID)) == 0) {
            found = static_cast<const uint8_t*>(entry.VendorTable);
        }
    }
    return found;
}

const uint8_t* find_fadt(const uint8_t* rsdp)
{
    const bool wide = rsdp[kRsdpRevision] >= 2 && field<uint64_t>(rsdp, kRsdpXsdt) != 0;
    const uint64_t root_address = wide ? field<uint64_t>(rsdp, kRsdpXsdt) : field<uint32_t>(rsdp, kRsdpRsdt);
    const auto* root = reinterpret_cast<const uint8_t*>(root_address);
    if (root == nullptr) {
        return nullptr;
    }
    const uint32_t length = field<uint32_t>(root, kTableLength);
    const size_t entry_bytes = wide ? sizeof(uint64_t) : sizeof(uint32_t);
    for (size_t at = kTableHeaderBytes; length <= kMostBytes && at + entry_bytes <= length; at += entry_bytes) {
        const uint64_t address = wide ? field<uint64_t>(root, at) : field<uint32_t>(root, at);
        const auto* table = reinterpret_cast<const uint8_t*>(address);
        if (table != nullptr && memcmp(table, "FACP", 4) == 0) {
            return table;
        }
    }
    return nullptr;
}

} // namespace

AcpiTimer AcpiTimer::find(const Firmware& firmware)
{
    AcpiTimer timer;
    const uint8_t* rsdp = find_rsdp(firmware);
    const uint8_t* fadt = rsdp == nullptr ? nullptr : find_fadt(rsdp);
    if (fadt != nullptr && field<uint32_t>(fadt, kTableLength) >= kFadtFlags + sizeof(uint32_t) &&
        fadt[kFadtTimerLength] == sizeof(uint32_t)) {
        timer.m_port = field<uint16_t>(fadt, kFadtTimerPort); // I/O ports have 16 bits; the field has 32
        timer.m_mask = (field<uint32_t>(fadt, kFadtFlags) & kFlagTimerIs32Bits) != 0 ? 0xffffffff : 0xffffff;
    }
    return timer;
}

uint32_t AcpiTimer::read() const
{
    uint32_t value = 0;
    if (m_port != 0) {
        __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(m_port));
    }
    return value;
}

} // namespace llmk::uefi
