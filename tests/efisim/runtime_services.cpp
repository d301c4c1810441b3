// SPDX-License-Identifier: MIT
//
// EFI_RUNTIME_SERVICES, UEFI specification 8, and the configuration tables: ACPI's, for its timer.
#include "machine.h"

#include <cstring>
#include <ctime>

namespace llmk::efisim {
namespace {

constexpr EFI_GUID kAcpi20 = ACPI_20_TABLE_GUID;

EFI_STATUS EFIAPI get_time(EFI_TIME* time, EFI_TIME_CAPABILITIES*)
{
    const time_t now = ::time(nullptr);
    tm parts = {};
    gmtime_r(&now, &parts);
    *time = {};
    time->Year = static_cast<UINT16>(parts.tm_year + 1900);
    time->Month = static_cast<UINT8>(parts.tm_mon + 1);
    time->Day = static_cast<UINT8>(parts.tm_mday);
    time->Hour = static_cast<UINT8>(parts.tm_hour);
    time->Minute = static_cast<UINT8>(parts.tm_min);
    time->Second = static_cast<UINT8>(parts.tm_sec);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI reset_system(EFI_RESET_TYPE type, EFI_STATUS, UINTN, CHAR16*)
{
    if (const unsigned out = machine().processors.working(); out != 0) {
        note("%u processors were still at work when the program switched off", out);
    }
    leave(type == EfiResetShutdown ? kExitDone : kExitReboot);
}

// ACPI specification 5.2: only what leads to the timer.
struct [[gnu::packed]] TableHeader {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
};

struct [[gnu::packed]] Fadt {
    TableHeader header;
    uint8_t before_timer[76 - sizeof(TableHeader)];
    uint32_t timer_port;
    uint8_t between[91 - 80];
    uint8_t timer_length;
    uint8_t before_flags[112 - 92];
    uint32_t flags;
    uint8_t rest[276 - 116];
};
static_assert(sizeof(Fadt) == 276);

struct [[gnu::packed]] Xsdt {
    TableHeader header;
    uint64_t entries[1];
};

struct [[gnu::packed]] Rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
};

struct Acpi {
    Fadt fadt;
    Xsdt xsdt;
    Rsdp rsdp;
    EFI_CONFIGURATION_TABLE table;
};

Acpi g_acpi;

} // namespace

void install_acpi(EFI_SYSTEM_TABLE& system)
{
    memcpy(g_acpi.fadt.header.signature, "FACP", 4);
    g_acpi.fadt.header.length = sizeof(Fadt);
    g_acpi.fadt.timer_port = kPmTimerPort;
    g_acpi.fadt.timer_length = 4;
    g_acpi.fadt.flags = 1 << 8; // the timer has 32 bits
    memcpy(g_acpi.xsdt.header.signature, "XSDT", 4);
    g_acpi.xsdt.header.length = sizeof(Xsdt);
    g_acpi.xsdt.entries[0] = reinterpret_cast<uintptr_t>(&g_acpi.fadt);
    memcpy(g_acpi.rsdp.signature, "RSD PTR ", 8);
    g_acpi.rsdp.revision = 2;
    g_acpi.rsdp.length = sizeof(Rsdp);
    g_acpi.rsdp.xsdt = reinterpret_cast<uintptr_t>(&g_acpi.xsdt);
    g_acpi.table = {kAcpi20, &g_acpi.rsdp};
    system.NumberOfTableEntries = 1;
    system.ConfigurationTable = &g_acpi.table;
}

void install_runtime_services(EFI_RUNTIME_SERVICES& services)
{
    constexpr size_t kFirst = sizeof(EFI_TABLE_HEADER);
    fill_with_refusals(reinterpret_cast<char*>(&services) + kFirst, sizeof(services) - kFirst, "EFI_RUNTIME_SERVICES");
    services.Hdr.Signature = EFI_RUNTIME_SERVICES_SIGNATURE;
    services.Hdr.HeaderSize = sizeof(services);
    services.GetTime = get_time;
    services.ResetSystem = reset_system;
}

} // namespace llmk::efisim
