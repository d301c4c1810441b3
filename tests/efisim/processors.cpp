// SPDX-License-Identifier: MIT
#include "processors.h"

#include "machine.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" void llmk_call_on_stack(void (*function)(void*), void* argument, void* top);

namespace llmk::efisim {
namespace {

constexpr size_t kFirmwareStackBytes = 32 * 1024; // EDK2's for the others
constexpr size_t kPage = 4096;
constexpr uint64_t kLookNs = 100'000'000; // EDK2's timer for starts that do not block
constexpr UINTN kEndOfList = 0xffffffff;
constexpr int kInitSignal = SIGUSR1;

void futex_wait(std::atomic<uint32_t>& word, uint32_t seen, uint64_t ns)
{
    const timespec time = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, seen, &time, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t>& word)
{
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

/// A stack with a page below it that nobody may touch; its top.
uint8_t* guarded_stack(size_t bytes)
{
    void* memory = mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) {
        stop(kExitUsage, "no memory for a stack: %s", strerror(errno));
    }
    return static_cast<uint8_t*>(memory) + kPage + bytes;
}

/// Processors of this machine that the process may use, in order.
std::vector<int> host_processors()
{
    cpu_set_t allowed;
    std::vector<int> numbers;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    for (int i = 0; i < CPU_SETSIZE; ++i) {
        if (CPU_ISSET(i, &allowed)) {
            numbers.push_back(i);
        }
    }
    return numbers;
}

void stay_on(pthread_t thread, int number)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(number, &one);
    pthread_setaffinity_np(thread, sizeof(one), &one);
}

} // namespace

struct Processors::Processor {
    unsigned number = 0;
    pthread_t thread = {};
    Registers registers;
    bool enabled = true;
    uint8_t* firmware_stack = nullptr;
    uint64_t loop_stack = 0;          ///< where rest() starts anew after an INIT
    std::atomic<uint32_t> command{0}; ///< counts starts
    uint32_t handled = 0;             ///< of those
    std::atomic<uint32_t> working{0};
    bool is_deaf = false; ///< to the start in hand
    uefi::ApProcedure procedure = nullptr;
    void* argument = nullptr;
};

Processors::Processors() = default;
Processors::~Processors() = default;

void Processors::on_init(int, siginfo_t*, void* context)
{
    // The thread whose it is: the handler runs on it.
    for (const auto& processor : machine().processors.m_processors) {
        if (processor->number == Cpu::number()) {
            auto& general = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
            general[REG_RIP] = static_cast<long long>(reinterpret_cast<uintptr_t>(&Processors::rest));
            general[REG_RDI] = static_cast<long long>(reinterpret_cast<uintptr_t>(processor.get()));
            general[REG_RSP] = static_cast<long long>(processor->loop_stack);
            // It may have been within a handler, for which signals wait.
            sigemptyset(&static_cast<ucontext_t*>(context)->uc_sigmask);
            processor->working.store(0);
            return;
        }
    }
}

void* Processors::main(void* of)
{
    auto& processor = *static_cast<Processor*>(of);
    Cpu::become(processor.number, processor.registers);
    // As behind a call, and below what is in use.
    processor.loop_stack = reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) / 16 * 16 - 4096 - 8;
    rest(&processor);
}

