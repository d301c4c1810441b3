// SPDX-License-Identifier: MIT
//
// The platform contract over UEFI boot services: each part does its own, this only holds them together.
#pragma once

#include "cpu/features.h"
#include "llmk/platform.h"
#include "platform/uefi/console.h"
#include "platform/uefi/firmware.h"
#include "platform/uefi/keyboard.h"
#include "platform/uefi/processors.h"
#include "platform/uefi/volumes.h"

namespace llmk::uefi {

class UefiPlatform final : public Platform {
public:
    explicit UefiPlatform(const Firmware& firmware);
    /// Gives everything back that the firmware would keep after the program's end. The last call.
    void close();

    std::string_view name() const override { return "uefi"; }

    void console_write(std::string_view utf8) override { m_console.write(utf8); }
    ConsoleSize console_size() override { return m_console.size(); }
    void console_style(Style style) override { m_console.style(style); }
    void console_move(int columns, int rows) override { m_console.move(columns, rows); }
    void console_clear() override { m_console.clear(); }
    bool key_poll(Key& key) override;
    void idle(uint32_t milliseconds) override;

    size_t volume_count() override { return m_volumes.count(); }
    Result<void> volume_use(size_t index) override { return m_volumes.use(index); }
    Result<PlatformFile*> file_open(std::string_view path, OpenMode mode) override
    {
        return m_volumes.open(path, mode);
    }
    Result<uint64_t> file_size(PlatformFile* file) override { return file->size_bytes; }
    Result<size_t> file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes) override
    {
        return m_volumes.read_at(*file, offset, buffer, bytes);
    }
    void use_bounce_buffer(bool on) override { m_volumes.use_bounce_buffer(on); }
    Result<void> file_write(PlatformFile* file, const void* data, size_t bytes) override
    {
        return m_volumes.write(*file, data, bytes);
    }
    Result<void> file_flush(PlatformFile* file) override { return m_volumes.flush(*file); }
    void file_close(PlatformFile* file) override { m_volumes.close(*file); }
    Result<void> directory_list(std::string_view path, FileVisitor visit, void* context) override
    {
        return m_volumes.list(path, visit, context);
    }

    Result<void*> pages_alloc(uint64_t bytes) override;
    void pages_free(void* pages, uint64_t bytes) override;
    size_t memory_extents(std::span<uint64_t> sizes_bytes) override;

    uint64_t ticks() override;
    uint64_t ticks_per_second() override { return m_ticks_per_second; }
    Result<WallClock> wall_clock() override;

    void use_processors(size_t most) override { m_processors.limit(most); }
    size_t processor_count() override { return m_processors.count(); }
    std::string_view processors_note() override { return m_processors.note(); }
    size_t processor_states(std::span<ProcessorState> states) override
    {
        return m_processors.states(states, m_ticks_per_second);
    }
    void parallel(ParallelFunction function, void* context, size_t parts) override;
    void parallel_begin(ParallelFunction function, void* context, size_t parts) override;
    bool parallel_done() override { return m_processors.done(); }
    void parallel_end() override { m_processors.end(); }
    bool files_need_processors() override { return detect_cpu().emulated; }

    void reset(ResetKind kind) override;

private:
    Firmware m_firmware;
    Console m_console;
    Keyboard m_keyboard;
    Volumes m_volumes;
    Processors m_processors;
    uint64_t m_ticks_per_second;
};

} // namespace llmk::uefi
