// SPDX-License-Identifier: MIT
//
// From a fault to its answer: a privileged instruction is emulated, anything else is reported as firmware would, and
// ends the run.
#include "cpu.h"
#include "image.h"

#include <csignal>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>

namespace llmk::efisim {
namespace {

constexpr size_t kSignalStackBytes = 128 * 1024; // the frame alone has some 12 KiB of vector registers

const Image* g_image = nullptr;

const char* exception_name(int signal, const siginfo_t& info)
{
    switch (signal) {
    case SIGILL:
        return "#UD";
    case SIGFPE:
        return "#DE";
    case SIGBUS:
        return "#AC";
    case SIGTRAP:
        return "#BP";
    default:
        return info.si_code == SI_KERNEL ? "#GP" : "#PF";
    }
}

[[noreturn]] void report(int signal, const siginfo_t& info, const ucontext_t& context)
{
    const auto rip = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]);
    char where[160];
    if (g_image != nullptr && g_image->holds(rip)) {
        const auto* at = reinterpret_cast<const uint8_t*>(rip);
        snprintf(where, sizeof(where), "the program at +0x%llx, bytes %02x %02x %02x %02x %02x %02x",
                 static_cast<unsigned long long>(rip - g_image->base()), at[0], at[1], at[2], at[3], at[4], at[5]);
    } else {
        snprintf(where, sizeof(where), "0x%llx, outside the program", static_cast<unsigned long long>(rip));
    }
    stop(kExitFault, "%s on processor %u in %s; address 0x%llx, stack 0x%llx", exception_name(signal, info),
         Cpu::number(), where, static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(info.si_addr)),
         static_cast<unsigned long long>(context.uc_mcontext.gregs[REG_RSP]));
}

void on_fault(int signal, siginfo_t* info, void* context)
{
    auto& state = *static_cast<ucontext_t*>(context);
    const auto rip = static_cast<uint64_t>(state.uc_mcontext.gregs[REG_RIP]);
    // A #GP has no address; a page fault does, and no instruction of ours is answered for one.
    const bool maybe_privileged = signal == SIGILL || (signal == SIGSEGV && info->si_code == SI_KERNEL);
    if (maybe_privileged && g_image != nullptr && g_image->holds(rip) && emulate(state)) {
        return;
    }
    report(signal, *info, state);
}

void on_end(int) { leave(kExitLeft); }

} // namespace

void Cpu::install(const Image& image)
{
    g_image = &image;
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (const int signal : {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP}) {
        sigaction(signal, &action, nullptr);
    }
    struct sigaction end = {};
    end.sa_handler = on_end;
    end.sa_flags = SA_ONSTACK;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaction(signal, &end, nullptr);
    }
}

/// Handlers cannot run on the program's stacks: an overflow there is one of the faults.
void use_signal_stack()
{
    void* memory = mmap(nullptr, kSignalStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const stack_t stack = {.ss_sp = memory, .ss_flags = 0, .ss_size = kSignalStackBytes};
    if (memory == MAP_FAILED || sigaltstack(&stack, nullptr) != 0) {
        stop(kExitUsage, "no stack for signal handlers: %s", strerror(errno));
    }
}

} // namespace llmk::efisim
