// SPDX-License-Identifier: MIT
//
// From crt0.S to the application and back.
#include "boot/app.h"
#include "cpu/features.h"
#include "platform/uefi/runtime.h"
#include "platform/uefi/stack.h"
#include "platform/uefi/uefi_platform.h"

#include <new>

namespace {

// Not on the stack: it holds the tables of open files. Bytes, because a global object's constructor would not be run.
alignas(llmk::uefi::UefiPlatform) constinit unsigned char g_platform_storage[sizeof(llmk::uefi::UefiPlatform)] = {};

} // namespace

/// Called by crt0.S, on our own stack, in the firmware's calling convention: it keeps what the firmware wants kept.
extern "C" EFI_STATUS EFIAPI llmk_efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE* system);

extern "C" EFI_STATUS EFIAPI llmk_efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE* system)
{
    using namespace llmk::uefi;

    // First of all: the boot manager's watchdog would reset the machine after five minutes.
    system->BootServices->SetWatchdogTimer(0, 0, 0, nullptr);
    arm_stack_canary();
    const Firmware firmware = {image, system, system->BootServices, system->RuntimeServices};
    runtime_start(firmware);
    llmk::enable_avx();

    auto* platform = new (g_platform_storage) UefiPlatform(firmware);
    llmk::run_app(*platform);
    platform->close();
    LLMK_ASSERT(stack_canary_intact());
    return EFI_SUCCESS;
}
