// SPDX-License-Identifier: MIT
#include "platform/uefi/file_info.h"

namespace llmk::uefi {

EFI_STATUS FileInfoBuffer::read_from(EFI_FILE_HANDLE file)
{
    EFI_GUID guid = EFI_FILE_INFO_ID;
    UINTN size = sizeof(m_bytes);
    return file->GetInfo(file, &guid, &size, m_bytes);
}

EFI_STATUS FileInfoBuffer::read_next(EFI_FILE_HANDLE folder, bool& end)
{
    UINTN size = sizeof(m_bytes);
    const EFI_STATUS status = folder->Read(folder, &size, m_bytes);
    end = size == 0;
    return status;
}

bool is_gone(EFI_STATUS status) { return status == EFI_MEDIA_CHANGED || status == EFI_NO_MEDIA; }

Error file_error(EFI_STATUS status, std::string_view verb, std::string_view name)
{
    switch (status) {
    case EFI_NOT_FOUND:
        return fail(Status::not_found, "{}: there is no such file", name);
    case EFI_VOLUME_FULL:
        return fail(Status::io_error, "{}: cannot {}: the volume is full; delete something on it and try again", name,
                    verb);
    case EFI_WRITE_PROTECTED:
        return fail(Status::read_only,
                    "{}: cannot {}: the volume is write-protected; look for a switch on the stick, or use another one",
                    name, verb);
    case EFI_ACCESS_DENIED:
        return fail(Status::read_only, "{}: cannot {}: the file is read-only, or open elsewhere", name, verb);
    case EFI_MEDIA_CHANGED:
    case EFI_NO_MEDIA:
        return fail(Status::io_error, "{}: cannot {}: the stick was taken out or changed; put it back and try again",
                    name, verb);
    case EFI_DEVICE_ERROR:
        return fail(Status::io_error, "{}: cannot {}: the device reports an error; try another port or stick", name,
                    verb);
    case EFI_VOLUME_CORRUPTED:
        return fail(Status::io_error, "{}: cannot {}: the file system is damaged; repair it (chkdsk, fsck.fat)", name,
                    verb);
    case EFI_OUT_OF_RESOURCES:
        return fail(Status::out_of_memory, "{}: cannot {}: the firmware has no memory left", name, verb);
    default:
        return fail(Status::io_error, "{}: cannot {}: firmware error {}", name, verb, status & ~EFI_ERROR_MASK);
    }
}

} // namespace llmk::uefi
