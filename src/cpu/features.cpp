// SPDX-License-Identifier: MIT
//
// CPUID and XCR0, read with instructions; no firmware. Leaf numbers and bits: Intel SDM vol. 2A "CPUID", AMD64 APM
// vol. 3 appendix E.
#include "cpu/features.h"

#include "kernels/djiblas.h"

#include <cpuid.h>

namespace llmk {

namespace {

struct Registers {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};

/// One leaf; all zero where the processor does not have it (Intel's would answer with another leaf's data).
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0)
{
    Registers r;
    __cpuid(leaf & 0x80000000u, r.a, r.b, r.c, r.d);
    if (r.a < leaf) {
        return {};
    }
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    return r;
}

bool bit(uint32_t value, unsigned position) { return ((value >> position) & 1u) != 0; }

constexpr uint32_t kXsaveBit = 26;   // CPUID.1:ECX
constexpr uint32_t kOsxsaveBit = 27; // CPUID.1:ECX, mirrors CR4.OSXSAVE
constexpr uint32_t kAvxBit = 28;     // CPUID.1:ECX
constexpr uint64_t kXcr0Avx = 0x7;   // x87, SSE and YMM state; x87 can never be off
constexpr uint64_t kCr4Osxsave = uint64_t{1} << 18;

/// Faults unless CR4.OSXSAVE is set.
uint64_t read_xcr0()
{
    uint32_t low = 0;
    uint32_t high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
}

/// Characters of a register as CPUID packs them: lowest byte first, zeros after the end.
template <size_t N> void put_packed(Text<N>& out, uint32_t value)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        const char c = static_cast<char>(value >> shift & 0xff);
        if (c != '\0') {
            out.put(c);
        }
    }
}

void read_names(CpuFeatures& cpu)
{
    const Registers vendor = cpuid(0);
    put_packed(cpu.vendor, vendor.b);
    put_packed(cpu.vendor, vendor.d);
    put_packed(cpu.vendor, vendor.c);

    Text<64> brand;
    for (uint32_t leaf = 0x80000002u; leaf <= 0x80000004u; leaf++) {
        const Registers r = cpuid(leaf);
        for (const uint32_t value : {r.a, r.b, r.c, r.d}) {
            put_packed(brand, value);
        }
    }
    // Padded with blanks, on the left (old Intel) or on the right (AMD).
    cpu.brand = trim(brand.view());
    if (cpu.brand.size() == 0) {
        cpu.brand = cpu.vendor.view();
    }
}

/// The extended fields count only where the base field says so.
void read_version(CpuFeatures& cpu, uint32_t signature)
{
    cpu.stepping = signature & 0xf;
    cpu.model = signature >> 4 & 0xf;
    cpu.family = signature >> 8 & 0xf;
    if (cpu.family == 0x6 || cpu.family == 0xf) {
        cpu.model |= (signature >> 16 & 0xf) << 4;
    }
    if (cpu.family == 0xf) {
        cpu.family += signature >> 20 & 0xff;
    }
}

/// Hypervisors sign leaf 0x40000000, which lies outside the ranges that cpuid() knows; asked only when one is there.
bool is_tcg()
{
    Registers r = {};
    __cpuid(0x40000000u, r.a, r.b, r.c, r.d);
    return r.b == 0x54474354u && r.c == 0x43544743u && r.d == 0x47435447u; // "TCGTCGTCGTCG"
}

} // namespace

CpuFeatures detect_cpu()
{
    CpuFeatures cpu;
    read_names(cpu);

    const Registers basic = cpuid(1);
    read_version(cpu, basic.a);
    cpu.sse3 = bit(basic.c, 0);
    cpu.ssse3 = bit(basic.c, 9);
    cpu.fma = bit(basic.c, 12);
    cpu.sse41 = bit(basic.c, 19);
    cpu.sse42 = bit(basic.c, 20);
    cpu.osxsave = bit(basic.c, kOsxsaveBit);
    cpu.avx = bit(basic.c, kAvxBit);
    cpu.f16c = bit(basic.c, 29);
    cpu.hypervisor = bit(basic.c, 31);
    cpu.emulated = cpu.hypervisor && is_tcg();

    const Registers extended = cpuid(7);
    cpu.avx2 = bit(extended.b, 5);
    cpu.avx512f = bit(extended.b, 16);

    if (cpu.osxsave) {
        cpu.xcr0 = read_xcr0();
        cpu.avx_enabled = (cpu.xcr0 & kXcr0Avx) == kXcr0Avx;
    }

    // SSE2 is part of x86-64, and the program itself is compiled with it.
    cpu.mask = djiblas::kFeatureSse2;
    if (cpu.avx_enabled && cpu.avx) {
        cpu.mask |= cpu.avx2 ? djiblas::kFeatureAvx2 : 0u;
        cpu.mask |= cpu.fma ? djiblas::kFeatureFma : 0u;
    }
    return cpu;
}

void enable_avx()
{
    const Registers basic = cpuid(1);
    if (!bit(basic.c, kXsaveBit) || !bit(basic.c, kAvxBit)) {
        return;
    }
    uint64_t cr4 = 0;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    asm volatile("mov %0, %%cr4" : : "r"(cr4 | kCr4Osxsave) : "memory");
    const uint64_t xcr0 = read_xcr0() | kXcr0Avx;
    asm volatile("xsetbv"
                 :
                 : "c"(0), "a"(static_cast<uint32_t>(xcr0)), "d"(static_cast<uint32_t>(xcr0 >> 32))
                 : "memory");
}

} // namespace llmk
