// SPDX-License-Identifier: MIT
#include "platform/uefi/volumes.h"

#include "platform/uefi/devices.h"
#include "platform/uefi/file_info.h"
#include "platform/uefi/unicode.h"

#include <algorithm>

namespace llmk::uefi {
namespace {

constexpr EFI_GUID kLoadedImage = EFI_LOADED_IMAGE_PROTOCOL_GUID;
constexpr EFI_GUID kSimpleFileSystem = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

constexpr UINT64 kReadWrite = EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE;
constexpr const char16_t* kMarkerFile = u"\\llmk.cfg";

} // namespace

Volumes::Volumes(const Firmware& firmware) : m_firmware(firmware) { find_volumes(); }

void Volumes::find_volumes()
{
    auto* image = protocol_on<EFI_LOADED_IMAGE>(m_firmware, m_firmware.image, kLoadedImage);
    if (image != nullptr) {
        add(image->DeviceHandle);
    }
    // Without one (started from a network or by a loader that keeps us in memory) number 0 is the first found.
    m_boot_volume_known = m_count != 0;
    for (const bool connected : {false, true}) {
        const HandleList all(m_firmware, kSimpleFileSystem);
        for (EFI_HANDLE handle : all.handles()) {
            add(handle);
        }
        if (m_count != 0 || connected) {
            break;
        }
        connect_all_devices(m_firmware);
    }
}

void Volumes::add(EFI_HANDLE handle)
{
    const bool known = std::find(m_handles, m_handles + m_count, handle) != m_handles + m_count;
    if (!known && m_count < std::size(m_handles) &&
        protocol_on<EFI_FILE_IO_INTERFACE>(m_firmware, handle, kSimpleFileSystem) != nullptr) {
        m_handles[m_count++] = handle;
    }
}

Result<void> Volumes::use(size_t index)
{
    if (index >= m_count) {
        return fail(Status::not_found, "there is no volume {}: {} found", index, m_count);
    }
    EFI_FILE_HANDLE root = nullptr;
    const EFI_STATUS status = open_root(index, root);
    if (EFI_ERROR(status)) {
        return file_error(status, "open", Text<32>("volume {}", index).view());
    }
    root->Close(root);
    m_current = index;
    return success();
}

EFI_STATUS Volumes::open_root(size_t volume, EFI_FILE_HANDLE& root) const
{
    if (volume >= m_count) {
        return EFI_NOT_FOUND;
    }
    auto* system = protocol_on<EFI_FILE_IO_INTERFACE>(m_firmware, m_handles[volume], kSimpleFileSystem);
    return system == nullptr ? EFI_NO_MEDIA : system->OpenVolume(system, &root);
}

Result<void> Volumes::convert_path(std::string_view path, std::span<char16_t> out) const
{
    if (!utf8_to_utf16(path, out)) {
        return fail(Status::invalid_argument, "{:.60}: the path is too long, or not UTF-8", path);
    }
    for (size_t i = 0; out[i] != 0; ++i) {
        out[i] = out[i] == u'/' ? u'\\' : out[i];
    }
    return success();
}

EFI_STATUS Volumes::open_path(size_t volume, const char16_t* path, UINT64 mode, EFI_FILE_HANDLE& file) const
{
    // The root is opened anew each time: a root from before a change of medium would answer MEDIA_CHANGED for ever.
    EFI_FILE_HANDLE root = nullptr;
    EFI_STATUS status = open_root(volume, root);
    if (EFI_ERROR(status)) {
        return status;
    }
    while (*path == u'\\') {
        ++path;
    }
    if (*path == 0) {
        file = root;
        return EFI_SUCCESS;
    }
    status = root->Open(root, &file, firmware_text(path), mode, 0);
    root->Close(root);
    return status;
}

bool Volumes::may_write(size_t volume) const
{
    if (volume == 0 && m_boot_volume_known) {
        return true;
    }
    EFI_FILE_HANDLE marker = nullptr;
    if (EFI_ERROR(open_path(volume, kMarkerFile, EFI_FILE_MODE_READ, marker))) {
        return false;
    }
    marker->Close(marker);
    return true;
}

PlatformFile* Volumes::free_slot()
{
    for (PlatformFile& file : m_files) {
        if (!file.in_use) {
            return &file;
        }
    }
    return nullptr;
}

Result<PlatformFile*> Volumes::open(std::string_view path, OpenMode mode)
{
    PlatformFile* file = free_slot();
    if (file == nullptr) {
        return fail(Status::out_of_memory, "{}: {} files are open already", path, std::size(m_files));
    }
    TRY(convert_path(path, file->path));
    file->name = path;
    file->volume = m_current;
    file->mode = mode;
    file->position = 0;
    EFI_FILE_HANDLE handle = nullptr;
    if (mode != OpenMode::read) {
        handle = TRY(open_for_writing(*file));
    } else if (EFI_STATUS status = open_path(m_current, file->path, EFI_FILE_MODE_READ, handle); EFI_ERROR(status)) {
        return file_error(status, "open", path);
    }
    FileInfoBuffer buffer;
    const EFI_STATUS status = buffer.read_from(handle);
    if (EFI_ERROR(status) || buffer.is_directory()) {
        handle->Close(handle);
        return EFI_ERROR(status) ? file_error(status, "open", path)
                                 : fail(Status::invalid_argument, "{}: is a folder, not a file", path);
    }
    file->size_bytes = buffer.info().FileSize;
    file->handle = handle;
    file->in_use = true;
    return file;
}

Result<EFI_FILE_HANDLE> Volumes::open_for_writing(const PlatformFile& file) const
{
    if (!may_write(file.volume)) {
        return fail(Status::read_only,
                    "{}: this volume is not the one started from, so nothing is written to it; to allow it, put a file "
                    "llmk.cfg there",
                    file.name);
    }
    EFI_FILE_HANDLE handle = nullptr;
    if (file.mode == OpenMode::replace && !EFI_ERROR(open_path(file.volume, file.path, kReadWrite, handle))) {
        // A new file in the old one's place: the firmware's way to shorten one (SetInfo) is the less travelled.
        FileInfoBuffer buffer;
        if (EFI_ERROR(buffer.read_from(handle)) || buffer.is_directory()) {
            handle->Close(handle);
            return fail(Status::invalid_argument, "{}: is a folder, not a file", file.name);
        }
        // Closes the handle whether it works or not, and says that it did not by a warning.
        if (handle->Delete(handle) != EFI_SUCCESS) {
            return file_error(EFI_ACCESS_DENIED, "replace", file.name.view());
        }
    }
    const EFI_STATUS status = open_path(file.volume, file.path, kReadWrite | EFI_FILE_MODE_CREATE, handle);
    if (EFI_ERROR(status)) {
        return file_error(status, "write", file.name.view());
    }
    return handle;
}

Result<void> Volumes::remove(std::string_view path)
{
    char16_t converted[kMaxPath];
    TRY(convert_path(path, converted));
    if (!may_write(m_current)) {
        return fail(Status::read_only, "{}: this volume is not the one started from", path);
    }
    EFI_FILE_HANDLE handle = nullptr;
    if (EFI_STATUS status = open_path(m_current, converted, kReadWrite, handle); EFI_ERROR(status)) {
        return file_error(status, "delete", path);
    }
    // Closes the handle whether it works or not, and says that it did not by a warning.
    if (handle->Delete(handle) != EFI_SUCCESS) {
        return file_error(EFI_ACCESS_DENIED, "delete", path);
    }
    return success();
}

} // namespace llmk::uefi
