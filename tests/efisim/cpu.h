// SPDX-License-Identifier: MIT
//
// A processor in ring 0, as far as the program asks for it: its code runs natively, and what only ring 0 may do faults
// here and is answered by the trap handler. Decoded is what our binary contains; on anything else the run ends with the
// address and the bytes.
#pragma once

#include "efisim.h"

#include <csignal>
#include <sys/ucontext.h>

namespace llmk::efisim {

class Image;

constexpr uint64_t kCr4Osxsave = uint64_t{1} << 18;
constexpr uint16_t kPmTimerPort = 0x608; // where OVMF has it
constexpr uint64_t kPmTimerFrequency = 3'579'545;

/// What the firmware leaves in a processor: SSE on, no more (EDK2).
struct Registers {
    uint64_t cr0 = 0x80010033;
    uint64_t cr4 = 0x668;
    uint64_t xcr0 = 1;
    const volatile uint64_t* monitored = nullptr; ///< by MONITOR
};

struct CpuidAnswer {
    uint32_t a, b, c, d;
};

class Cpu {
public:
    /// The calling thread is processor `number` from now on, with `registers`, which live as long as it does.
    static void become(unsigned number, Registers& registers);
    static unsigned number();

    /// Handlers for the process. `image` is where instructions are answered; elsewhere they are bugs of ours.
    static void install(const Image& image);

    /// What CPUID tells the calling processor: this machine's answer, changed as `--cpuid` says.
    static CpuidAnswer cpuid(uint32_t leaf, uint32_t subleaf);
    /// Lets the program see `changes`: puts traps where CPUID is in the image, found by objdump in `symbols`.
    static void change_cpuid(const std::vector<std::string>& changes, Image& image, const std::string& symbols);

    /// Asks Linux for AMX's tiles, which it gives to processes that have asked. False where they are there and it
    /// refuses: the program must not see them then.
    static bool get_tiles();
};

/// The calling thread takes its signals on a stack of their own.
void use_signal_stack();

/// True where change_cpuid has put a trap.
bool is_cpuid_site(uint64_t address);

/// Answers the instruction at `context`'s RIP and steps over it; false when it is none of those known.
bool emulate(ucontext_t& context);

} // namespace llmk::efisim
