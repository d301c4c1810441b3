// SPDX-License-Identifier: MIT
//
// What the processor can do, and AVX-512, whose kernels this program has in other instructions
// (tests/modelled/include/immintrin.h).
#include "cpu/features.h"
#include "kernels/djiblas.h"

namespace llmk {

/// The linker puts modelled_cpu() in place of detect_cpu(), and that in place of this (--wrap).
CpuFeatures real_cpu() asm("__real__ZN4llmk10detect_cpuEv");
CpuFeatures modelled_cpu() asm("__wrap__ZN4llmk10detect_cpuEv");

CpuFeatures modelled_cpu()
{
    CpuFeatures cpu = real_cpu();
    cpu.mask |= djiblas::kFeatureAvx512 | djiblas::kFeatureAvx512Vnni;
    cpu.avx512_bf16 = false;
    return cpu;
}

} // namespace llmk
