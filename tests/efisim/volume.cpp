// SPDX-License-Identifier: MIT
//
// A host folder as a FAT volume: EFI_SIMPLE_FILE_SYSTEM_PROTOCOL and EFI_FILE_PROTOCOL, UEFI specification 13.4 and
// 13.5, with the habits of EDK2's driver. Letter case does not matter; nothing outside the folder can be named.
#include "machine.h"
#include "platform/uefi/unicode.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

namespace llmk::efisim {
namespace {

constexpr EFI_GUID kSimpleFileSystem = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
constexpr EFI_GUID kFileInfo = EFI_FILE_INFO_ID;
constexpr UINT64 kEnd = ~UINT64{0};
constexpr size_t kLongestName = 255;

struct Volume {
    EFI_FILE_IO_INTERFACE protocol;
    std::string folder;
};

struct OpenFile {
    EFI_FILE_PROTOCOL protocol; // first: the firmware's pointer is ours
    std::string path;           // on the host
    std::string root;           // of its volume
    int descriptor = -1;        // -1: a folder
    bool writable = false;
    UINT64 position = 0; // of a folder: how many entries were read
    std::vector<std::string> entries;

    bool is_folder() const { return descriptor < 0; }
};

EFI_FILE_PROTOCOL g_functions;

OpenFile& file_of(EFI_FILE_PROTOCOL* self) { return *reinterpret_cast<OpenFile*>(self); }

EFI_STATUS status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return EFI_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EISDIR:
        return EFI_ACCESS_DENIED;
    case EROFS:
        return EFI_WRITE_PROTECTED;
    case ENOSPC:
        return EFI_VOLUME_FULL;
    default:
        return EFI_DEVICE_ERROR;
    }
}

std::string utf8_of(const CHAR16* name)
{
    Text<4096> text;
    uefi::utf16_to_utf8(reinterpret_cast<const char16_t*>(name), text);
    return std::string(text.view());
}

