// SPDX-License-Identifier: MIT
//
// The bare loop that loading is held against: the model's files from beginning to end in pieces of the same size into
// one buffer, nothing drawn, nothing summed, no memory that is new.
#include "format/gguf_shards.h"
#include "mem/vec.h"
#include "model/weights.h"
#include "repl/tools.h"

#include <algorithm>

namespace llmk {

namespace {

/// Closes what it holds, on the way of an error too.
class OpenFile {
public:
    OpenFile(Platform& platform, PlatformFile* file) : m_platform(platform), m_file(file) {}
    ~OpenFile() { m_platform.file_close(m_file); }
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

private:
    Platform& m_platform;
    PlatformFile* m_file;
};

/// Adds the file's size to `bytes`.
Result<void> read_through(ToolContext& tool, std::string_view path, uint8_t* buffer, uint64_t& bytes)
{
    Platform& platform = tool.engine.platform();
    PlatformFile* const file = TRY(platform.file_open(path, OpenMode::read));
    const OpenFile closes(platform, file);
    const uint64_t size = TRY(platform.file_size(file));
    for (uint64_t at = 0; at < size; at += kReadPieceBytes) {
        const uint64_t wanted = std::min(kReadPieceBytes, size - at);
        if (TRY(platform.file_read_at(file, at, buffer, wanted)) != wanted) {
            return fail(Status::io_error, "{}: reading stopped behind byte {} of {}", path, at, size);
        }
        if (tool.interrupt().pending()) {
            return fail(Status::cancelled, "the benchmark was stopped");
        }
    }
    bytes += size;
    return success();
}

double megabytes_per_second(Platform& platform, uint64_t bytes, uint64_t ticks)
{
    const double seconds = static_cast<double>(ticks) / static_cast<double>(platform.ticks_per_second());
    return seconds > 0.0 ? static_cast<double>(bytes) / seconds / 1e6 : 0.0;
}

} // namespace

Result<void> tool_bench_read(ToolContext& tool, size_t runs)
{
    constexpr size_t kMostRuns = 16;
    Platform& platform = tool.engine.platform();
    const Model& model = tool.engine.model();
    double speeds[kMostRuns];
    runs = std::clamp<size_t>(runs, 1, kMostRuns);
    Vec<uint8_t> buffer(platform);
    TRY(buffer.reserve(kReadPieceBytes));
    uint64_t bytes = 0;
    for (size_t run = 0; run < runs; ++run) {
        bytes = 0;
        const uint64_t started = platform.ticks();
        for (uint32_t shard = 0; shard < model.desc.shard_count; ++shard) {
            const auto path =
                model.desc.shard_count > 1 ? gguf::shard_path(model.desc.path, shard + 1) : Text<384>(model.desc.path);
            TRY(read_through(tool, path, buffer.data(), bytes));
        }
        speeds[run] = megabytes_per_second(platform, bytes, platform.ticks() - started);
    }
    std::sort(speeds, speeds + runs);
    const double bare = speeds[runs / 2];
    const double load = megabytes_per_second(platform, model.read_bytes, model.read_ticks);
    platform.console_write(
        Text<240>("{}: {} read in pieces of {}: {:.1} MB/s (median of {}, {:.1} to {:.1}); its weights were loaded at "
                  "{:.1} MB/s, {:.0} % of it\n",
                  file_name(model.desc.path), human_bytes(bytes), human_bytes(kReadPieceBytes), bare, runs, speeds[0],
                  speeds[runs - 1], load, bare > 0.0 ? load / bare * 100.0 : 0.0));
    return success();
}

} // namespace llmk
