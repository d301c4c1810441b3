// SPDX-License-Identifier: MIT
//
// detect_cpu on the machine that runs the tests, against what the compiler's own detection says. enable_avx is ring 0
// only: the tests under QEMU see its effect.
#include "cpu/features.h"

#include "kernels/djiblas.h"

#include <gtest/gtest.h>

namespace llmk {

namespace {

bool has(uint32_t mask, uint32_t bits) { return (mask & bits) == bits; }

TEST(Features, NamesArePresentable)
{
    const CpuFeatures cpu = detect_cpu();
    EXPECT_EQ(cpu.vendor.size(), 12u) << cpu.vendor.view();
    EXPECT_GT(cpu.brand.size(), 0u);
    EXPECT_EQ(cpu.brand.view(), trim(cpu.brand.view()));
    for (const char c : cpu.brand.view()) {
        EXPECT_TRUE(c >= ' ' && c < 0x7f) << int{c};
    }
    EXPECT_GE(cpu.family, 6u);
}

/// __builtin_cpu_supports looks at XCR0 too.
TEST(Features, MaskIsWhatMayBeUsed)
{
    const CpuFeatures cpu = detect_cpu();
    EXPECT_TRUE(has(cpu.mask, djiblas::kFeatureSse2));
    EXPECT_EQ(has(cpu.mask, djiblas::kFeatureAvx2), __builtin_cpu_supports("avx2") != 0);
    EXPECT_EQ(has(cpu.mask, djiblas::kFeatureFma), __builtin_cpu_supports("fma") != 0);
}

TEST(Features, FlagsAgreeWithTheCompilers)
{
    const CpuFeatures cpu = detect_cpu();
    EXPECT_EQ(cpu.sse3, __builtin_cpu_supports("sse3") != 0);
    EXPECT_EQ(cpu.ssse3, __builtin_cpu_supports("ssse3") != 0);
    EXPECT_EQ(cpu.sse41, __builtin_cpu_supports("sse4.1") != 0);
    EXPECT_EQ(cpu.sse42, __builtin_cpu_supports("sse4.2") != 0);
    EXPECT_EQ(cpu.avx && cpu.avx_enabled, __builtin_cpu_supports("avx") != 0);
}

TEST(Features, NothingOfAvxWithoutItsState)
{
    const CpuFeatures cpu = detect_cpu();
    EXPECT_EQ(cpu.xcr0 != 0, cpu.osxsave);
    EXPECT_EQ(cpu.avx_enabled, (cpu.xcr0 & 7) == 7);
    if (!cpu.avx_enabled) {
        EXPECT_EQ(cpu.mask & (djiblas::kFeatureAvx2 | djiblas::kFeatureFma), 0u);
    }
}

} // namespace

} // namespace llmk
