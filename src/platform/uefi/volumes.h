// SPDX-License-Identifier: MIT
//
// File systems as the firmware offers them, and files on them. Number 0 is the one the program was started from.
// Protects the PC's own disks: writes go to the boot volume and to volumes that hold our configuration file.
#pragma once

#include "llmk/platform.h"
#include "platform/uefi/firmware.h"
#include "platform/uefi/read_sizes.h"

namespace llmk {

struct PlatformFile {
    bool in_use = false;
    EFI_FILE_HANDLE handle = nullptr; ///< null while the volume is gone
    size_t volume = 0;
    OpenMode mode = OpenMode::read;
    uint64_t size_bytes = 0;
    uint64_t position = 0; ///< where the firmware reads or writes next
    char16_t path[260];    ///< as the firmware wants it, to open it again after an error
    Text<96> name;         ///< as error messages call it
};

} // namespace llmk

namespace llmk::uefi {

class Volumes {
public:
    explicit Volumes(const Firmware& firmware);

    size_t count() const { return m_count; }
    Result<void> use(size_t index);
    /// The one that paths are on.
    size_t current() const { return m_current; }
    Result<PlatformFile*> open(std::string_view path, OpenMode mode);
    Result<size_t> read_at(PlatformFile& file, uint64_t offset, void* buffer, size_t bytes);
    Result<void> write(PlatformFile& file, const void* data, size_t bytes);
    Result<void> flush(PlatformFile& file);
    /// Off: the firmware reads into any address of whole pages.
    void use_bounce_buffer(bool on) { m_bounce = on; }
    void close(PlatformFile& file);
    /// Deletes a file; where writing is refused, so is this.
    Result<void> remove(std::string_view path);
    Result<void> list(std::string_view path, FileVisitor visit, void* context);
    /// Closes what is still open and gives the staging buffer back.
    void close_all();

private:
    /// Room for a path of the FAT drivers, with its final NUL.
    static constexpr size_t kMaxPath = std::extent_v<decltype(PlatformFile::path)>;

    void find_volumes();
    EFI_STATUS open_root(size_t volume, EFI_FILE_HANDLE& root) const;
    void add(EFI_HANDLE handle);
    Result<void> convert_path(std::string_view path, std::span<char16_t> out) const;
    EFI_STATUS open_path(size_t volume, const char16_t* path, UINT64 mode, EFI_FILE_HANDLE& file) const;
    bool may_write(size_t volume) const;
    PlatformFile* free_slot();
    Result<EFI_FILE_HANDLE> open_for_writing(const PlatformFile& file) const;
    EFI_STATUS seek(PlatformFile& file, uint64_t position);
    bool reopen(PlatformFile& file);
    EFI_STATUS read_chunk(PlatformFile& file, uint64_t offset, uint8_t* buffer, size_t bytes, size_t& got);
    /// A buffer to transfer through instead of `buffer`, or null when `buffer` serves as it is.
    uint8_t* staging_for(const void* buffer, size_t bytes);

    Firmware m_firmware;
    // Handles, not protocols: of a stick that is pulled the firmware frees the protocol, and knows the handle as bad.
    EFI_HANDLE m_handles[32] = {};
    size_t m_count = 0;
    size_t m_current = 0;
    bool m_boot_volume_known = false; ///< number 0 is where the program came from, and not just the first found
    ReadSizes m_read_sizes;
    bool m_bounce = true;
    uint8_t* m_staging = nullptr;
    PlatformFile m_files[16];
};

} // namespace llmk::uefi
