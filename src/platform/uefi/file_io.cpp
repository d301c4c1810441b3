// SPDX-License-Identifier: MIT
//
// Reading, writing and listing; volumes.cpp finds and opens.
#include "platform/uefi/file_info.h"
#include "platform/uefi/unicode.h"
#include "platform/uefi/volumes.h"

#include <algorithm>
#include <cstring>

namespace llmk::uefi {
namespace {

constexpr size_t kStagingBytes = ReadSizes::kLargest;
constexpr uint64_t kUnknownPosition = ~uint64_t{0};
constexpr uint64_t kFourGiB = uint64_t{1} << 32;
// From this size on an unaligned buffer costs more than a copy: drivers then go block by block.
constexpr size_t kWorthAligning = 64 << 10;

} // namespace

Result<size_t> Volumes::read_at(PlatformFile& file, uint64_t offset, void* buffer, size_t bytes)
{
    // Firmware answers a read past the end with DEVICE_ERROR.
    if (offset >= file.size_bytes) {
        return size_t{0};
    }
    const size_t wanted = std::min<uint64_t>(bytes, file.size_bytes - offset);
    auto* out = static_cast<uint8_t*>(buffer);
    EFI_STATUS status = EFI_SUCCESS;
    const auto done = read_in_pieces(
        m_read_sizes, wanted,
        [&](size_t at, size_t piece, size_t& got) {
            status = read_chunk(file, offset + at, out + at, piece, got);
            return !EFI_ERROR(status);
        },
        [&] { return !is_gone(status) && reopen(file); });
    if (!done) {
        return file_error(status, "read", file.name.view());
    }
    return *done;
}

EFI_STATUS Volumes::read_chunk(PlatformFile& file, uint64_t offset, uint8_t* buffer, size_t bytes, size_t& got)
{
    if (EFI_STATUS status = seek(file, offset); EFI_ERROR(status)) {
        return status;
    }
    uint8_t* staging = staging_for(buffer, bytes);
    UINTN size = bytes;
    const EFI_STATUS status = file.handle->Read(file.handle, &size, staging != nullptr ? staging : buffer);
    if (EFI_ERROR(status)) {
        return status;
    }
    if (staging != nullptr) {
        memcpy(buffer, staging, size);
    }
    file.position += size;
    got = size;
    return EFI_SUCCESS;
}

EFI_STATUS Volumes::seek(PlatformFile& file, uint64_t position)
{
    if (file.handle == nullptr && !reopen(file)) {
        return EFI_NO_MEDIA;
    }
    if (file.position == position) {
        return EFI_SUCCESS;
    }
    const EFI_STATUS status = file.handle->SetPosition(file.handle, position);
    if (!EFI_ERROR(status)) {
        file.position = position;
    }
    return status;
}

bool Volumes::reopen(PlatformFile& file)
{
    if (file.handle != nullptr) {
        file.handle->Close(file.handle);
        file.handle = nullptr;
    }
    file.position = 0;
    const UINT64 mode = EFI_FILE_MODE_READ | (file.mode == OpenMode::read ? 0 : EFI_FILE_MODE_WRITE);
    return !EFI_ERROR(open_path(file.volume, file.path, mode, file.handle));
}

uint8_t* Volumes::staging_for(const void* buffer, size_t bytes)
{
    const auto address = reinterpret_cast<uintptr_t>(buffer);
    const bool out_of_reach =
        m_bounce && address + bytes > kFourGiB; // some firmware's drivers cannot transfer to there
    const bool slow = bytes >= kWorthAligning && address % EFI_PAGE_SIZE != 0;
    if (!out_of_reach && !slow) {
        return nullptr;
    }
    if (m_staging == nullptr) {
        EFI_PHYSICAL_ADDRESS pages = kFourGiB - 1;
        if (EFI_ERROR(m_firmware.boot->AllocatePages(AllocateMaxAddress, EfiLoaderData, kStagingBytes / EFI_PAGE_SIZE,
                                                     &pages))) {
            return nullptr; // directly then: most firmware can
        }
        m_staging = reinterpret_cast<uint8_t*>(pages);
    }
    return m_staging;
}

Result<void> Volumes::write(PlatformFile& file, const void* data, size_t bytes)
{
    if (file.mode == OpenMode::read) {
        return fail(Status::invalid_argument, "{}: is open for reading only", file.name);
    }
    if (EFI_STATUS status = seek(file, file.size_bytes); EFI_ERROR(status)) {
        return file_error(status, "write", file.name.view());
    }
    const auto* in = static_cast<const uint8_t*>(data);
    while (bytes > 0) {
        const size_t chunk = std::min(bytes, kStagingBytes);
        uint8_t* staging = staging_for(in, chunk);
        if (staging != nullptr) {
            memcpy(staging, in, chunk);
        }
        UINTN size = chunk;
        // Write does not change the data; the header's type does not say so.
        void* from = staging != nullptr ? staging : const_cast<uint8_t*>(in);
        const EFI_STATUS status = file.handle->Write(file.handle, &size, from);
        if (EFI_ERROR(status)) {
            // Part of it may have been written: the file knows.
            FileInfoBuffer info;
            if (!EFI_ERROR(info.read_from(file.handle))) {
                file.size_bytes = info.info().FileSize;
            }
            file.position = kUnknownPosition;
            return file_error(status, "write", file.name.view());
        }
        file.size_bytes += chunk;
        file.position += chunk;
        in += chunk;
        bytes -= chunk;
    }
    return success();
}

Result<void> Volumes::flush(PlatformFile& file)
{
    if (file.mode == OpenMode::read) {
        return success();
    }
    const EFI_STATUS status = file.handle == nullptr ? EFI_NO_MEDIA : file.handle->Flush(file.handle);
    return EFI_ERROR(status) ? Result<void>(file_error(status, "write", file.name.view())) : success();
}

void Volumes::close(PlatformFile& file)
{
    if (file.handle != nullptr) {
        file.handle->Close(file.handle);
        file.handle = nullptr;
    }
    file.in_use = false;
}

Result<void> Volumes::list(std::string_view path, FileVisitor visit, void* context)
{
    char16_t folder_path[kMaxPath];
    TRY(convert_path(path, folder_path));
    EFI_FILE_HANDLE folder = nullptr;
    EFI_STATUS status = open_path(m_current, folder_path, EFI_FILE_MODE_READ, folder);
    if (EFI_ERROR(status)) {
        return file_error(status, "list", path);
    }
    FileInfoBuffer entry;
    bool end = false;
    status = entry.read_from(folder);
    if (!EFI_ERROR(status) && !entry.is_directory()) {
        folder->Close(folder);
        return fail(Status::invalid_argument, "{}: is a file, not a folder", path);
    }
    while (!EFI_ERROR(status)) {
        status = entry.read_next(folder, end);
        if (EFI_ERROR(status) || end) {
            break;
        }
        Text<1024> name;
        utf16_to_utf8(entry.name(), name);
        if (name.view() != "." && name.view() != "..") {
            visit(context, {name.view(), entry.info().FileSize, entry.is_directory(), entry.is_hidden()});
        }
    }
    folder->Close(folder);
    return EFI_ERROR(status) ? Result<void>(file_error(status, "list", path)) : success();
}

void Volumes::close_all()
{
    for (PlatformFile& file : m_files) {
        if (file.in_use) {
            close(file);
        }
    }
    if (m_staging != nullptr) {
        m_firmware.boot->FreePages(reinterpret_cast<EFI_PHYSICAL_ADDRESS>(m_staging), kStagingBytes / EFI_PAGE_SIZE);
        m_staging = nullptr;
    }
}

} // namespace llmk::uefi
