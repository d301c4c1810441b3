// SPDX-License-Identifier: MIT
#include "tile_model.h"

#include <algorithm>
#include <cstring>

namespace llmk::check {

using djiblas::amx_int8::kTileRowBytes;
using djiblas::amx_int8::kTileRows;

namespace {

template <size_t kCount> bool all_zero(const uint8_t (&bytes)[kCount])
{
    return std::all_of(bytes, bytes + kCount, [](uint8_t byte) { return byte == 0; });
}

} // namespace

bool TileModel::require(bool condition, const char* otherwise)
{
    if (!condition && m_fault == nullptr) {
        m_fault = otherwise;
    }
    return condition;
}

void TileModel::configure(const TileConfig& config)
{
    if (!require(config.palette <= 1, "LDTILECFG: no such palette") ||
        !require(config.start_row == 0, "LDTILECFG: a start row, and nothing to go on with") ||
        !require(all_zero(config.reserved), "LDTILECFG: reserved bytes that are not 0")) {
        return;
    }
    for (int tile = 0; config.palette == 1 && tile < 16; tile++) {
        const bool used = config.rows[tile] != 0;
        if (!require(used == (config.row_bytes[tile] != 0), "LDTILECFG: rows without bytes, or bytes without rows") ||
            !require(!used || tile < kTiles, "LDTILECFG: a tile that the palette does not have") ||
            !require(config.rows[tile] <= kTileRows, "LDTILECFG: too many rows") ||
            !require(config.row_bytes[tile] <= kTileRowBytes, "LDTILECFG: rows too long")) {
            return;
        }
    }
    m_config = config;
    std::memset(m_bytes, 0, sizeof m_bytes);
}

void TileModel::release() { configure({}); }

bool TileModel::require_tile(int tile)
{
    return require(in_use(), "a tile before LDTILECFG") && require(tile >= 0 && tile < kTiles, "no such tile") &&
           require(m_config.rows[tile] != 0, "a tile that has no shape");
}

void TileModel::zero(int tile)
{
    if (require_tile(tile)) {
        std::memset(m_bytes[tile], 0, sizeof m_bytes[tile]);
    }
}

/// What lies beyond the tile's shape becomes zero.
void TileModel::load(int tile, const void* from, size_t stride)
{
    if (!require_tile(tile)) {
        return;
    }
    std::memset(m_bytes[tile], 0, sizeof m_bytes[tile]);
    for (size_t row = 0; row < m_config.rows[tile]; row++) {
        std::memcpy(m_bytes[tile][row], static_cast<const uint8_t*>(from) + row * stride, m_config.row_bytes[tile]);
    }
}

void TileModel::store(int tile, void* to, size_t stride)
{
    if (!require_tile(tile)) {
        return;
    }
    for (size_t row = 0; row < m_config.rows[tile]; row++) {
        std::memcpy(static_cast<uint8_t*>(to) + row * stride, m_bytes[tile][row], m_config.row_bytes[tile]);
    }
}

void TileModel::multiply(int sums, int signed_bytes, int unsigned_bytes)
{
    if (!require_tile(sums) || !require_tile(signed_bytes) || !require_tile(unsigned_bytes)) {
        return;
    }
    const auto rows = [this](int tile) -> size_t { return m_config.rows[tile]; };
    const auto row_bytes = [this](int tile) -> size_t { return m_config.row_bytes[tile]; };
    if (!require(sums != signed_bytes && sums != unsigned_bytes && signed_bytes != unsigned_bytes,
                 "TDPBSUD: a tile twice") ||
        !require(row_bytes(sums) % 4 == 0 && row_bytes(signed_bytes) % 4 == 0 && row_bytes(unsigned_bytes) % 4 == 0,
                 "TDPBSUD: rows of parts of a word") ||
        !require(rows(signed_bytes) == rows(sums), "TDPBSUD: not as many rows of the first factor as of sums") ||
        !require(row_bytes(unsigned_bytes) == row_bytes(sums), "TDPBSUD: rows of the second factor unlike the sums'") ||
        !require(row_bytes(signed_bytes) == 4 * rows(unsigned_bytes), "TDPBSUD: factors that do not fit each other")) {
        return;
    }
    m_multiplications++;
    for (size_t row = 0; row < rows(sums); row++) {
        for (size_t column = 0; column < row_bytes(sums) / 4; column++) {
            uint32_t sum; // it wraps
            std::memcpy(&sum, &m_bytes[sums][row][4 * column], sizeof sum);
            for (size_t i = 0; i < row_bytes(signed_bytes); i++) {
                const auto first = static_cast<int8_t>(m_bytes[signed_bytes][row][i]);
                const uint8_t second = m_bytes[unsigned_bytes][i / 4][4 * column + i % 4];
                sum += static_cast<uint32_t>(first * second);
            }
            std::memcpy(&m_bytes[sums][row][4 * column], &sum, sizeof sum);
        }
    }
    // Beyond the shape of the sums all is zero: it was when they were loaded or set to zero.
}

TileModel& tile_model()
{
    static TileModel model;
    return model;
}

} // namespace llmk::check
