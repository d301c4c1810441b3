// SPDX-License-Identifier: MIT
//
// What the platform asks about the machine's devices as the firmware lists them.
#pragma once

#include "platform/uefi/firmware.h"

namespace llmk::uefi {

// EDK2's marks on the devices that are part of ConIn and ConOut (MdeModulePkg/Include/Guid/ConsoleInDevice.h and
// ConsoleOutDevice.h). ConIn and ConOut themselves are splitters and do not say what is behind them.
constexpr EFI_GUID kConsoleInDevice = {0xd3b36f2b, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
constexpr EFI_GUID kConsoleOutDevice = {0xd3b36f2c, 0xd551, 0x11d4, {0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};

/// The first device with this mark that is a terminal on a serial line, or the console itself if it is one, or null.
/// A handle without a device path counts as none.
EFI_HANDLE find_serial_terminal(const Firmware& firmware, const EFI_GUID& mark, EFI_HANDLE console);

/// Lets the firmware start every driver on every device. Takes seconds on some machines. With fast boot, what the boot
/// itself did not need (keyboards, other disks) is left alone until someone asks.
void connect_all_devices(const Firmware& firmware);

} // namespace llmk::uefi
