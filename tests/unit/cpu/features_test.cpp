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
    EXPECT_EQ(has(cpu.mask, djiblas::kFeatureAvx512),
              __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                  __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0);
    EXPECT_EQ(has(cpu.mask, djiblas::kFeatureAvx512Vnni), __builtin_cpu_supports("avx512vnni") != 0);
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
    EXPECT_EQ(cpu.avx512_enabled, (cpu.xcr0 & 0xe7) == 0xe7);
    if (!cpu.avx_enabled) {
        EXPECT_EQ(cpu.mask & ~djiblas::kFeatureSse2, 0u);
    }
}

constexpr uint32_t kOfAvx =
    djiblas::kFeatureAvx2 | djiblas::kFeatureFma | djiblas::kFeatureF16c | djiblas::kFeatureAvxVnni;
constexpr uint32_t kOfAvx512 = djiblas::kFeatureAvx512 | djiblas::kFeatureAvx512Vnni;
constexpr uint32_t kOfAmx = djiblas::kFeatureAmxInt8 | djiblas::kFeatureAmxBf16;
constexpr uint32_t kAll = djiblas::kFeatureSse2 | kOfAvx | kOfAvx512 | kOfAmx;

/// What a processor reports that has everything, with everything switched on.
FeatureRegisters everything()
{
    FeatureRegisters registers;
    registers.version.c = UINT32_MAX;
    registers.extended = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    registers.extended1 = registers.extended;
    registers.palette = {1024 << 16 | 8192, 8 << 16 | 64, 16, 0};
    registers.xcr0 = 0x600e7;
    registers.tiles = true;
    return registers;
}

CpuFeatures decode(const FeatureRegisters& registers)
{
    CpuFeatures cpu;
    decode_features(cpu, registers);
    return cpu;
}

TEST(FeatureMask, EverythingThereAndOn)
{
    const CpuFeatures cpu = decode(everything());
    EXPECT_EQ(cpu.mask, kAll);
    EXPECT_TRUE(cpu.avx512_enabled);
    EXPECT_TRUE(cpu.amx_enabled);
    EXPECT_TRUE(cpu.amx_tile && cpu.amx_int8 && cpu.amx_bf16 && cpu.avx512_bf16);
}

TEST(FeatureMask, NothingOfAvx512WithoutAllOfItsState)
{
    for (const uint64_t off : {0x20, 0x40, 0x80, 0xe0}) {
        FeatureRegisters registers = everything();
        registers.xcr0 &= ~off;
        const CpuFeatures cpu = decode(registers);
        EXPECT_EQ(cpu.mask, kAll & ~kOfAvx512 & ~djiblas::kFeatureAmxBf16) << off;
        EXPECT_TRUE(cpu.avx512f) << "the report says what CPUID does";
        EXPECT_FALSE(cpu.avx512_enabled) << off;
    }
}

TEST(FeatureMask, NothingOfAvxWithoutYmmStateOrOsxsave)
{
    for (const uint64_t off : {0x2, 0x4, 0x6}) {
        FeatureRegisters registers = everything();
        registers.xcr0 &= ~off;
        EXPECT_EQ(decode(registers).mask, djiblas::kFeatureSse2 | djiblas::kFeatureAmxInt8) << off;
    }
    FeatureRegisters registers = everything();
    registers.version.c &= ~(1u << 27); // XCR0 could not even have been read
    EXPECT_EQ(decode(registers).mask, djiblas::kFeatureSse2);
}

TEST(FeatureMask, Avx512IsFourExtensionsTogether)
{
    for (const unsigned bit : {16, 17, 30, 31}) {
        FeatureRegisters registers = everything();
        registers.extended.b &= ~(1u << bit);
        EXPECT_EQ(decode(registers).mask, kAll & ~kOfAvx512 & ~djiblas::kFeatureAmxBf16) << bit;
    }
}

