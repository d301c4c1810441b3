// SPDX-License-Identifier: MIT
#include "fake/fake_platform.h"

#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

struct llmk::PlatformFile {
    llmk::FakeVolume* volume;
    std::string path; ///< normalised
    OpenMode mode;
};

namespace llmk {

namespace {

/// Code that waits for a key nobody typed would hang the test run: after this long on the fake clock it is stopped.
constexpr uint64_t kPatienceMilliseconds = 3'600'000;
constexpr uint64_t kNanosecondsPerMillisecond = 1'000'000;
constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kBigPageBytes = uint64_t{2} << 20;

/// Lower case, '/' between, none at the ends.
std::string normalise(std::string_view path)
{
    std::string result;
    for (const char c : path) {
        const char next = c == '\\' ? '/' : to_lower(c);
        if (next != '/' || (!result.empty() && result.back() != '/')) {
            result += next;
        }
    }
    if (!result.empty() && result.back() == '/') {
        result.pop_back();
    }
    return result;
}

std::string parent_of(const std::string& normal)
{
    const size_t slash = normal.rfind('/');
    return slash == std::string::npos ? std::string() : normal.substr(0, slash);
}

/// The last part as it was spelled.
std::string leaf_of(std::string_view path)
{
    const size_t slash = path.find_last_of("/\\");
    return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

/// True once, when a countdown that a test set reaches its end.
bool due(size_t& countdown) { return countdown != 0 && --countdown == 0; }

Key key_of(char32_t c)
{
    Key key;
    switch (c) {
    case '\r':
    case '\n':
        key.code = KeyCode::enter;
        break;
    case '\t':
        key.code = KeyCode::tab;
        break;
    case '\b':
    case 0x7F:
        key.code = KeyCode::backspace;
        break;
    case 0x1B:
        key.code = KeyCode::escape;
        break;
    default:
        key.ctrl = c < 0x20;
        key.character = key.ctrl ? c + 0x60 : c;
    }
    return key;
}

} // namespace

// --- keys and time ------------------------------------------------------------------------------------------------

FakePlatform::FakePlatform(size_t columns, size_t rows) : screen(columns, rows), m_volumes(1) {}

FakePlatform::~FakePlatform()
{
    if (!m_allocations.empty()) {
        ADD_FAILURE() << m_allocations.size() << " page allocations were not freed";
    }
    if (m_open_files != 0) {
        ADD_FAILURE() << m_open_files << " files were not closed";
    }
    for (auto& [pages, allocation] : m_allocations) {
        std::free(pages);
    }
}

void FakePlatform::type_at(uint64_t milliseconds, std::string_view utf8)
{
    while (!utf8.empty()) {
        const auto character = utf8_decode(utf8);
        utf8.remove_prefix(character.length);
        queue(key_of(character.value), milliseconds * kNanosecondsPerMillisecond);
    }
}

void FakePlatform::type(std::string_view utf8) { type_at(0, utf8); }

void FakePlatform::press(KeyCode code, size_t times)
{
    for (size_t i = 0; i < times; ++i) {
        queue({.code = code}, 0);
    }
}

void FakePlatform::press(const Key& key) { queue(key, 0); }

void FakePlatform::ctrl(char letter) { queue({.character = static_cast<char32_t>(letter), .ctrl = true}, 0); }

void FakePlatform::ctrl(KeyCode code) { queue({.code = code, .ctrl = true}, 0); }

bool FakePlatform::key_poll(Key& key)
{
    if (m_keys.empty() || m_keys.front().ready_at > now) {
        return false;
    }
    key = m_keys.front().key;
    m_keys.pop_front();
    m_idle_without_key = 0;
    return true;
}

void FakePlatform::idle(uint32_t milliseconds)
{
    expect_no_job("idle");
    ++idle_calls;
    now += milliseconds * kNanosecondsPerMillisecond;
    m_idle_without_key += milliseconds > 0 ? milliseconds : 1;
    if (on_idle) {
        on_idle();
    }
    if (m_idle_without_key > kPatienceMilliseconds) {
        std::fprintf(stderr, "FakePlatform: waits for a key that was never typed; the screen:\n%s",
                     screen.text().c_str());
        std::abort();
    }
}

Result<WallClock> FakePlatform::wall_clock()
{
    if (!has_wall_clock) {
        return fail(Status::io_error, "the clock does not answer");
    }
    return wall;
}

// --- volumes and files --------------------------------------------------------------------------------------------

FakeVolume& FakePlatform::volume(size_t index) { return m_volumes[index]; }

size_t FakePlatform::add_volume()
{
    m_volumes.emplace_back();
    return m_volumes.size() - 1;
}

void FakePlatform::add_directory(std::string_view path, size_t volume_index, bool hidden)
{
    const std::string normal = normalise(path);
    if (const std::string parent = parent_of(normal); !parent.empty()) {
        add_directory(parent, volume_index);
    }
    auto& nodes = m_volumes[volume_index].nodes;
    if (!nodes.contains(normal)) {
        nodes[normal] = {leaf_of(path), "", true, hidden};
    }
}

void FakePlatform::add_file(std::string_view path, std::string_view content, size_t volume_index, bool hidden)
{
    const std::string normal = normalise(path);
    if (const std::string parent = parent_of(normal); !parent.empty()) {
        add_directory(parent, volume_index);
    }
    m_volumes[volume_index].nodes[normal] = {leaf_of(path), std::string(content), false, hidden};
}

void FakePlatform::add_large_file(std::string_view path, std::string_view content, uint64_t hole_bytes,
                                  std::string_view ending)
{
    add_file(path, content);
    FakeNode& node = m_volumes[0].nodes[normalise(path)];
    node.hole_bytes = hole_bytes;
    node.ending = ending;
}

const std::string* FakePlatform::content(std::string_view path, size_t volume_index) const
{
    const auto& nodes = m_volumes[volume_index].nodes;
    const auto found = nodes.find(normalise(path));
    return found == nodes.end() ? nullptr : &found->second.content;
}

Result<void> FakePlatform::volume_use(size_t index)
{
    if (index >= m_volumes.size()) {
        return fail(Status::not_found, "there is no volume {}", index);
    }
    m_volume = index;
    return success();
}

Result<PlatformFile*> FakePlatform::file_open(std::string_view path, OpenMode mode)
{
    auto& volume_now = current();
    if (volume_now.removed || due(fail_open_in)) {
        return fail(Status::io_error, "{}: the device does not answer", path);
    }
    const std::string normal = normalise(path);
    const auto found = volume_now.nodes.find(normal);
    const bool exists = found != volume_now.nodes.end();
    if (normal.empty() || (exists && found->second.is_directory)) {
        return fail(Status::invalid_argument, "{}: is a folder", path);
    }
    if (mode != OpenMode::read) {
        if (volume_now.write_protected || (m_volume != 0 && !volume_now.nodes.contains("llmk.cfg"))) {
            return fail(Status::read_only, "{}: the volume cannot be written", path);
        }
        const std::string parent = parent_of(normal);
        if (!parent.empty() && !volume_now.nodes.contains(parent)) {
            return fail(Status::not_found, "{}: there is no such folder", path);
        }
        if (!exists) {
            volume_now.nodes[normal] = {leaf_of(path), "", false, false};
        } else if (mode == OpenMode::replace) {
            found->second.content.clear();
        }
    } else if (!exists) {
        return fail(Status::not_found, "{}: there is no such file", path);
    }
    ++m_open_files;
    return new PlatformFile{&volume_now, normal, mode};
}

Result<uint64_t> FakePlatform::file_size(PlatformFile* file)
{
    if (file->volume->removed) {
        return fail(Status::io_error, "{}: the device does not answer", file->path);
    }
    return file->volume->nodes[file->path].size_bytes();
}

Result<size_t> FakePlatform::file_read_at(PlatformFile* file, uint64_t offset, void* buffer, size_t bytes)
{
    ++reads;
    largest_read = std::max(largest_read, uint64_t{bytes});
    if (file->volume->removed || due(fail_read_in)) {
        return fail(Status::io_error, "{}: cannot be read at {}", file->path, offset);
    }
    if (due(short_read_in)) {
        bytes /= 2;
    }
    const FakeNode& node = file->volume->nodes[file->path];
    const uint64_t from = std::min(offset, node.size_bytes());
    const uint64_t count = std::min(uint64_t{bytes}, node.size_bytes() - from);
    const uint64_t ending_at = node.content.size() + node.hole_bytes;
    auto* const out = static_cast<char*>(buffer);
    for (uint64_t at = from; at < from + count;) {
        const uint64_t left = from + count - at;
        uint64_t step = left;
        if (at < node.content.size()) {
            step = std::min(left, node.content.size() - at);
            std::memcpy(out + (at - from), node.content.data() + at, step);
        } else if (at < ending_at) {
            step = std::min(left, ending_at - at);
            std::memset(out + (at - from), 0, step);
        } else {
            std::memcpy(out + (at - from), node.ending.data() + (at - ending_at), step);
        }
        at += step;
    }
    return static_cast<size_t>(count);
}

Result<void> FakePlatform::file_write(PlatformFile* file, const void* data, size_t bytes)
{
    if (file->mode == OpenMode::read) {
        return fail(Status::read_only, "{}: was opened for reading", file->path);
    }
    if (file->volume->removed || due(fail_write_in)) {
        return fail(Status::io_error, "{}: cannot be written", file->path);
    }
    if (bytes > file->volume->free_bytes) {
        return fail(Status::io_error, "{}: the volume is full", file->path);
    }
    file->volume->free_bytes -= file->volume->free_bytes == UINT64_MAX ? 0 : bytes;
    file->volume->nodes[file->path].content.append(static_cast<const char*>(data), bytes);
    return success();
}

Result<void> FakePlatform::file_flush(PlatformFile* file)
{
    if (file->volume->removed || due(fail_flush_in)) {
        return fail(Status::io_error, "{}: cannot be flushed", file->path);
    }
    return success();
}

void FakePlatform::file_close(PlatformFile* file)
{
    --m_open_files;
    delete file;
}

Result<void> FakePlatform::directory_list(std::string_view path, FileVisitor visit, void* context)
{
    auto& volume_now = current();
    if (volume_now.removed || due(fail_list_in)) {
        return fail(Status::io_error, "{}: the device does not answer", path);
    }
    const std::string normal = normalise(path);
    if (!normal.empty()) {
        const auto found = volume_now.nodes.find(normal);
        if (found == volume_now.nodes.end()) {
            return fail(Status::not_found, "{}: there is no such folder", path);
        }
        if (!found->second.is_directory) {
            return fail(Status::invalid_argument, "{}: is not a folder", path);
        }
    }
    // Backwards: "in no particular order", so that nobody leans on a sorted one.
    for (auto it = volume_now.nodes.rbegin(); it != volume_now.nodes.rend(); ++it) {
        if (parent_of(it->first) == normal) {
            const auto& node = it->second;
            visit(context, {node.name, node.size_bytes(), node.is_directory, node.is_hidden});
        }
    }
    return success();
}

// --- memory and processors ----------------------------------------------------------------------------------------

Result<void*> FakePlatform::pages_alloc(uint64_t bytes)
{
    expect_no_job("pages_alloc");
    const uint64_t rounded = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
    // Best fit: the smallest extent that is large enough.
    size_t best = extents.size();
    for (size_t i = 0; i < extents.size(); ++i) {
        if (extents[i] >= rounded && (best == extents.size() || extents[i] < extents[best])) {
            best = i;
        }
    }
    if (bytes == 0 || due(fail_alloc_in) || best == extents.size()) {
        return fail(Status::out_of_memory, "no {} bytes in one piece", bytes);
    }
    // Exactly `bytes`, not whole pages: the address sanitizer then sees the first byte past the end.
    void* pages = nullptr;
    if (posix_memalign(&pages, bytes >= kBigPageBytes ? kBigPageBytes : kPageBytes, bytes) != 0) {
        return fail(Status::out_of_memory, "the host has no {} bytes", bytes);
    }
    std::memset(pages, 0xA5, bytes); // firmware does not zero pages: what relies on it must fail here
    extents[best] -= rounded;
    m_allocations[pages] = {bytes, best};
    m_pages_in_use += rounded;
    return pages;
}

void FakePlatform::pages_free(void* pages, uint64_t bytes)
{
    expect_no_job("pages_free");
    const auto found = m_allocations.find(pages);
    if (found == m_allocations.end()) {
        ADD_FAILURE() << "pages_free of what was not allocated";
        return;
    }
    EXPECT_EQ(found->second.bytes, bytes) << "pages_free with another size";
    const uint64_t rounded = (found->second.bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
    extents[found->second.extent] += rounded;
    m_pages_in_use -= rounded;
    m_allocations.erase(found);
    std::free(pages);
}

size_t FakePlatform::memory_extents(std::span<uint64_t> sizes_bytes)
{
    std::vector<uint64_t> sorted;
    std::copy_if(extents.begin(), extents.end(), std::back_inserter(sorted), [](uint64_t size) { return size > 0; });
    std::sort(sorted.rbegin(), sorted.rend());
    const size_t count = std::min(sorted.size(), sizes_bytes.size());
    std::copy_n(sorted.begin(), count, sizes_bytes.begin());
    return count;
}

/// What the contract forbids while others work: on a real machine it would go wrong now and then.
void FakePlatform::expect_no_job(std::string_view doing) const
{
    if (m_job.function != nullptr) {
        ADD_FAILURE() << doing << " between parallel_begin and parallel_end";
    }
}

void FakePlatform::do_part()
{
    const size_t part = parallel_reversed ? m_job.parts - 1 - m_job.done : m_job.done;
    ++m_job.done;
    m_job.function(m_job.context, part);
}

void FakePlatform::parallel_begin(ParallelFunction function, void* context, size_t parts)
{
    expect_no_job("a job");
    m_job = {function, context, parts};
    ++jobs_begun;
}

bool FakePlatform::parallel_done()
{
    if (m_job.function == nullptr) {
        return true;
    }
    if (processors > 1 && m_job.done < m_job.parts) {
        ++parts_done_by_others;
        do_part();
    }
    return processors > 1 && m_job.done == m_job.parts;
}

void FakePlatform::parallel_end()
{
    while (m_job.function != nullptr && m_job.done < m_job.parts) {
        do_part();
    }
    m_job = {};
}

void FakePlatform::parallel(ParallelFunction function, void* context, size_t parts)
{
    expect_no_job("a job");
    for (size_t i = 0; i < parts; ++i) {
        function(context, parallel_reversed ? parts - 1 - i : i);
    }
}

} // namespace llmk
