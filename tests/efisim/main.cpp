// SPDX-License-Identifier: MIT
//
// Power-on: makes the machine, loads the program, starts it as a boot manager does and looks at what it left behind.
#include "machine.h"
#include "symbols.h"

#include <cerrno>
#include <condition_variable>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

extern "C" void llmk_call_on_stack(void (*function)(void*), void* argument, void* top);

namespace llmk::efisim {
namespace {

constexpr size_t kStackBytes = 128 * 1024; // EDK2's for the BSP
constexpr EFI_GUID kLoadedImage = EFI_LOADED_IMAGE_PROTOCOL_GUID;

/// Fires when nobody has moved it by then.
class Deadline {
public:
    Deadline(ExitStatus status, const char* why) : m_status(status), m_why(why) {}

    /// 0: never.
    void set(uint64_t due_ns)
    {
        const std::lock_guard lock(m_mutex);
        m_due_ns = due_ns;
        if (due_ns != 0 && !m_started) {
            m_started = true;
            std::thread([this] { watch(); }).detach();
        }
        m_changed.notify_all();
    }

private:
    void watch()
    {
        std::unique_lock lock(m_mutex);
        while (true) {
            const uint64_t now = now_ns();
            if (m_due_ns != 0 && now >= m_due_ns) {
                stop(m_status, "%s", m_why);
            }
            if (m_due_ns == 0) {
                m_changed.wait(lock);
            } else {
                m_changed.wait_for(lock, std::chrono::nanoseconds(m_due_ns - now));
            }
        }
    }

    ExitStatus m_status;
    const char* m_why;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    uint64_t m_due_ns = 0;
    bool m_started = false;
};

Deadline& watchdog()
{
    static Deadline deadline(kExitWatchdog, "the firmware's watchdog has reset the machine");
    return deadline;
}

Deadline& time_limit()
{
    static Deadline deadline(kExitTimeout, "the time is up");
    return deadline;
}

struct Start {
    EFI_SYSTEM_TABLE system = {};
    EFI_BOOT_SERVICES boot = {};
    EFI_RUNTIME_SERVICES runtime = {};
    EFI_LOADED_IMAGE loaded = {};
    EFI_HANDLE image = nullptr;
    EFI_STATUS status = EFI_SUCCESS;
};

void enter(void* of)
{
    auto& start = *static_cast<Start*>(of);
    start.status = machine().image.entry()(start.image, &start.system);
}

void* firmware_stack()
{
    void* memory =
        mmap(nullptr, kStackBytes + EFI_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, EFI_PAGE_SIZE, PROT_NONE) != 0) {
        stop(kExitUsage, "no memory for a stack: %s", strerror(errno));
    }
    return static_cast<char*>(memory) + EFI_PAGE_SIZE + kStackBytes;
}

/// What firmware would trip over later, or never get back.
bool left_behind(size_t firmware_events)
{
    Machine& all = machine();
    const uint64_t pages = all.memory.pages_of(EfiLoaderData);
    const size_t events = all.events.count() - firmware_events;
    const bool any =
        pages != 0 || !all.pool.empty() || events != 0 || all.open_files != 0 || all.processors.working() != 0;
    if (any) {
        note("the program left behind: %llu pages, %zu pool buffers, %zu events, %u open files, %u processors at work",
             static_cast<unsigned long long>(pages), all.pool.size(), events, all.open_files, all.processors.working());
    }
    return any;
}

int run(int argc, char** argv)
{
    Machine& all = machine();
    all.options = parse_options(argc, argv);
    all.memory.create(all.options.memory_bytes);
    all.image.load(all.options.efi, all.memory, all.options.random_base);
    if (!all.options.symbols.empty()) {
        announce_symbols(all.options.symbols, all.image.base());
    }
    if (!Cpu::get_tiles()) {
        all.options.cpuid.emplace_back("7.0.edx-0x3400000"); // AMX-TILE, AMX-INT8 and AMX-BF16
    }
    Cpu::change_cpuid(all.options.cpuid, all.image, all.options.symbols);

    static Start start; // not on a stack: a fault report wants the stacks as they are
    start.system.Hdr.Signature = EFI_SYSTEM_TABLE_SIGNATURE;
    start.system.Hdr.HeaderSize = sizeof(start.system);
    start.system.BootServices = &start.boot;
    start.system.RuntimeServices = &start.runtime;
    install_boot_services(start.boot);
    install_runtime_services(start.runtime);
    install_acpi(start.system);
    start.loaded.SystemTable = &start.system;
    start.loaded.DeviceHandle = install_volumes();
    start.loaded.ImageBase = reinterpret_cast<void*>(all.image.base());
    start.loaded.ImageSize = all.image.size();
    Handle& image = all.add_handle();
    image.protocols.push_back({kLoadedImage, &start.loaded});
    start.image = &image;
    install_processors();

    if (all.options.timeout_s > 0) {
        limit_time(all.options.timeout_s);
    }
    all.processors.create(all.options.processors);
    Cpu::install(all.image);
    all.terminal.open();
    install_console(start.system);
    const size_t firmware_events = all.events.count();
    set_watchdog(all.options.watchdog_s);
    llmk_call_on_stack(enter, &start, firmware_stack());

    const bool bad = left_behind(firmware_events);
    if (EFI_ERROR(start.status)) {
        stop(kExitFailed, "the program returned error 0x%llx", static_cast<unsigned long long>(start.status & 0xff));
    }
    leave(bad ? kExitFailed : kExitDone);
}

} // namespace

void set_watchdog(uint64_t seconds) { watchdog().set(seconds == 0 ? 0 : now_ns() + seconds * 1'000'000'000); }

void limit_time(double seconds) { time_limit().set(now_ns() + static_cast<uint64_t>(seconds * 1e9)); }

Machine& machine()
{
    static Machine one;
    return one;
}

void leave(ExitStatus status)
{
    machine().terminal.restore();
    _exit(status);
}

void note(const char* format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "\r\nefisim: %s\r\n", text); // the terminal may be raw
}

void stop(ExitStatus status, const char* format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    machine().terminal.restore();
    fprintf(stderr, "efisim: %s\n", text);
    _exit(status);
}

uint64_t now_ns()
{
    timespec time = {};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

void sleep_ns(uint64_t ns)
{
    const timespec time = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    nanosleep(&time, nullptr);
}

} // namespace llmk::efisim

int main(int argc, char** argv) { return llmk::efisim::run(argc, argv); }
