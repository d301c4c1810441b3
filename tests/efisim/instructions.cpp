// SPDX-License-Identifier: MIT
//
// The instructions of ring 0 that the program uses. Intel SDM vol. 2: each by its encoding.
#include "cpu.h"

#include <cstring>
#include <x86intrin.h>

namespace llmk::efisim {
namespace {

constexpr uint32_t kMsrMperf = 0xe7;
constexpr uint32_t kMsrAperf = 0xe8;
constexpr uint32_t kMsrThermalStatus = 0x19c;
constexpr uint32_t kMsrTemperatureTarget = 0x1a2;
constexpr uint32_t kMsrXfd = 0x1c4;
constexpr uint32_t kXsaveBit = 1 << 26;   // CPUID.1:ECX
constexpr uint32_t kOsxsaveBit = 1 << 27; // mirrors CR4.OSXSAVE
/// MWAIT ends by an interrupt after this, if not by a write.
constexpr uint64_t kMwaitNs = 2'000'000;
constexpr uint64_t kNapNs = 20'000;

thread_local unsigned t_number = 0;
thread_local Registers* t_registers = nullptr;

/// Register numbers of ModRM, with REX.B or REX.R as bit 3.
long long& register_at(ucontext_t& context, unsigned number)
{
    constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return context.uc_mcontext.gregs[kOrder[number]];
}

uint32_t low(long long value) { return static_cast<uint32_t>(value); }

void set_pair(ucontext_t& context, uint64_t value)
{
    context.uc_mcontext.gregs[REG_RAX] = static_cast<uint32_t>(value);
    context.uc_mcontext.gregs[REG_RDX] = static_cast<uint32_t>(value >> 32);
}

/// MOV between a general register and CR0 or CR4.
bool move_control(ucontext_t& context, uint8_t opcode, uint8_t rex, uint8_t modrm)
{
    uint64_t* control = nullptr;
    switch ((modrm >> 3 & 7) | (rex & 4) << 1) {
    case 0:
        control = &t_registers->cr0;
        break;
    case 4:
        control = &t_registers->cr4;
        break;
    default:
        return false;
    }
    long long& general = register_at(context, (modrm & 7u) | (rex & 1u) << 3);
    if (opcode == 0x20) {
        general = static_cast<long long>(*control);
    } else {
        *control = static_cast<uint64_t>(general);
    }
    return true;
}

bool read_msr(ucontext_t& context)
{
    const bool counts = (Cpu::cpuid(6, 0).c & 1) != 0;
    const bool measures = (Cpu::cpuid(6, 0).a & 1) != 0;
    const uint64_t tsc = __rdtsc();
    switch (low(context.uc_mcontext.gregs[REG_RCX])) {
    case kMsrMperf:
        set_pair(context, tsc);
        return counts;
    case kMsrAperf:
        set_pair(context, tsc + tsc / 4); // a turbo of a quarter
        return counts;
    case kMsrThermalStatus:
        set_pair(context, 1u << 31 | 45 << 16); // valid, 45 degrees below the target
        return measures;
    case kMsrTemperatureTarget:
        set_pair(context, 100 << 16);
        return measures;
    default:
        return false; // as a processor without it: #GP
    }
}

/// IA32_XFD, where there is one, may be cleared: Linux has the real one.
bool write_msr(const ucontext_t& context)
{
    const auto& general = context.uc_mcontext.gregs;
    return low(general[REG_RCX]) == kMsrXfd && low(general[REG_RAX]) == 0 && low(general[REG_RDX]) == 0 &&
           (Cpu::cpuid(0x0d, 1).a & 0x10) != 0;
}

/// Intel SDM vol. 1 13.3: YMM needs XMM, AVX-512's three states need YMM and each other, AMX's two each other.
bool is_allowed_xcr0(uint64_t value)
{
    const auto whole = [value](uint64_t states) { return (value & states) == 0 || (value & states) == states; };
    const bool avx = (value & 4) != 0;
    return (value & 1) != 0 && (!avx || (value & 2) != 0) && whole(0xe0) && ((value & 0xe0) == 0 || avx) &&
           whole(0x60000);
}

bool set_xcr0(const ucontext_t& context)
{
    const auto& general = context.uc_mcontext.gregs;
    const uint64_t value = uint64_t{low(general[REG_RDX])} << 32 | low(general[REG_RAX]);
    const CpuidAnswer possible = Cpu::cpuid(0x0d, 0);
    const uint64_t mask = uint64_t{possible.d} << 32 | possible.a;
    const bool on = (t_registers->cr4 & kCr4Osxsave) != 0;
    if (!on || low(general[REG_RCX]) != 0 || !is_allowed_xcr0(value) || (value & ~mask) != 0) {
        return false;
    }
    t_registers->xcr0 = value;
    return true;
}

bool read_port(ucontext_t& context)
{
    if (low(context.uc_mcontext.gregs[REG_RDX]) % 0x10000 != kPmTimerPort) {
        return false;
    }
    const auto ticks = static_cast<unsigned __int128>(now_ns()) * kPmTimerFrequency / 1'000'000'000;
    context.uc_mcontext.gregs[REG_RAX] = static_cast<uint32_t>(ticks);
    return true;
}

/// Until another processor writes to the monitored place, or something interrupts.
void wait_for_write()
{
    const volatile uint64_t* monitored = t_registers->monitored;
    if (monitored == nullptr) {
        return;
    }
    const uint64_t before = *monitored;
    for (uint64_t end = now_ns() + kMwaitNs; *monitored == before && now_ns() < end;) {
        sleep_ns(kNapNs);
    }
    t_registers->monitored = nullptr;
}

/// Two-byte opcodes, at `code` behind the 0f.
size_t emulate_0f(ucontext_t& context, uint8_t rex, const uint8_t* code)
{
    auto& general = context.uc_mcontext.gregs;
    switch (code[0]) {
    case 0x20:
    case 0x22:
        return move_control(context, code[0], rex, code[1]) ? 2 : 0;
    case 0x30:
        return write_msr(context) ? 1 : 0;
    case 0x32:
        return read_msr(context) ? 1 : 0;
    case 0x0b: { // where Cpu::change_cpuid has put it in CPUID's place
        CpuidAnswer answer = Cpu::cpuid(low(general[REG_RAX]), low(general[REG_RCX]));
        if (low(general[REG_RAX]) == 1) {
            const bool on = (t_registers->cr4 & kCr4Osxsave) != 0 && (answer.c & kXsaveBit) != 0;
            answer.c = on ? answer.c | kOsxsaveBit : answer.c & ~kOsxsaveBit;
        }
        general[REG_RAX] = answer.a;
        general[REG_RBX] = answer.b;
        general[REG_RCX] = answer.c;
        general[REG_RDX] = answer.d;
        return 1;
    }
    case 0x01:
        if (code[1] == 0xd1) {
            return set_xcr0(context) ? 2 : 0;
        }
        if (code[1] == 0xc8) {
            t_registers->monitored = reinterpret_cast<const volatile uint64_t*>(general[REG_RAX]);
            return 2;
        }
        if (code[1] == 0xc9) {
            wait_for_write();
            return 2;
        }
        return 0;
    default:
        return 0;
    }
}

} // namespace

void Cpu::become(unsigned number, Registers& registers)
{
    t_number = number;
    t_registers = &registers;
    use_signal_stack();
}

unsigned Cpu::number() { return t_number; }

bool emulate(ucontext_t& context)
{
    auto& rip = context.uc_mcontext.gregs[REG_RIP];
    const auto* code = reinterpret_cast<const uint8_t*>(rip);
    const uint8_t* at = code;
    uint8_t rex = 0;
    if ((*at & 0xf0) == 0x40) {
        rex = *at++;
    }
    size_t length = 0;
    if (at[0] == 0x0f) {
        if (at[1] == 0x0b && !is_cpuid_site(static_cast<uint64_t>(rip))) {
            return false;
        }
        length = emulate_0f(context, rex, at + 1);
    } else if (at[0] == 0xed) {
        return read_port(context) && (rip += at + 1 - code, true);
    }
    if (length == 0) {
        return false;
    }
    rip += static_cast<long long>(at + 1 - code) + static_cast<long long>(length);
    return true;
}

} // namespace llmk::efisim
