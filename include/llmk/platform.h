// SPDX-License-Identifier: MIT
//
// The ground as the rest of the program sees it: console, keys, files, pages, time, processors, power. Three
// implementations: src/platform/uefi, src/platform/host, tests/fake. Passed explicitly, never a global. Firmware types
// (EFI_STATUS, UCS-2) and `#if` on the platform stop behind it. Only the processor that called the program's entry may
// call it; parts of `parallel` may not.
#pragma once

#include "base/status.h"

namespace llmk {

struct ConsoleSize {
    size_t columns;
    size_t rows;
};

/// What a piece of text is, not which colour: each platform maps it to what its console can do.
enum class Style : uint8_t { normal, dim, bold, accent, good, warning, error, selected };

enum class KeyCode : uint8_t {
    character, ///< Key::character holds it; with Ctrl it is the lower-case letter and `ctrl` is set
    enter,
    backspace,
    tab,
    escape,
    up,
    down,
    left,
    right,
    home,
    end,
    del,
    page_up,
    page_down,
};

struct Key {
    KeyCode code = KeyCode::character;
    char32_t character = 0; ///< a Unicode scalar value; 0 unless code is `character`
    bool ctrl = false;
    bool alt = false;
    bool shift = false;
};

/// Opaque; each platform defines it.
struct PlatformFile;

enum class OpenMode : uint8_t {
    read,
    replace, ///< create, or empty what is there; writes go to the end
    append,  ///< create, or keep what is there; writes go to the end
};

struct FileInfo {
    std::string_view name; ///< UTF-8, without the folder; valid during the visit only
    uint64_t size_bytes = 0;
    bool is_directory = false;
    bool is_hidden = false; ///< the FAT attribute, or the system attribute
};

using FileVisitor = void (*)(void* context, const FileInfo& info);

struct WallClock {
    uint16_t year;
    uint8_t month, day, hour, minute, second;
};

/// Kinds of cores, where a processor has more than one.
enum class CoreKind : uint8_t { unknown, fast, efficient };

/// What a processor tells about itself.
struct ProcessorState {
    static constexpr int32_t kNoTemperature = INT32_MIN;

    uint32_t package = 0, core = 0, thread = 0; ///< as the APIC id counts them: numbers may be left out
    CoreKind kind = CoreKind::unknown;
    uint32_t clock_mhz = 0; ///< of the last milliseconds, at work; 0: it does not tell
    int32_t celsius = kNoTemperature;
};

enum class ResetKind : uint8_t { shutdown, reboot };

/// One part of a parallel job: `part` is 0 .. parts-1, each done exactly once, on any processor, in any order.
using ParallelFunction = void (*)(void* context, size_t part);

class Platform {
public:
    /// "uefi", "host", "fake".
    virtual std::string_view name() const = 0;

    // --- console ---------------------------------------------------------------------------------------------------
    /// Writes UTF-8; '\n' goes to the start of the next line. Characters the console cannot show are transliterated.
    virtual void console_write(std::string_view utf8) = 0;
    virtual ConsoleSize console_size() = 0;
    virtual void console_style(Style style) = 0;
    /// Moves the cursor by columns (right is positive) and rows (down is positive), stopping at the edges; never
    /// scrolls.
    virtual void console_move(int columns, int rows) = 0;
    /// Empties the screen, cursor to the top left.
    virtual void console_clear() = 0;
    /// Takes the next key if one waits. Does not block.
    virtual bool key_poll(Key& key) = 0;
    /// Rests about this long (not a busy loop where the platform can help it); may return early when a key comes.
    virtual void idle(uint32_t milliseconds) = 0;

