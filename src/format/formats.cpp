// SPDX-License-Identifier: MIT
#include "format/formats.h"

#include "format/gguf.h"
#include "format/gguf_shards.h"
#include "format/llama2c.h"

namespace llmk {

namespace {

// llama2.c version 0 has no magic and is asked last: whatever nobody else claims is measured against its own header.
constexpr Format kFormats[] = {
    {"GGUF", gguf::has_magic, gguf::parse},
    {"llama2.c v1/v2", llama2c::has_magic, llama2c::parse_versioned},
    {"llama2.c v0", llama2c::may_be_legacy, llama2c::parse_legacy},
};

} // namespace

std::string_view file_name(std::string_view path)
{
    const size_t slash = path.find_last_of("/\\");
    return slash == std::string_view::npos ? path : tail(path, slash + 1);
}

std::string_view folder_of(std::string_view path) { return head(path, path.size() - file_name(path).size()); }

Result<ModelFile> ModelFile::open(Platform& platform, std::string_view path)
{
    ModelFile file;
    if (path.size() > file.m_path.capacity()) {
        return fail(Status::invalid_argument, "the path is {} bytes long, at most {} can be used", path.size(),
                    file.m_path.capacity());
    }
    file.m_platform = &platform;
    file.m_path = path;
    file.m_file = TRY(platform.file_open(path, OpenMode::read));
    file.m_size = TRY(platform.file_size(file.m_file));
    file.m_head_bytes = TRY(platform.file_read_at(file.m_file, 0, file.m_head, kHeadBytes));
    return file;
}

ModelFile::ModelFile(ModelFile&& other) noexcept
    : m_platform(other.m_platform), m_file(other.m_file), m_path(other.m_path), m_size(other.m_size),
      m_head_bytes(other.m_head_bytes)
{
    __builtin_memcpy(m_head, other.m_head, m_head_bytes);
    other.m_file = nullptr;
}

ModelFile::~ModelFile()
{
    if (m_file != nullptr) {
        m_platform->file_close(m_file);
    }
}

std::span<const Format> formats() { return kFormats; }

Result<ModelDesc> describe_model(Platform& platform, std::string_view wanted)
{
    const auto shard = gguf::shard_of(wanted);
    const Text<384> path(shard ? gguf::shard_path(wanted, 1) : Text<384>(wanted));
    auto opened = ModelFile::open(platform, path);
    if (!opened.ok()) {
        const bool missing = shard && opened.error().status == Status::not_found;
        return missing ? gguf::missing_shard(path, *shard) : opened.error();
    }
    const ModelFile file = opened.take();
    if (file.size_bytes() == 0) {
        return fail(Status::bad_format, "{}: the file is empty (size 0), expected a model", path);
    }
    ModelDesc desc(platform);
    desc.path = path;
    desc.file_size_bytes = file.size_bytes();
    for (const Format& format : kFormats) {
        if (format.matches(file.head(), file.size_bytes())) {
            TRY(format.parse(file, desc));
            return desc;
        }
    }
    return fail(Status::bad_format,
                "{}: not a model file: magic is neither llama2.c's 'ak42', nor does its size of {} bytes hold a "
                "llama2.c version 0 header",
                path, file.size_bytes());
}

} // namespace llmk
