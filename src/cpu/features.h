// SPDX-License-Identifier: MIT
//
// What this processor can do, by CPUID and XCR0 together: a feature whose registers the system has not enabled does
// not count. Also turns AVX on where the firmware did not (privileged; see enable_avx).
#pragma once

#include "base/text.h"

namespace llmk {

struct CpuFeatures {
    Text<64> brand; ///< the brand string, trimmed; the vendor where there is none
    Text<16> vendor;
    uint32_t family = 0, model = 0, stepping = 0;
    uint32_t mask = 0; ///< djiblas::Feature bits that may be used here and now
    bool sse3 = false, ssse3 = false, sse41 = false, sse42 = false;
    bool osxsave = false;        ///< CR4.OSXSAVE, as CPUID shows it
    bool avx_enabled = false;    ///< XCR0 has x87, SSE and YMM state
    bool avx512_enabled = false; ///< and the masks and all of ZMM
    bool amx_enabled = false;    ///< XCR0 has tile configuration and tile data
    // What CPUID reports; whether it may be used is `mask`'s to say.
    bool avx = false, avx2 = false, fma = false, f16c = false, avx_vnni = false;
    bool avx512f = false, avx512bw = false, avx512dq = false, avx512vl = false, avx512_vnni = false;
    bool avx512_bf16 = false, amx_tile = false, amx_int8 = false, amx_bf16 = false;
    bool hypervisor = false;
    bool emulated = false; ///< QEMU's TCG, by its signature: every instruction is translated
    uint64_t xcr0 = 0;
};

/// The registers that features are read from, apart from the instructions that read them.
struct CpuidLeaf {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};
struct FeatureRegisters {
    CpuidLeaf version;   ///< leaf 1
    CpuidLeaf extended;  ///< leaf 7, subleaf 0
    CpuidLeaf extended1; ///< leaf 7, subleaf 1; zero where subleaf 0 does not announce it
    CpuidLeaf palette;   ///< leaf 1Dh, subleaf 1: the tiles of palette 1; zero where there are none
    uint64_t xcr0 = 0;   ///< zero where OSXSAVE is not set
    bool tiles = false;  ///< may_use_tiles()
};

/// Whether this program may use AMX's tiles where CPUID and XCR0 have them: an operating system may want to be asked
/// first. The platform defines it.
bool may_use_tiles();

/// Fills in the flags and the mask of `cpu`.
void decode_features(CpuFeatures& cpu, const FeatureRegisters& registers);

/// XCR0 as enable_avx writes it: what is there, and YMM; the three states of AVX-512 and the two of AMX where CPUID's
/// leaf 0xD lists all of them in `supported`, and none of them otherwise. A processor refuses some of the three or two
/// without the others, and those of AVX-512 without YMM. Intel SDM vol. 1 13.3.
uint64_t xcr0_with_vectors(uint64_t xcr0, uint64_t supported);

/// Reads CPUID and XCR0 (only when OSXSAVE is set: XGETBV faults otherwise). Never faults on any x86-64.
CpuFeatures detect_cpu();

/// Sets CR4.OSXSAVE and XCR0 |= x87|SSE|AVX, and AVX-512's and AMX's states where there are any, on *this* processor if
/// CPUID reports XSAVE and AVX; nothing makes the first use of a tile fault then (IA32_XFD). Ring 0 only: it is called
/// by src/platform/uefi on every processor before detect_cpu (firmware leaves it off). AMD64 APM vol. 2 11.5, Intel SDM
/// vol. 1 13.14.
void enable_avx();

} // namespace llmk
