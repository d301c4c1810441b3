// SPDX-License-Identifier: MIT
//
// What the firmware says about a file, and its errors in words.
#pragma once

#include "base/status.h"
#include "platform/uefi/firmware.h"

namespace llmk::uefi {

/// EFI_FILE_INFO with room for a name; <efi.h> declares the name as an array of one.
class FileInfoBuffer {
public:
    /// Of an open file.
    EFI_STATUS read_from(EFI_FILE_HANDLE file);
    /// The next entry of an open folder; `end` when there was none.
    EFI_STATUS read_next(EFI_FILE_HANDLE folder, bool& end);

    const EFI_FILE_INFO& info() const { return *reinterpret_cast<const EFI_FILE_INFO*>(m_bytes); }
    bool is_directory() const { return (info().Attribute & EFI_FILE_DIRECTORY) != 0; }
    bool is_hidden() const { return (info().Attribute & (EFI_FILE_HIDDEN | EFI_FILE_SYSTEM)) != 0; }
    const char16_t* name() const
    {
        return reinterpret_cast<const char16_t*>(m_bytes + offsetof(EFI_FILE_INFO, FileName));
    }

private:
    alignas(EFI_FILE_INFO) uint8_t m_bytes[1024]; // FAT names have up to 255 characters
};

/// True when the medium or the device under the file is not there any more: trying again cannot help.
bool is_gone(EFI_STATUS status);

/// A sentence on why `verb` ("open", "read") failed on `name` and what to do.
Error file_error(EFI_STATUS status, std::string_view verb, std::string_view name);

} // namespace llmk::uefi
