// SPDX-License-Identifier: MIT
//
// The platform contract on POSIX: a folder is the volume, the terminal is the console, threads are the processors. For
// the host tool, tests and benchmarks; the shipped product is src/platform/uefi.
#pragma once

#include "llmk/platform.h"
#include "platform/host/host_console.h"
#include "platform/host/workers.h"

#include <string>

namespace llmk {

class HostPlatform final : public Platform {
public:
    struct Options {
        /// Paths are below this folder and letter case does not matter, as on FAT. Empty: paths are the host's own.
        std::string root;
        size_t threads = 1;
        /// Memory that memory_extents reports; 0 is what the system says is available.
        uint64_t memory_bytes = 0;
    };

    explicit HostPlatform(const Options& options);
    ~HostPlatform();
    HostPlatform(const HostPlatform&) = delete;
    HostPlatform& operator=(const HostPlatform&) = delete;

    std::string_view name() const override { return "host"; }

    void console_write(std::string_view utf8) override { m_console.write(utf8); }
    ConsoleSize console_size() override { return m_console.size(); }
    void console_style(Style style) override { m_console.style(style); }
    void console_move(int columns, int rows) override { m_console.move(columns, rows); }
    void console_clear() override { m_console.clear(); }
    bool key_poll(Key& key) override { return m_console.poll(key); }
    void idle(uint32_t milliseconds) override { m_console.idle(milliseconds); }

    size_t volume_count() override { return 1; }
    Result<void> volume_use(size_t index) override;
    Result<PlatformFile*> file_open(std::string_view path, OpenMode mode) override;
    Result<uint64_t> file_size(PlatformFile* file) override;
    Result<size_t> file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes) override;
    void use_bounce_buffer(bool) override {} // the kernel sees to it
    Result<void> file_write(PlatformFile* file, const void* data, size_t bytes) override;
    Result<void> file_flush(PlatformFile* file) override;
    void file_close(PlatformFile* file) override;
    Result<void> directory_list(std::string_view path, FileVisitor visit, void* context) override;

    Result<void*> pages_alloc(uint64_t bytes) override;
    void pages_free(void* pages, uint64_t bytes) override;
    size_t memory_extents(std::span<uint64_t> sizes_bytes) override;

    /// Nanoseconds of the monotonic clock.
    uint64_t ticks() override;
    uint64_t ticks_per_second() override { return 1'000'000'000u; }
    Result<WallClock> wall_clock() override;

    void use_processors(size_t most) override;
    size_t processor_count() override { return m_workers->count(); }
    std::string_view processors_note() override { return {}; }
    size_t processor_states(std::span<ProcessorState>) override { return 0; }
    void parallel(ParallelFunction function, void* context, size_t parts) override
    {
        m_workers->run(function, context, parts);
    }
    void parallel_begin(ParallelFunction function, void* context, size_t parts) override
    {
        m_workers->begin(function, context, parts);
    }
    bool parallel_done() override { return m_workers->done(); }
    void parallel_end() override { m_workers->end(); }
    bool files_need_processors() override { return false; }

    /// Ends the process, the terminal as it was.
    void reset(ResetKind kind) override;

private:
    std::string resolve(std::string_view path) const;

    Options m_options;
    HostConsole m_console;
    std::optional<Workers> m_workers;
};

} // namespace llmk
