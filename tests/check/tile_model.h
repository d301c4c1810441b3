// SPDX-License-Identifier: MIT
//
// AMX's tiles without AMX: what Intel's manual says of the instructions (SDM vol. 2, LDTILECFG, TDPBSUD, TILELOADD,
// TDPBF16PS, TILERELEASE, TILESTORED, TILEZERO; vol. 1 chapter 18), done byte by byte. So the products on tiles are
// checked on machines that have none. It is strict: what faults there is remembered here as a fault.
#pragma once

#include "kernels/amx_tiles.h"
#include "kernels/djiblas.h"

namespace llmk::check {

using djiblas::amx::TileConfig;

/// One processor's tiles, of palette 1. An instruction that faults changes nothing.
class TileModel {
public:
    void configure(const TileConfig& config);
    void release();
    void zero(int tile);
    void load(int tile, const void* from, size_t stride);
    void store(int tile, void* to, size_t stride);
    void multiply(int sums, int signed_bytes, int unsigned_bytes);
    /// Denormal numbers are zeros, in and out; each step rounds to nearest.
    void multiply_bf16(int sums, int rows, int words);

    /// What the first fault since then was about; null when there was none.
    const char* fault() const { return m_fault; }
    void forget_fault() { m_fault = nullptr; }
    /// Configured and not released.
    bool in_use() const { return m_config.palette != 0; }
    size_t multiplications() const { return m_multiplications; }

private:
    static constexpr int kTiles = 8;

    bool require(bool condition, const char* otherwise);
    bool require_tile(int tile);
    bool require_product(int sums, int rows, int words);

    TileConfig m_config = {};
    uint8_t m_bytes[kTiles][djiblas::amx::kTileRows][djiblas::amx::kTileRowBytes] = {};
    const char* m_fault = nullptr;
    size_t m_multiplications = 0;
};

/// That of the set below.
TileModel& tile_model();

/// The operations of ProcessorTiles on that one.
struct ModelledTiles {
    static void configure(const TileConfig& config) { tile_model().configure(config); }
    static void release() { tile_model().release(); }
    template <int kTile> static void zero() { tile_model().zero(kTile); }
    template <int kTile> static void load(const void* from, size_t stride) { tile_model().load(kTile, from, stride); }
    template <int kTile> static void store(void* to, size_t stride) { tile_model().store(kTile, to, stride); }
    template <int kSums, int kSigned, int kUnsigned> static void multiply()
    {
        tile_model().multiply(kSums, kSigned, kUnsigned);
    }
    template <int kSums, int kRows, int kWords> static void multiply_bf16()
    {
        tile_model().multiply_bf16(kSums, kRows, kWords);
    }
};

/// A set that has nothing but amx_int8's products on the model's tiles. It needs what avx512_vnni needs.
extern const djiblas::KernelSet kModelledTiles;

/// amx_bf16's products on the model's tiles; they need AVX512-BF16.
extern const djiblas::Bf16Panels kModelledBf16Panels;

/// The same instructions on this processor, which must have them: sums += signed_bytes * unsigned_bytes, on tiles 0, 2
/// and 4 of `config`, whose rows lie 64 bytes apart at each place.
void multiply_on_processor(const TileConfig& config, void* sums, const void* signed_bytes, const void* unsigned_bytes);
void multiply_bf16_on_processor(const TileConfig& config, void* sums, const void* rows, const void* words);

} // namespace llmk::check
