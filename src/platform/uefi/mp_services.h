// SPDX-License-Identifier: MIT
//
// EFI_MP_SERVICES_PROTOCOL, which gnu-efi's headers lack. Platform Initialization Specification 1.8, volume 2, 13.4.
#pragma once

#include "platform/uefi/firmware.h"

namespace llmk::uefi {

constexpr EFI_GUID kMpServicesGuid = {0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};

using ApProcedure = void(EFIAPI*)(void* argument);

struct ProcessorInformation {
    static constexpr UINT32 kIsBsp = 1u << 0;
    static constexpr UINT32 kEnabled = 1u << 1;
    static constexpr UINT32 kHealthy = 1u << 2;

    UINT64 id;
    UINT32 flags;
    UINT32 package, core, thread;
    UINT64 extended[3]; ///< since 1.7, filled in on request only; room for it
};

struct MpServices {
    EFI_STATUS(EFIAPI* get_number_of_processors)(MpServices* self, UINTN* count, UINTN* enabled);
    EFI_STATUS(EFIAPI* get_processor_info)(MpServices* self, UINTN number, ProcessorInformation* information);
    /// Blocks without an event. `timeout` in microseconds, 0 for none.
    EFI_STATUS(EFIAPI* startup_all_aps)
    (MpServices* self, ApProcedure procedure, BOOLEAN one_by_one, EFI_EVENT event, UINTN timeout, void* argument,
     UINTN** failed);
    EFI_STATUS(EFIAPI* startup_this_ap)
    (MpServices* self, ApProcedure procedure, UINTN number, EFI_EVENT event, UINTN timeout, void* argument,
     BOOLEAN* finished);
    EFI_STATUS(EFIAPI* switch_bsp)(MpServices* self, UINTN number, BOOLEAN enable_old);
    EFI_STATUS(EFIAPI* enable_disable_ap)(MpServices* self, UINTN number, BOOLEAN enable, UINT32* health);
    EFI_STATUS(EFIAPI* who_am_i)(MpServices* self, UINTN* number);
};

} // namespace llmk::uefi
