// SPDX-License-Identifier: MIT
//
// What the engine can tell about itself, as lines: for the screen (/zones, /cpu, /model, /log) and for the files
// llmk-log.txt and llmk-dump.txt, which hold the same.
#pragma once

#include "engine/engine.h"

namespace llmk {

/// Takes lines without newline.
class LineSink {
public:
    virtual void line(std::string_view text) = 0;
    template <class... Args>
    requires(sizeof...(Args) > 0) void line(std::string_view pattern, const Args&... args)
    {
        line(std::string_view(Text<400>(pattern, args...)));
    }

protected:
    ~LineSink() = default;
};

/// Lines to a file, created or emptied at once. Errors are kept until close().
class FileSink final : public LineSink {
public:
    FileSink(Platform& platform, std::string_view path);
    ~FileSink() { (void)close().ok(); }
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;
    using LineSink::line;
    void line(std::string_view text) override;
    /// Writes what is left and flushes; the first error of all.
    Result<void> close();

private:
    void write_out();
    Platform& m_platform;
    PlatformFile* m_file = nullptr;
    std::optional<Error> m_error;
    Text<4096> m_buffer;
};

inline constexpr std::string_view kLogPath = "llmk-log.txt";
inline constexpr std::string_view kDumpPath = "llmk-dump.txt";

/// The template that a file asks for, or the one in force.
void report_template(const TemplateFamily& family, TemplateOrigin origin, LineSink& out);
void report_vocabulary(const ModelDesc& desc, LineSink& out);
void report_model(const ModelDesc& desc, const MemoryPlan& plan, LineSink& out);
void report_cpu(Engine& engine, LineSink& out);
void report_kernels(Engine& engine, LineSink& out);
void report_zones(Engine& engine, LineSink& out);
void report_budgets(Engine& engine, LineSink& out);
/// The newest `most` records, the oldest of them first.
void report_log(Engine& engine, size_t most, LineSink& out);

/// " drafted=N accepted=N" behind [stats], when something was drafted.
void put_lookups(TextWriter& out, const Session::LookupCount& lookups);

/// kDumpPath: why, and all of the above.
Result<void> save_dump(Engine& engine, std::string_view why);
/// kLogPath: every record there is.
Result<void> save_log(Engine& engine);

} // namespace llmk