std::vector<std::string> list_folder(const std::string& path)
{
    std::vector<std::string> names;
    DIR* folder = opendir(path.c_str());
    for (const dirent* entry = nullptr; folder != nullptr && (entry = readdir(folder)) != nullptr;) {
        names.emplace_back(entry->d_name);
    }
    if (folder != nullptr) {
        closedir(folder);
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// The name in the folder that differs from `name` in letter case at most; `name` itself where there is none.
std::string known_name(const std::string& folder, const std::string& name)
{
    if (access((folder + "/" + name).c_str(), F_OK) == 0) {
        return name;
    }
    for (const std::string& entry : list_folder(folder)) {
        if (strcasecmp(entry.c_str(), name.c_str()) == 0) {
            return entry;
        }
    }
    return name;
}

/// The host's path of `name`, from the folder `from`; empty when it leads out of the volume.
std::string host_path(const std::string& root, std::string from, const std::string& name)
{
    if (name.starts_with('\\')) {
        from = root;
    }
    for (size_t at = 0; at < name.size();) {
        const size_t end = std::min(name.find('\\', at), name.size());
        const std::string part = name.substr(at, end - at);
        at = end + 1;
        if (part.empty() || part == ".") {
            continue;
        }
        if (part == "..") {
            if (from == root) {
                return {};
            }
            from.resize(from.rfind('/'));
        } else if (part.size() > kLongestName || part.find('/') != std::string::npos) {
            return {};
        } else {
            from += "/" + known_name(from, part);
        }
    }
    return from;
}

EFI_FILE_PROTOCOL* new_file(const std::string& root, const std::string& path, int descriptor, bool writable)
{
    auto* file = new OpenFile{g_functions, path, root, descriptor, writable, 0, {}};
    ++machine().open_files;
    return &file->protocol;
}

EFI_STATUS EFIAPI open_file(EFI_FILE_PROTOCOL* self, EFI_FILE_PROTOCOL** opened, CHAR16* name, UINT64 mode, UINT64)
{
    const OpenFile& from = file_of(self);
    const std::string path = host_path(from.root, from.path, utf8_of(name));
    if (path.empty()) {
        return EFI_NOT_FOUND;
    }
    const bool writes = (mode & EFI_FILE_MODE_WRITE) != 0;
    if (writes && machine().options.read_only) {
        return EFI_WRITE_PROTECTED;
    }
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
        *opened = new_file(from.root, path, -1, writes);
        return EFI_SUCCESS;
    }
    const int flags = (writes ? O_RDWR : O_RDONLY) | ((mode & EFI_FILE_MODE_CREATE) != 0 ? O_CREAT : 0);
    const int descriptor = open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (descriptor < 0) {
        return status_of(errno);
    }
    *opened = new_file(from.root, path, descriptor, writes);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI close_file(EFI_FILE_PROTOCOL* self)
{
    OpenFile& file = file_of(self);
    if (!file.is_folder()) {
        close(file.descriptor);
    }
    delete &file;
    --machine().open_files;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI delete_file(EFI_FILE_PROTOCOL* self)
{
    const OpenFile& file = file_of(self);
    const bool gone = file.writable && !file.is_folder() && unlink(file.path.c_str()) == 0;
    close_file(self);
    return gone ? EFI_SUCCESS : EFI_WARN_DELETE_FAILURE;
}

EFI_STATUS write_info(const std::string& path, const std::string& name, UINTN& size, void* buffer)
{
    struct stat status = {};
    if (stat(path.c_str(), &status) != 0) {
        return status_of(errno);
    }
    char16_t wide[kLongestName + 1];
    if (!uefi::utf8_to_utf16(name, wide)) {
        return EFI_DEVICE_ERROR;
    }
    const size_t letters = std::char_traits<char16_t>::length(wide);
    const UINTN needed = offsetof(EFI_FILE_INFO, FileName) + (letters + 1) * sizeof(char16_t);
    const bool fits = size >= needed;
    size = needed;
    if (!fits) {
        return EFI_BUFFER_TOO_SMALL;
    }
    auto& info = *static_cast<EFI_FILE_INFO*>(buffer);
    memset(&info, 0, offsetof(EFI_FILE_INFO, FileName));
    info.Size = needed;
    const bool is_folder = S_ISDIR(status.st_mode);
    info.FileSize = is_folder ? 0 : static_cast<UINT64>(status.st_size);
    info.PhysicalSize = static_cast<UINT64>(status.st_blocks) * 512;
    info.Attribute = is_folder ? EFI_FILE_DIRECTORY : EFI_FILE_ARCHIVE;
    memcpy(static_cast<char*>(buffer) + offsetof(EFI_FILE_INFO, FileName), wide, (letters + 1) * sizeof(char16_t));
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI get_info(EFI_FILE_PROTOCOL* self, EFI_GUID* kind, UINTN* size, void* buffer)
{
    const OpenFile& file = file_of(self);
    if (memcmp(kind, &kFileInfo, sizeof(EFI_GUID)) != 0) {
        return EFI_UNSUPPORTED;
    }
    const bool is_root = file.path == file.root;
    return write_info(file.path, is_root ? "" : file.path.substr(file.path.rfind('/') + 1), *size, buffer);
}

EFI_STATUS read_entry(OpenFile& folder, UINTN& size, void* buffer)
{
    if (folder.position == 0) {
        folder.entries = list_folder(folder.path);
        if (folder.path == folder.root) { // a FAT root has none
            std::erase_if(folder.entries, [](const std::string& name) { return name == "." || name == ".."; });
        }
    }
    if (folder.position >= folder.entries.size()) {
        size = 0;
        return EFI_SUCCESS;
    }
    const std::string& name = folder.entries[folder.position];
    const EFI_STATUS status = write_info(folder.path + "/" + name, name, size, buffer);
    folder.position += !EFI_ERROR(status);
    return status;
}

EFI_STATUS EFIAPI read_file(EFI_FILE_PROTOCOL* self, UINTN* size, void* buffer)
{
    OpenFile& file = file_of(self);
    const Options& options = machine().options;
    if (file.is_folder()) {
        return read_entry(file, *size, buffer);
    }
    struct stat status = {};
    const bool past = fstat(file.descriptor, &status) != 0 || file.position > static_cast<UINT64>(status.st_size);
    if (past || (options.largest_read != 0 && *size > options.largest_read)) {
        return EFI_DEVICE_ERROR;
    }
    const uint64_t begun = now_ns();
    UINTN done = 0;
    while (done < *size) {
        const ssize_t got = pread(file.descriptor, static_cast<char*>(buffer) + done, *size - done,
                                  static_cast<off_t>(file.position + done));
        if (got < 0) {
            return EFI_DEVICE_ERROR;
        }
        if (got == 0) {
            break;
        }
        done += static_cast<UINTN>(got);
    }
    file.position += done;
    *size = done;
    if (options.disk_bytes_per_second != 0) {
        const uint64_t wanted = done * 1'000'000'000 / options.disk_bytes_per_second;
        const uint64_t took = now_ns() - begun;
        sleep_ns(wanted > took ? wanted - took : 0);
    }
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI write_file(EFI_FILE_PROTOCOL* self, UINTN* size, void* buffer)
{
    OpenFile& file = file_of(self);
    if (file.is_folder()) {
        return EFI_UNSUPPORTED;
    }
    if (!file.writable) {
        return EFI_ACCESS_DENIED;
    }
    UINTN done = 0;
    while (done < *size) {
        const ssize_t put = pwrite(file.descriptor, static_cast<const char*>(buffer) + done, *size - done,
                                   static_cast<off_t>(file.position + done));
        if (put < 0) {
            *size = done;
            return status_of(errno);
        }
        done += static_cast<UINTN>(put);
    }
    file.position += done;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI set_position(EFI_FILE_PROTOCOL* self, UINT64 position)
{
    OpenFile& file = file_of(self);
    if (file.is_folder()) {
        file.position = 0;
        return position == 0 ? EFI_SUCCESS : EFI_UNSUPPORTED;
    }
    struct stat status = {};
    if (position == kEnd && fstat(file.descriptor, &status) == 0) {
        position = static_cast<UINT64>(status.st_size);
    }
    file.position = position;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI flush_file(EFI_FILE_PROTOCOL* self)
{
    return file_of(self).writable ? EFI_SUCCESS : EFI_ACCESS_DENIED;
}

EFI_STATUS EFIAPI open_volume(EFI_FILE_IO_INTERFACE* self, EFI_FILE_PROTOCOL** root)
{
    const std::string& folder = reinterpret_cast<Volume*>(self)->folder;
    *root = new_file(folder, folder, -1, false);
    return EFI_SUCCESS;
}

} // namespace

EFI_HANDLE install_volumes()
{
    fill_with_refusals(&g_functions.Open, sizeof(g_functions) - offsetof(EFI_FILE_PROTOCOL, Open), "EFI_FILE_PROTOCOL");
    g_functions.Revision = EFI_FILE_PROTOCOL_REVISION;
    g_functions.Open = open_file;
    g_functions.Close = close_file;
    g_functions.Delete = delete_file;
    g_functions.Read = read_file;
    g_functions.Write = write_file;
    g_functions.SetPosition = set_position;
    g_functions.GetInfo = get_info;
    g_functions.Flush = flush_file;
    EFI_HANDLE first = nullptr;
    for (const std::string& named : machine().options.volumes) {
        char* folder = realpath(named.c_str(), nullptr);
        struct stat status = {};
        if (folder == nullptr || stat(folder, &status) != 0 || !S_ISDIR(status.st_mode)) {
            stop(kExitUsage, "--volume %s: there is no such folder", named.c_str());
        }
        auto* volume = new Volume{{EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_REVISION, open_volume}, folder};
        ::free(folder);
        Handle& handle = machine().add_handle();
        handle.protocols.push_back({kSimpleFileSystem, &volume->protocol});
        first = first == nullptr ? &handle : first;
    }
    return first;
}

} // namespace llmk::efisim
