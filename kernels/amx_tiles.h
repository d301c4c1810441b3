// SPDX-License-Identifier: MIT
//
// The tile instructions of AMX, and the shapes that the products give to tiles. Intel SDM vol. 1 chapter 18, vol. 2
// LDTILECFG, TDPBF16PS, TDPBSUD, TILELOADD, TILERELEASE, TILESTORED, TILEZERO.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmk::djiblas::amx {

/// What LDTILECFG reads: rows and bytes a row of each tile; palette 1 has eight tiles of up to 16 rows of 64 bytes.
struct TileConfig {
    uint8_t palette;
    uint8_t start_row; ///< of a load or store that a fault cut short; 0
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

constexpr size_t kTileRows = 16;
constexpr size_t kTileRowBytes = 64;

namespace {

/// The processor's own tiles, by number. Each processor has its own: whoever configures them releases them, since tiles
/// in use keep a core from its deeper sleep, and an operating system saves them with each thread.
/// Assembly, because intrinsics do not tell the compiler that a load reads memory.
struct ProcessorTiles {
    static void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
    static void release() { asm volatile("tilerelease"); }

    template <int kTile> static void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(kTile)); }
    template <int kTile> static void load(const void* from, size_t stride)
    {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
    }
    template <int kTile> static void store(void* to, size_t stride)
    {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
    }
    /// sums (words of 32 bits) += signed bytes times unsigned bytes: each four neighbours of a row of kSigned with
    /// the four of a word of kUnsigned, whose rows are the words' places in that row.
    template <int kSums, int kSigned, int kUnsigned> static void multiply()
    {
        asm volatile("tdpbsud %%tmm%c0, %%tmm%c1, %%tmm%c2" : : "i"(kUnsigned), "i"(kSigned), "i"(kSums));
    }
    /// sums (floats) += BF16 numbers times BF16 numbers: each two neighbours of a row of kRows with the two of a word
    /// of kWords, whose rows are the words' places in that row.
    template <int kSums, int kRows, int kWords> static void multiply_bf16()
    {
        asm volatile("tdpbf16ps %%tmm%c0, %%tmm%c1, %%tmm%c2" : : "i"(kWords), "i"(kRows), "i"(kSums));
    }
};

} // namespace

} // namespace llmk::djiblas::amx