    // --- volumes and files -----------------------------------------------------------------------------------------
    /// How many file systems there are. Number 0 is the one the program came from.
    virtual size_t volume_count() = 0;
    /// All paths are on this volume from now on.
    virtual Result<void> volume_use(size_t index) = 0;
    /// `path` is UTF-8, parted by '/' or '\', from the volume's root; letter case does not matter on FAT.
    /// A folder is an error (Status::invalid_argument). Writing is refused (Status::read_only) on a volume that is
    /// neither number 0 nor holds `llmk.cfg`.
    virtual Result<PlatformFile*> file_open(std::string_view path, OpenMode mode) = 0;
    virtual Result<uint64_t> file_size(PlatformFile* file) = 0;
    /// Reads up to `bytes` from `offset`; returns how many came: fewer only at the file's end.
    virtual Result<size_t> file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes) = 0;
    /// Whether reads and writes for memory that some firmware's drivers do not reach (above 4 GiB) go through a buffer
    /// that they do reach. On at the start; off, a copy is saved.
    virtual void use_bounce_buffer(bool on) = 0;
    /// Writes all of it at the end, or fails (full volume, write-protected stick).
    virtual Result<void> file_write(PlatformFile* file, const void* data, size_t bytes) = 0;
    /// Until this returns well, what was written may be lost with the power.
    virtual Result<void> file_flush(PlatformFile* file) = 0;
    virtual void file_close(PlatformFile* file) = 0;
    /// Visits each entry of a folder ("" is the root), without "." and "..", in no particular order.
    virtual Result<void> directory_list(std::string_view path, FileVisitor visit, void* context) = 0;

    // --- memory ----------------------------------------------------------------------------------------------------
    /// Page-aligned (2 MiB-aligned from 2 MiB on), contents undefined. Owned by the caller until pages_free with the
    /// same size.
    virtual Result<void*> pages_alloc(uint64_t bytes) = 0;
    virtual void pages_free(void* pages, uint64_t bytes) = 0;
    /// Sizes in bytes of the free extents, the largest first; returns how many were written. What one pages_alloc can
    /// give is at most the first; a small reserve for the firmware is already taken off.
    virtual size_t memory_extents(std::span<uint64_t> sizes_bytes) = 0;

    // --- time ------------------------------------------------------------------------------------------------------
    /// Cycles of the invariant TSC, or nanoseconds; only ever forward.
    virtual uint64_t ticks() = 0;
    virtual uint64_t ticks_per_second() = 0;
    virtual Result<WallClock> wall_clock() = 0;

    // --- processors ------------------------------------------------------------------------------------------------
    /// `parallel` uses at most so many processors, this one included; 0: all there are, one a core.
    virtual void use_processors(size_t most) = 0;
    /// How many it uses, this one included; at least 1. The first call may try the others out, for some milliseconds.
    virtual size_t processor_count() = 0;
    /// One line on how many there are, or why there is only one; valid until the next call of use_processors.
    virtual std::string_view processors_note() = 0;
    /// Looks at each processor in use, for some milliseconds; returns how many of `states` were filled in: fewer than
    /// are in use, or none, where they do not tell.
    virtual size_t processor_states(std::span<ProcessorState> states) = 0;
    /// Runs all parts and returns when the last is done. No part may call the platform or allocate.
    virtual void parallel(ParallelFunction function, void* context, size_t parts) = 0;
    /// As parallel, and returns at once: the other processors do parts while the caller reads files, writes to the
    /// console and looks for keys. One job at a time; until parallel_end the caller neither takes or gives back pages
    /// nor rests. Where there is no other processor, nothing is done before parallel_end.
    virtual void parallel_begin(ParallelFunction function, void* context, size_t parts) = 0;
    /// True when all parts of the job are done, or there is none.
    virtual bool parallel_done() = 0;
    /// Takes part in what is left of the job, and returns when all is done. Nothing when there is none.
    virtual void parallel_end() = 0;
    /// Whether a job beside it slows the reading of files down: an emulator's devices are run by the processors that
    /// its guest's processors run on. What can wait is better done when nothing is read.
    virtual bool files_need_processors() = 0;

    // --- power -----------------------------------------------------------------------------------------------------
    /// Does not return on real machines; does on the fake.
    virtual void reset(ResetKind kind) = 0;

protected:
    ~Platform() = default;
};

} // namespace llmk