TEST(FeatureMask, TilesNeedBothStatesTheirShapesAndPermission)
{
    const auto without_tiles = kAll & ~kOfAmx;
    for (const uint64_t off : {0x20000, 0x40000, 0x60000}) {
        FeatureRegisters registers = everything();
        registers.xcr0 &= ~off;
        EXPECT_EQ(decode(registers).mask, without_tiles) << off;
        EXPECT_FALSE(decode(registers).amx_enabled) << off;
    }
    for (const unsigned bit : {24, 25}) {
        FeatureRegisters registers = everything();
        registers.extended.d &= ~(1u << bit);
        EXPECT_EQ(decode(registers).mask, without_tiles) << bit;
    }
    const CpuidLeaf smaller[] = {
        {}, {1024 << 16, 7 << 16 | 64, 16, 0}, {512 << 16, 8 << 16 | 32, 16, 0}, {1024 << 16, 8 << 16 | 64, 8, 0}};
    for (const CpuidLeaf& palette : smaller) {
        FeatureRegisters registers = everything();
        registers.palette = palette;
        EXPECT_EQ(decode(registers).mask, without_tiles);
    }
    FeatureRegisters registers = everything();
    registers.tiles = false;
    EXPECT_EQ(decode(registers).mask, without_tiles);
    EXPECT_TRUE(decode(registers).amx_int8) << "the report says what CPUID does";
}

TEST(FeatureMask, TilesOfBf16NeedTheInstructionAndAvx512sConversions)
{
    FeatureRegisters registers = everything();
    registers.extended.d &= ~(1u << 22);
    EXPECT_EQ(decode(registers).mask, kAll & ~djiblas::kFeatureAmxBf16);
    EXPECT_FALSE(decode(registers).amx_bf16);
    registers = everything();
    registers.extended1.a &= ~(1u << 5);
    EXPECT_EQ(decode(registers).mask, kAll & ~djiblas::kFeatureAmxBf16);
    EXPECT_FALSE(decode(registers).avx512_bf16);
}

TEST(FeatureMask, EachBitIsItsOwn)
{
    const struct {
        uint32_t CpuidLeaf::*part;
        CpuidLeaf FeatureRegisters::*leaf;
        unsigned bit;
        uint32_t feature;
    } bits[] = {
        {&CpuidLeaf::c, &FeatureRegisters::version, 12, djiblas::kFeatureFma},
        {&CpuidLeaf::c, &FeatureRegisters::version, 29, djiblas::kFeatureF16c},
        {&CpuidLeaf::b, &FeatureRegisters::extended, 5, djiblas::kFeatureAvx2},
        {&CpuidLeaf::c, &FeatureRegisters::extended, 11, djiblas::kFeatureAvx512Vnni},
        {&CpuidLeaf::a, &FeatureRegisters::extended1, 4, djiblas::kFeatureAvxVnni},
    };
    for (const auto& one : bits) {
        FeatureRegisters registers = everything();
        registers.*one.leaf.*one.part &= ~(1u << one.bit);
        EXPECT_EQ(decode(registers).mask, kAll & ~one.feature) << one.bit;
    }
}

/// XCR0 is never given what the processor does not list: XSETBV would fault.
TEST(Xcr0, ZmmAndTileStateOnlyWhereAllOfItIsSupported)
{
    EXPECT_EQ(xcr0_with_vectors(1, 0x7), 0x7u);
    EXPECT_EQ(xcr0_with_vectors(1, 0xe7), 0xe7u);
    EXPECT_EQ(xcr0_with_vectors(1, 0x67), 0x7u);
    EXPECT_EQ(xcr0_with_vectors(1, 0x602e7), 0x600e7u);
    EXPECT_EQ(xcr0_with_vectors(1, 0x60007), 0x60007u);
    EXPECT_EQ(xcr0_with_vectors(1, 0x202e7), 0xe7u) << "tile data and configuration go together";
    EXPECT_EQ(xcr0_with_vectors(0x602e7, 0x202e7), 0x2e7u) << "what was on alone goes off";
    EXPECT_EQ(xcr0_with_vectors(1, 0x402e7), 0xe7u);
    EXPECT_EQ(xcr0_with_vectors(0x201, 0x2e7), 0x2e7u) << "what is on stays on";
}

} // namespace

} // namespace llmk
