// SPDX-License-Identifier: MIT
//
// CPUID and XCR0, read with instructions; no firmware. Leaf numbers and bits: Intel SDM vol. 2A "CPUID", AMD64 APM
// vol. 3 appendix E.
#include "cpu/features.h"

#include "kernels/djiblas.h"

#include <cpuid.h>

namespace llmk {

namespace {

/// One leaf; all zero where the processor does not have it (Intel's would answer with another leaf's data).
CpuidLeaf cpuid(uint32_t leaf, uint32_t subleaf = 0)
{
    CpuidLeaf r;
    __cpuid(leaf & 0x80000000u, r.a, r.b, r.c, r.d);
    if (r.a < leaf) {
        return {};
    }
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
    return r;
}

bool bit(uint32_t value, unsigned position) { return ((value >> position) & 1u) != 0; }

constexpr uint32_t kXsaveBit = 26;     // CPUID.1:ECX
constexpr uint32_t kOsxsaveBit = 27;   // CPUID.1:ECX, mirrors CR4.OSXSAVE
constexpr uint32_t kAvxBit = 28;       // CPUID.1:ECX
constexpr uint64_t kXcr0Avx = 0x7;     // x87, SSE and YMM state; x87 can never be off
constexpr uint64_t kXcr0Avx512 = 0xe0; // masks, upper halves of zmm0-15, zmm16-31
constexpr uint64_t kXcr0Amx = 0x60000; // tile configuration, tile data
constexpr uint32_t kXfdBit = 4;        // CPUID.(0Dh,1):EAX
constexpr uint32_t kMsrXfd = 0x1c4;    // IA32_XFD: states whose first use is to fault
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
    const CpuidLeaf vendor = cpuid(0);
    put_packed(cpu.vendor, vendor.b);
    put_packed(cpu.vendor, vendor.d);
    put_packed(cpu.vendor, vendor.c);

