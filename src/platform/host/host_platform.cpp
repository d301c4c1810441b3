// SPDX-License-Identifier: MIT
#include "platform/host/host_platform.h"

#include "cpu/features.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace llmk {

struct PlatformFile {
    int descriptor;
    std::string path; ///< as the caller named it
};

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kLargePage = 2u << 20;

Error system_error(std::string_view path, std::string_view doing)
{
    const int number = errno;
    const Status status = number == ENOENT                                         ? Status::not_found
                          : number == EACCES || number == EROFS || number == EPERM ? Status::read_only
                                                                                   : Status::io_error;
    return fail(status, "{}: {}: {}", path, doing, std::strerror(number));
}

/// The entry of `folder` that is `name` but for letter case; `name` itself when there is none.
std::string match_case(const std::string& folder, const std::string& name)
{
    DIR* directory = opendir(folder.empty() ? "." : folder.c_str());
    if (directory == nullptr) {
        return name;
    }
    std::string found = name;
    while (const dirent* entry = readdir(directory)) {
        if (strcasecmp(entry->d_name, name.c_str()) == 0) {
            found = entry->d_name;
            break;
        }
    }
    closedir(directory);
    return found;
}

} // namespace

void panic(const char* what, const char* file, int line)
{
    std::fprintf(stderr, "\r\nllmk: bug: %s (%s:%d)\r\n", what, file, line);
    std::abort();
}

/// Linux saves tiles, 8 KiB a thread, for processes that have asked. Once for all threads; asking again is no harm.
bool may_use_tiles()
{
    constexpr int kRequestPermission = 0x1023; // ARCH_REQ_XCOMP_PERM of <asm/prctl.h>, which may be older
    constexpr int kTileData = 18;              // the state's bit in XCR0
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

HostPlatform::HostPlatform(const Options& options) : m_options(options) { m_workers.emplace(options.threads); }

void HostPlatform::use_processors(size_t most)
{
    m_workers.emplace(most == 0 ? m_options.threads : std::min(most, m_options.threads));
}

HostPlatform::~HostPlatform() = default;

std::string HostPlatform::resolve(std::string_view path) const
{
    if (m_options.root.empty()) {
        return std::string(path);
    }
    std::string result = m_options.root;
    size_t start = 0;
    while (start <= path.size()) {
        const size_t end = std::min(path.find_first_of("/\\", start), path.size());
        const std::string part(path.substr(start, end - start));
        start = end + 1;
        // ".." cannot leave the volume, as on the stick.
        if (!part.empty() && part != "." && part != "..") {
            result += "/" + match_case(result, part);
        }
    }
    return result;
}

Result<void> HostPlatform::volume_use(size_t index)
{
    return index == 0 ? success() : Result<void>(fail(Status::not_found, "there is no volume {}", index));
}

Result<PlatformFile*> HostPlatform::file_open(std::string_view path, OpenMode mode)
{
    const std::string name = resolve(path);
    struct stat info = {};
    if (stat(name.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
        return fail(Status::invalid_argument, "{}: is a folder, not a file", path);
    }
    const int flags = mode == OpenMode::read      ? O_RDONLY
                      : mode == OpenMode::replace ? O_WRONLY | O_CREAT | O_TRUNC
                                                  : O_WRONLY | O_CREAT | O_APPEND;
    const int descriptor = open(name.c_str(), flags | O_CLOEXEC, 0666);
    if (descriptor < 0) {
        return system_error(path, "cannot be opened");
    }
    return new PlatformFile{descriptor, std::string(path)};
}

Result<uint64_t> HostPlatform::file_size(PlatformFile* file)
{
    struct stat info = {};
    if (fstat(file->descriptor, &info) != 0) {
        return system_error(file->path, "size is unknown");
    }
    return static_cast<uint64_t>(info.st_size);
}

Result<size_t> HostPlatform::file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t got =
            pread(file->descriptor, static_cast<char*>(buffer) + done, bytes - done, static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return system_error(file->path, "cannot be read");
        }
        if (got == 0) {
            break;
        }
        done += static_cast<size_t>(got);
    }
    return done;
}

Result<void> HostPlatform::file_write(PlatformFile* file, const void* data, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t put = write(file->descriptor, static_cast<const char*>(data) + done, bytes - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return system_error(file->path, "cannot be written");
        }
        done += static_cast<size_t>(put);
    }
    return success();
}

Result<void> HostPlatform::file_flush(PlatformFile* file)
{
    return fsync(file->descriptor) == 0 ? success() : Result<void>(system_error(file->path, "cannot be flushed"));
}

void HostPlatform::file_close(PlatformFile* file)
{
    close(file->descriptor);
    delete file;
}

Result<void> HostPlatform::directory_list(std::string_view path, FileVisitor visit, void* context)
{
    const std::string folder = resolve(path);
    DIR* directory = opendir(folder.empty() ? "." : folder.c_str());
    if (directory == nullptr) {
        return system_error(path.empty() ? std::string_view("the volume") : path, "cannot be listed");
    }
    while (const dirent* entry = readdir(directory)) {
        const std::string name = entry->d_name;
        struct stat info = {};
        if (name == "." || name == ".." || stat((folder + "/" + name).c_str(), &info) != 0) {
            continue;
        }
        visit(context, {name, static_cast<uint64_t>(info.st_size), S_ISDIR(info.st_mode), name[0] == '.'});
    }
    closedir(directory);
    return success();
}

Result<void*> HostPlatform::pages_alloc(uint64_t bytes)
{
    const uint64_t alignment = bytes >= kLargePage ? kLargePage : kPage;
    void* const pages = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (pages == nullptr) {
        return fail(Status::out_of_memory, "{} of memory are not to be had", human_bytes(bytes));
    }
#ifdef MADV_HUGEPAGE
    // Firmware maps memory in large pages. With small ones, walking their tables would be measured instead of memory.
    madvise(pages, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
    return pages;
}

void HostPlatform::pages_free(void* pages, uint64_t) { std::free(pages); }

size_t HostPlatform::memory_extents(std::span<uint64_t> sizes_bytes)
{
    uint64_t available = m_options.memory_bytes;
    if (available == 0) {
        available = static_cast<uint64_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
        if (FILE* meminfo = std::fopen("/proc/meminfo", "r")) { // counts what the page cache would give back
            char line[128];
            unsigned long long kib = 0;
            while (std::fgets(line, sizeof line, meminfo) != nullptr) {
                if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) {
                    available = kib * 1024;
                }
            }
            std::fclose(meminfo);
        }
    }
    if (sizes_bytes.empty()) {
        return 0;
    }
    sizes_bytes[0] = available;
    return 1;
}

uint64_t HostPlatform::ticks()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

Result<WallClock> HostPlatform::wall_clock()
{
    const time_t now = time(nullptr);
    tm parts = {};
    if (gmtime_r(&now, &parts) == nullptr) {
        return fail(Status::io_error, "the clock cannot be read");
    }
    return WallClock{static_cast<uint16_t>(parts.tm_year + 1900), static_cast<uint8_t>(parts.tm_mon + 1),
                     static_cast<uint8_t>(parts.tm_mday),         static_cast<uint8_t>(parts.tm_hour),
                     static_cast<uint8_t>(parts.tm_min),          static_cast<uint8_t>(parts.tm_sec)};
}

void HostPlatform::reset(ResetKind)
{
    m_console.restore();
    std::_Exit(0);
}

} // namespace llmk
