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
    bool osxsave = false;     ///< CR4.OSXSAVE, as CPUID shows it
    bool avx_enabled = false; ///< XCR0 has x87, SSE and YMM state
    bool avx = false, avx2 = false, fma = false, f16c = false, avx512f = false;
    bool hypervisor = false;
    bool emulated = false; ///< QEMU's TCG, by its signature: every instruction is translated
    uint64_t xcr0 = 0;
};

/// Reads CPUID and XCR0 (only when OSXSAVE is set: XGETBV faults otherwise). Never faults on any x86-64.
CpuFeatures detect_cpu();

/// Sets CR4.OSXSAVE and XCR0 |= x87|SSE|AVX on *this* processor if CPUID reports XSAVE and AVX. Ring 0 only: it is
/// called by src/platform/uefi on every processor before detect_cpu (firmware leaves it off). AMD64 APM vol. 2 11.5.
void enable_avx();

} // namespace llmk