    Text<64> brand;
    for (uint32_t leaf = 0x80000002u; leaf <= 0x80000004u; leaf++) {
        const CpuidLeaf r = cpuid(leaf);
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

/// Eight tiles of sixteen rows of 64 bytes, as the kernels shape them. Intel SDM vol. 2A, leaf 1Dh.
bool has_tiles(const CpuidLeaf& palette)
{
    return palette.a >> 16 >= 1024 && (palette.b & 0xffff) >= 64 && palette.b >> 16 >= 8 && (palette.c & 0xffff) >= 16;
}

/// Hypervisors sign leaf 0x40000000, which lies outside the ranges that cpuid() knows; asked only when one is there.
bool is_tcg()
{
    CpuidLeaf r = {};
    __cpuid(0x40000000u, r.a, r.b, r.c, r.d);
    return r.b == 0x54474354u && r.c == 0x43544743u && r.d == 0x47435447u; // "TCGTCGTCGTCG"
}

} // namespace

void decode_features(CpuFeatures& cpu, const FeatureRegisters& registers)
{
    const CpuidLeaf& version = registers.version;
    cpu.sse3 = bit(version.c, 0);
    cpu.ssse3 = bit(version.c, 9);
    cpu.fma = bit(version.c, 12);
    cpu.sse41 = bit(version.c, 19);
    cpu.sse42 = bit(version.c, 20);
    cpu.osxsave = bit(version.c, kOsxsaveBit);
    cpu.avx = bit(version.c, kAvxBit);
    cpu.f16c = bit(version.c, 29);
    cpu.hypervisor = bit(version.c, 31);

    const CpuidLeaf& extended = registers.extended;
    cpu.avx2 = bit(extended.b, 5);
    cpu.avx512f = bit(extended.b, 16);
    cpu.avx512dq = bit(extended.b, 17);
    cpu.avx512bw = bit(extended.b, 30);
    cpu.avx512vl = bit(extended.b, 31);
    cpu.avx512_vnni = bit(extended.c, 11);
    cpu.amx_bf16 = bit(extended.d, 22);
    cpu.amx_tile = bit(extended.d, 24);
    cpu.amx_int8 = bit(extended.d, 25);
    cpu.avx_vnni = bit(registers.extended1.a, 4);
    cpu.avx512_bf16 = bit(registers.extended1.a, 5);

    const auto is_on = [&cpu](uint64_t state) { return cpu.osxsave && (cpu.xcr0 & state) == state; };
    cpu.xcr0 = registers.xcr0;
    cpu.avx_enabled = is_on(kXcr0Avx);
    cpu.avx512_enabled = is_on(kXcr0Avx | kXcr0Avx512);
    cpu.amx_enabled = is_on(kXcr0Amx);

    // SSE2 is part of x86-64, and the program itself is compiled with it.
    cpu.mask = djiblas::kFeatureSse2;
    if (cpu.avx_enabled && cpu.avx) {
        cpu.mask |= cpu.avx2 ? djiblas::kFeatureAvx2 : 0u;
        cpu.mask |= cpu.fma ? djiblas::kFeatureFma : 0u;
        cpu.mask |= cpu.f16c ? djiblas::kFeatureF16c : 0u;
        cpu.mask |= cpu.avx_vnni ? djiblas::kFeatureAvxVnni : 0u;
    }
    if (cpu.avx512_enabled && cpu.avx512f && cpu.avx512bw && cpu.avx512dq && cpu.avx512vl) {
        cpu.mask |= djiblas::kFeatureAvx512;
        cpu.mask |= cpu.avx512_vnni ? djiblas::kFeatureAvx512Vnni : 0u;
    }
    if (cpu.amx_enabled && cpu.amx_tile && cpu.amx_int8 && has_tiles(registers.palette) && registers.tiles) {
        cpu.mask |= djiblas::kFeatureAmxInt8;
        const bool avx512 = (cpu.mask & djiblas::kFeatureAvx512) != 0;
        cpu.mask |= cpu.amx_bf16 && cpu.avx512_bf16 && avx512 ? djiblas::kFeatureAmxBf16 : 0u;
    }
}

uint64_t xcr0_with_vectors(uint64_t xcr0, uint64_t supported)
{
    const auto all_of = [supported](uint64_t state) { return (supported & state) == state ? state : 0u; };
    return (xcr0 & ~(kXcr0Avx512 | kXcr0Amx)) | kXcr0Avx | all_of(kXcr0Avx512) | all_of(kXcr0Amx);
}

CpuFeatures detect_cpu()
{
    CpuFeatures cpu;
    read_names(cpu);

    FeatureRegisters registers;
    registers.version = cpuid(1);
    registers.extended = cpuid(7);
    if (registers.extended.a >= 1) { // the last subleaf
        registers.extended1 = cpuid(7, 1);
    }
    if (cpuid(0x1d).a >= 1) { // the last palette
        registers.palette = cpuid(0x1d, 1);
    }
    if (bit(registers.version.c, kOsxsaveBit)) {
        registers.xcr0 = read_xcr0();
    }
    registers.tiles = may_use_tiles();
    read_version(cpu, registers.version.a);
    decode_features(cpu, registers);
    cpu.emulated = cpu.hypervisor && is_tcg();
    return cpu;
}

void enable_avx()
{
    const CpuidLeaf basic = cpuid(1);
    if (!bit(basic.c, kXsaveBit) || !bit(basic.c, kAvxBit)) {
        return;
    }
    uint64_t cr4 = 0;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    asm volatile("mov %0, %%cr4" : : "r"(cr4 | kCr4Osxsave) : "memory");
    const CpuidLeaf states = cpuid(0xd);
    const uint64_t xcr0 = xcr0_with_vectors(read_xcr0(), uint64_t{states.d} << 32 | states.a);
    asm volatile("xsetbv"
                 :
                 : "c"(0), "a"(static_cast<uint32_t>(xcr0)), "d"(static_cast<uint32_t>(xcr0 >> 32))
                 : "memory");
    if ((xcr0 & kXcr0Amx) != 0 && bit(cpuid(0xd, 1).a, kXfdBit)) {
        asm volatile("wrmsr" : : "c"(kMsrXfd), "a"(0), "d"(0) : "memory");
    }
}

} // namespace llmk
