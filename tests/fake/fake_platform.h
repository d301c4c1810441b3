// SPDX-License-Identifier: MIT
//
// The ground as unit tests want it: a screen whose cells can be read, keys that are typed beforehand, volumes in
// memory, a clock that moves only when told or asked, and failures on demand. Hosted test code: std:: containers.
// On destruction it fails the running test if pages or files were not given back.
#pragma once

#include "fake/fake_screen.h"
#include "llmk/platform.h"

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace llmk {

struct FakeNode {
    std::string name; ///< as it was added, letter case kept
    std::string content;
    bool is_directory = false;
    bool is_hidden = false;
    uint64_t hole_bytes = 0; ///< zeros behind the content, of which nothing is kept
    std::string ending = {}; ///< behind the hole

    uint64_t size_bytes() const { return content.size() + hole_bytes + ending.size(); }
};

struct FakeVolume {
    std::map<std::string, FakeNode> nodes; ///< by normalised path: lower case, '/' between
    bool write_protected = false;
    bool removed = false;             ///< every operation fails, as when the stick is pulled
    uint64_t free_bytes = UINT64_MAX; ///< a write past it fails and writes nothing
};

class FakePlatform final : public Platform {
public:
    explicit FakePlatform(size_t columns = 80, size_t rows = 25);
    ~FakePlatform();
    FakePlatform(const FakePlatform&) = delete;
    FakePlatform& operator=(const FakePlatform&) = delete;

    // --- keys ------------------------------------------------------------------------------------------------------
    /// Queues a text as keys: "\r" and "\n" Enter, "\t" Tab, "\b" and 0x7f Backspace, 0x1b Esc, other controls
    /// Ctrl+letter.
    void type(std::string_view utf8);
    void press(KeyCode code, size_t times = 1);
    void press(const Key& key);
    void ctrl(char letter);
    void ctrl(KeyCode code);
    /// Like `type`, but no key arrives before this time on the clock.
    void type_at(uint64_t milliseconds, std::string_view utf8);
    size_t keys_left() const { return m_keys.size(); }

    // --- files -----------------------------------------------------------------------------------------------------
    FakeVolume& volume(size_t index = 0);
    /// A further volume; returns its number.
    size_t add_volume();
    void add_directory(std::string_view path, size_t volume = 0, bool hidden = false);
    /// Folders on the way are made.
    void add_file(std::string_view path, std::string_view content, size_t volume = 0, bool hidden = false);
    /// A file that is larger than the host: content, zeros, an ending.
    void add_large_file(std::string_view path, std::string_view content, uint64_t hole_bytes, std::string_view ending);
    /// Null when there is none.
    const std::string* content(std::string_view path, size_t volume = 0) const;
    size_t open_files() const { return m_open_files; }

    // --- failures: 0 is never, 1 the very next one, n the n-th from now
    // ------------------------------------------------
    size_t fail_read_in = 0;
    size_t short_read_in = 0; ///< that read returns half of what was asked
    size_t fail_open_in = 0;
    size_t fail_list_in = 0;
    size_t fail_write_in = 0;
    size_t fail_flush_in = 0;
    size_t fail_alloc_in = 0;

    // --- memory ----------------------------------------------------------------------------------------------------
    /// Free extents in bytes, any order; pages_alloc takes from them and pages_free gives back.
    std::vector<uint64_t> extents = {uint64_t{1} << 30};
    uint64_t pages_in_use() const { return m_pages_in_use; }
    size_t reads = 0;
    bool bounces = true; ///< use_bounce_buffer
    uint64_t largest_read = 0;

    // --- time ------------------------------------------------------------------------------------------------------
    uint64_t now = 0;          ///< nanoseconds
    uint64_t tick_step = 1000; ///< what each look at the clock adds
    /// What each look at the clock adds, where that is not always the same.
    std::function<uint64_t()> on_ticks;
    uint64_t idle_calls = 0;
    bool has_wall_clock = true;
    WallClock wall = {2024, 2, 29, 12, 0, 0};
    /// Called by each idle, after the clock has moved: a test may press keys or look at the screen here.
    std::function<void()> on_idle;

    // --- processors, power -----------------------------------------------------------------------------------------
    size_t processors = 1;
    bool parallel_reversed = false;
    bool emulated = false;           ///< files_need_processors
    size_t jobs_begun = 0;           ///< by parallel_begin
    size_t parts_done_by_others = 0; ///< of those, before parallel_end
    std::vector<ResetKind> resets;

    FakeScreen screen;

    // --- Platform --------------------------------------------------------------------------------------------------
    std::string_view name() const override { return "fake"; }
    void console_write(std::string_view utf8) override { screen.write(utf8); }
    ConsoleSize console_size() override { return {screen.columns(), screen.rows()}; }
    void console_style(Style style) override { screen.style = style; }
    void console_move(int columns, int rows) override { screen.move(columns, rows); }
    void console_clear() override { screen.clear(); }
    bool key_poll(Key& key) override;
    void idle(uint32_t milliseconds) override;

    size_t volume_count() override { return m_volumes.size(); }
    Result<void> volume_use(size_t index) override;
    Result<PlatformFile*> file_open(std::string_view path, OpenMode mode) override;
    Result<uint64_t> file_size(PlatformFile* file) override;
    Result<size_t> file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes) override;
    void use_bounce_buffer(bool on) override { bounces = on; }
    Result<void> file_write(PlatformFile* file, const void* data, size_t bytes) override;
    Result<void> file_flush(PlatformFile* file) override;
    void file_close(PlatformFile* file) override;
    Result<void> directory_list(std::string_view path, FileVisitor visit, void* context) override;

    Result<void*> pages_alloc(uint64_t bytes) override;
    void pages_free(void* pages, uint64_t bytes) override;
    size_t memory_extents(std::span<uint64_t> sizes_bytes) override;

    uint64_t ticks() override { return now += on_ticks ? on_ticks() : tick_step; }
    uint64_t ticks_per_second() override { return 1'000'000'000; }
    Result<WallClock> wall_clock() override;

    size_t processor_limit = 0; ///< use_processors
    void use_processors(size_t most) override { processor_limit = most; }
    size_t processor_count() override
    {
        return processor_limit == 0 ? processors : std::min(processor_limit, processors);
    }
    std::string note_of_processors = "of the fake";
    std::vector<ProcessorState> states_of_processors;
    std::string_view processors_note() override { return note_of_processors; }
    size_t processor_states(std::span<ProcessorState> states) override
    {
        const size_t count = std::min(states.size(), states_of_processors.size());
        std::copy_n(states_of_processors.begin(), count, states.begin());
        return count;
    }
    void parallel(ParallelFunction function, void* context, size_t parts) override;
    /// With more than one processor, each look at whether it is done finds one part more that is.
    void parallel_begin(ParallelFunction function, void* context, size_t parts) override;
    bool parallel_done() override;
    void parallel_end() override;
    bool files_need_processors() override { return emulated; }
    void reset(ResetKind kind) override { resets.push_back(kind); }

private:
    struct TimedKey {
        Key key;
        uint64_t ready_at; ///< nanoseconds
    };
    struct Allocation {
        uint64_t bytes;
        size_t extent;
    };
    struct Job {
        ParallelFunction function = nullptr;
        void* context = nullptr;
        size_t parts = 0;
        size_t done = 0;
    };
    void do_part();
    void expect_no_job(std::string_view doing) const;
    void queue(const Key& key, uint64_t ready_at) { m_keys.push_back({key, ready_at}); }
    FakeVolume& current() { return m_volumes[m_volume]; }

    std::deque<TimedKey> m_keys;
    std::deque<FakeVolume> m_volumes; ///< a deque: references from `volume()` stay good when one is added
    size_t m_volume = 0;
    size_t m_open_files = 0;
    std::map<void*, Allocation> m_allocations;
    uint64_t m_pages_in_use = 0;
    Job m_job;
    uint64_t m_idle_without_key = 0; ///< milliseconds
};

} // namespace llmk
