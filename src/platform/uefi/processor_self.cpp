// SPDX-License-Identifier: MIT
#include "platform/uefi/processor_self.h"

#include "cpu/features.h"

#include <cpuid.h>

namespace llmk::uefi {
namespace {

constexpr uint32_t kMxcsr = 0x1f80; // as crt0.S

struct Registers {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};

/// One leaf; all zero where the processor does not have it.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0)
{
    Registers r;
    if (__get_cpuid_max(0, nullptr) < leaf) {
        return r;
    }
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    return r;
}

bool bit(uint32_t value, unsigned position) { return ((value >> position) & 1u) != 0; }

// Intel SDM vol. 2A, CPUID leaf 0Bh (AMD has it too): each level tells how far to shift the APIC id for the next.
constexpr uint32_t kTopologyLeaf = 0x0b;

// Intel SDM vol. 3B 15.2 and 15.8, vol. 4; AMD64 APM vol. 2 17.3 for the first two.
constexpr uint32_t kMsrMperf = 0xe7;
constexpr uint32_t kMsrAperf = 0xe8;
constexpr uint32_t kMsrThermalStatus = 0x19c;
constexpr uint32_t kMsrTemperatureTarget = 0x1a2;

uint64_t read_msr(uint32_t number)
{
    uint32_t low = 0;
    uint32_t high = 0;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return uint64_t{high} << 32 | low;
}

bool may_read_msrs() { return !bit(cpuid(1).c, 31); }

bool counts_clocks() { return may_read_msrs() && bit(cpuid(6).c, 0); }

/// Intel's only: AMD tells the temperature over a bus of its own.
bool knows_temperature()
{
    const Registers vendor = cpuid(0);
    const bool is_intel = vendor.b == 0x756e6547 && vendor.d == 0x49656e69 && vendor.c == 0x6c65746e; // GenuineIntel
    return may_read_msrs() && is_intel && bit(cpuid(6).a, 0);
}

} // namespace

void prepare_processor()
{
    enable_avx();
    asm volatile("ldmxcsr %0" : : "m"(kMxcsr));
}

bool is_first_thread()
{
    const Registers threads = cpuid(kTopologyLeaf, 0);
    return threads.b == 0 || (threads.d & ((1u << (threads.a & 0x1f)) - 1)) == 0;
}

bool has_monitor() { return bit(cpuid(1).c, 3); }

void read_place(ProcessorState& state)
{
    const Registers threads = cpuid(kTopologyLeaf, 0);
    const Registers cores = cpuid(kTopologyLeaf, 1);
    const unsigned thread_bits = threads.a & 0x1f;
    const unsigned package_bits = cores.a & 0x1f;
    if (threads.b != 0 && package_bits >= thread_bits) {
        state.thread = threads.d & ((1u << thread_bits) - 1);
        state.core = (threads.d & ((1u << package_bits) - 1)) >> thread_bits;
        state.package = threads.d >> package_bits;
    }
    // Intel SDM vol. 2A, leaf 1Ah, where leaf 7 says that cores differ.
    if (bit(cpuid(7).d, 15)) {
        constexpr uint32_t kEfficient = 0x20;
        state.kind = cpuid(0x1a).a >> 24 == kEfficient ? CoreKind::efficient : CoreKind::fast;
    }
}

void ProcessorMeter::begin()
{
    if (counts_clocks()) {
        m_maximum = read_msr(kMsrMperf);
        m_actual = read_msr(kMsrAperf);
    }
}

void ProcessorMeter::end(uint64_t ticks_per_second, ProcessorState& state) const
{
    if (counts_clocks()) {
        const uint64_t maximum = read_msr(kMsrMperf) - m_maximum;
        const uint64_t actual = read_msr(kMsrAperf) - m_actual;
        if (maximum != 0) {
            state.clock_mhz = static_cast<uint32_t>(ticks_per_second / 1'000'000 * actual / maximum);
        }
    }
    if (knows_temperature()) {
        const uint64_t status = read_msr(kMsrThermalStatus);
        const auto target = static_cast<int32_t>(read_msr(kMsrTemperatureTarget) >> 16 & 0xff);
        if ((status >> 31 & 1) != 0 && target != 0) {
            state.celsius = target - static_cast<int32_t>(status >> 16 & 0x7f);
        }
    }
}

} // namespace llmk::uefi

namespace llmk {

/// There is nobody to ask: the tiles' state is on (enable_avx), and nothing takes a processor from our code.
bool may_use_tiles() { return true; }

} // namespace llmk
