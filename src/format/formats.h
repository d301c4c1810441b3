// SPDX-License-Identifier: MIT
//
// The table of model file formats. Adding one is a file and a row in formats.cpp. A format reads headers and makes a
// ModelDesc; it reads no weights.
#pragma once

#include "format/model_desc.h"

namespace llmk {

/// An open model file whose first bytes are at hand. Closes itself.
class ModelFile {
public:
    static constexpr size_t kHeadBytes = 256;

    static Result<ModelFile> open(Platform& platform, std::string_view path);
    ModelFile(ModelFile&& other) noexcept;
    ModelFile(const ModelFile&) = delete;
    ModelFile& operator=(const ModelFile&) = delete;
    ModelFile& operator=(ModelFile&&) = delete;
    ~ModelFile();

    std::string_view path() const { return m_path; }
    uint64_t size_bytes() const { return m_size; }
    /// The first kHeadBytes of the file, or all of a shorter one.
    std::span<const uint8_t> head() const { return {m_head, m_head_bytes}; }
    Platform& platform() const { return *m_platform; }
    PlatformFile* handle() const { return m_file; }

private:
    ModelFile() = default;
    Platform* m_platform = nullptr;
    PlatformFile* m_file = nullptr;
    Text<256> m_path;
    uint64_t m_size = 0;
    uint8_t m_head[kHeadBytes];
    size_t m_head_bytes = 0;
};

struct Format {
    const char* name;
    /// By magic, or by size for the one that has none. Rows are asked in order.
    bool (*matches)(std::span<const uint8_t> head, uint64_t file_size_bytes);
    Result<void> (*parse)(const ModelFile& file, ModelDesc& desc);
};

std::span<const Format> formats();

/// Opens, recognises and parses; any file of a split GGUF model leads to all of it. Every failure names the file and
/// the field.
Result<ModelDesc> describe_model(Platform& platform, std::string_view path);

} // namespace llmk
