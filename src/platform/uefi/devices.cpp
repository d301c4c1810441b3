// SPDX-License-Identifier: MIT
#include "platform/uefi/devices.h"

namespace llmk::uefi {
namespace {

constexpr EFI_GUID kDevicePath = EFI_DEVICE_PATH_PROTOCOL_GUID;
constexpr size_t kMostNodes = 64; // more than any real path: a broken one must not hold us

/// By its device path, UEFI specification 10.
bool is_serial_terminal(const Firmware& firmware, EFI_HANDLE handle)
{
    const auto* node = protocol_on<EFI_DEVICE_PATH_PROTOCOL>(firmware, handle, kDevicePath);
    for (size_t i = 0; node != nullptr && i < kMostNodes && !IsDevicePathEndType(node); ++i) {
        if (DevicePathType(node) == MESSAGING_DEVICE_PATH && DevicePathSubType(node) == MSG_UART_DP) {
            return true;
        }
        const size_t length = DevicePathNodeLength(node);
        if (length < sizeof(EFI_DEVICE_PATH_PROTOCOL)) {
            return false;
        }
        node = reinterpret_cast<const EFI_DEVICE_PATH_PROTOCOL*>(reinterpret_cast<const uint8_t*>(node) + length);
    }
    return false;
}

} // namespace

EFI_HANDLE find_serial_terminal(const Firmware& firmware, const EFI_GUID& mark, EFI_HANDLE console)
{
    const HandleList devices(firmware, mark);
    for (EFI_HANDLE handle : devices.handles()) {
        if (is_serial_terminal(firmware, handle)) {
            return handle;
        }
    }
    return is_serial_terminal(firmware, console) ? console : nullptr;
}

void connect_all_devices(const Firmware& firmware)
{
    const HandleList all(firmware);
    for (EFI_HANDLE handle : all.handles()) {
        firmware.boot->ConnectController(handle, nullptr, nullptr, TRUE);
    }
}

} // namespace llmk::uefi
