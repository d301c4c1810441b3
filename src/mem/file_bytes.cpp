// SPDX-License-Identifier: MIT
#include "mem/file_bytes.h"

namespace llmk {

namespace {

Result<Vec<uint8_t>> read_open(Platform& platform, PlatformFile* file, std::string_view path, uint64_t most,
                               std::string_view what)
{
    const uint64_t size = TRY(platform.file_size(file));
    if (size > most) {
        return fail(Status::invalid_argument, "{}: {} bytes are too many for {}, at most {} are read", path, size, what,
                    most);
    }
    Vec<uint8_t> bytes(platform);
    TRY(bytes.resize(size));
    const size_t got = TRY(platform.file_read_at(file, 0, bytes.data(), size));
    if (got != size) {
        return fail(Status::io_error, "{}: only {} of its {} bytes could be read", path, got, size);
    }
    return bytes;
}

} // namespace

Result<Vec<uint8_t>> read_file(Platform& platform, std::string_view path, uint64_t most, std::string_view what)
{
    PlatformFile* file = TRY(platform.file_open(path, OpenMode::read));
    auto bytes = read_open(platform, file, path, most, what);
    platform.file_close(file);
    return bytes;
}

} // namespace llmk