/// Waits for starts. Entered anew, with the stack as it was, after an INIT.
void Processors::rest(Processor* processor)
{
    while (true) {
        if (processor->command.load() == processor->handled) {
            futex_wait(processor->command, processor->handled, 1'000'000'000);
            continue;
        }
        ++processor->handled;
        if (processor->is_deaf) {
            continue;
        }
        processor->registers = {};
        processor->registers.cr4 = 0x660; // EDK2's for all but the BSP
        llmk_call_on_stack(run, processor, processor->firmware_stack);
        processor->working.store(0);
        futex_wake(processor->working);
    }
}

void Processors::run(void* of)
{
    const auto& processor = *static_cast<Processor*>(of);
    processor.procedure(processor.argument);
}

void Processors::start(Processor& processor, uefi::ApProcedure procedure, void* argument)
{
    const ProcessorFaults& faults = machine().options.faults;
    processor.is_deaf = faults.deaf != 0 && faults.deaf == processor.number && m_starts >= faults.deaf_from;
    processor.procedure = procedure;
    processor.argument = argument;
    processor.working.store(1);
    processor.command.fetch_add(1);
    futex_wake(processor.command);
}

bool Processors::wait(Processor& processor, uint64_t until_ns)
{
    while (processor.working.load() != 0) {
        const uint64_t now = now_ns();
        if (now >= until_ns) {
            return false;
        }
        futex_wait(processor.working, 1, std::min<uint64_t>(until_ns - now, 100'000'000));
    }
    return true;
}

void Processors::reset(Processor& processor)
{
    if (processor.is_deaf) {
        processor.working.store(0);
        return;
    }
    pthread_kill(processor.thread, kInitSignal);
    wait(processor, ~uint64_t{0});
}

/// Counts the start, and says whether the firmware refuses it.
bool Processors::refused()
{
    const ProcessorFaults& faults = machine().options.faults;
    ++m_starts;
    if (faults.dead_at_probe) {
        while (true) {
            sleep_ns(1'000'000'000); // the machine hangs
        }
    }
    return faults.busy_from != 0 && m_starts >= faults.busy_from && m_starts <= faults.busy_to;
}

EFI_STATUS Processors::start_all(uefi::ApProcedure procedure, Event* event, uint64_t timeout_us, void* argument,
                                 UINTN** failed)
{
    look();
    if (refused() || m_out) {
        return EFI_NOT_READY;
    }
    std::vector<Processor*> started;
    for (const auto& processor : m_processors) {
        if (processor->number != 0 && processor->enabled) {
            start(*processor, procedure, argument);
            started.push_back(processor.get());
        }
    }
    if (started.empty()) {
        return EFI_NOT_STARTED;
    }
    if (event != nullptr) {
        m_event = event;
        m_out = true;
        m_next_look_ns = now_ns() + kLookNs;
        return EFI_SUCCESS;
    }
    const uint64_t until = timeout_us == 0 ? ~uint64_t{0} : now_ns() + timeout_us * 1000;
    std::vector<UINTN> late;
    for (Processor* processor : started) {
        if (!wait(*processor, until)) {
            late.push_back(processor->number);
            reset(*processor);
        }
    }
    if (late.empty()) {
        return EFI_SUCCESS;
    }
    if (failed != nullptr) {
        late.push_back(kEndOfList);
        *failed = static_cast<UINTN*>(machine().pool_allocate(late.size() * sizeof(UINTN)));
        memcpy(*failed, late.data(), late.size() * sizeof(UINTN));
    }
    return EFI_TIMEOUT;
}

EFI_STATUS Processors::start_one(uefi::ApProcedure procedure, UINTN number, uint64_t timeout_us, void* argument)
{
    if (number >= m_processors.size()) {
        return EFI_NOT_FOUND;
    }
    Processor& processor = *m_processors[number];
    if (number == 0 || !processor.enabled) {
        return EFI_INVALID_PARAMETER;
    }
    if (processor.working.load() != 0) {
        stop(kExitFault, "StartupThisAP of processor %zu while it works: firmware would reset it", size_t{number});
    }
    if (refused()) {
        return EFI_NOT_READY;
    }
    start(processor, procedure, argument);
    if (!wait(processor, timeout_us == 0 ? ~uint64_t{0} : now_ns() + timeout_us * 1000)) {
        reset(processor);
        return EFI_TIMEOUT;
    }
    return EFI_SUCCESS;
}

void Processors::look()
{
    if (!m_out || now_ns() < m_next_look_ns) {
        return;
    }
    m_next_look_ns += (now_ns() - m_next_look_ns) / kLookNs * kLookNs + kLookNs;
    if (working() == 0) {
        m_out = false;
        m_event->signalled = true;
    }
}

unsigned Processors::working() const
{
    unsigned count = 0;
    for (const auto& processor : m_processors) {
        count += processor->working.load();
    }
    return count;
}

EFI_STATUS Processors::enable(UINTN number, bool on)
{
    if (number >= m_processors.size()) {
        return EFI_NOT_FOUND;
    }
    if (number == 0) {
        return EFI_INVALID_PARAMETER;
    }
    m_processors[number]->enabled = on;
    return EFI_SUCCESS;
}

EFI_STATUS Processors::count(UINTN& total, UINTN& enabled) const
{
    total = m_processors.size();
    enabled = 0;
    for (const auto& processor : m_processors) {
        enabled += processor->enabled;
    }
    return EFI_SUCCESS;
}

EFI_STATUS Processors::describe(UINTN number, uefi::ProcessorInformation& information) const
{
    if (number >= m_processors.size()) {
        return EFI_NOT_FOUND;
    }
    const Processor& processor = *m_processors[number];
    using Information = uefi::ProcessorInformation;
    information.id = number;
    information.flags = Information::kHealthy | (number == 0 ? Information::kIsBsp : 0) |
                        (processor.enabled ? Information::kEnabled : 0);
    information.package = 0;
    information.core = static_cast<UINT32>(number);
    information.thread = 0;
    return EFI_SUCCESS;
}

void Processors::create(unsigned count)
{
    const std::vector<int> host = host_processors();
    // Each on one of its own, as CPUID tells about the processor it runs on. More than there are share them all.
    const bool pinned = count > 1 && count <= host.size();
    for (unsigned number = 0; number < count; ++number) {
        m_processors.push_back(std::make_unique<Processor>());
        m_processors.back()->number = number;
    }
    struct sigaction init = {};
    init.sa_sigaction = on_init;
    init.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(kInitSignal, &init, nullptr);
    for (const auto& processor : m_processors) {
        if (processor->number == 0) {
            processor->thread = pthread_self();
            Cpu::become(0, processor->registers);
        } else {
            processor->firmware_stack = guarded_stack(kFirmwareStackBytes);
            if (pthread_create(&processor->thread, nullptr, main, processor.get()) != 0) {
                stop(kExitUsage, "no thread for processor %u: %s", processor->number, strerror(errno));
            }
        }
        if (pinned) {
            stay_on(processor->thread, host[processor->number]);
        }
    }
}

} // namespace llmk::efisim
