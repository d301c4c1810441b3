// SPDX-License-Identifier: MIT
#include "tile_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace llmk::check {

using djiblas::amx::kTileRowBytes;
using djiblas::amx::kTileRows;

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

bool TileModel::require_product(int sums, int rows, int words)
{
    const auto rows_of = [this](int tile) -> size_t { return m_config.rows[tile]; };
    const auto bytes_of = [this](int tile) -> size_t { return m_config.row_bytes[tile]; };
    return require_tile(sums) && require_tile(rows) && require_tile(words) &&
           require(sums != rows && sums != words && rows != words, "TDP: a tile twice") &&
           require(bytes_of(sums) % 4 == 0 && bytes_of(rows) % 4 == 0 && bytes_of(words) % 4 == 0,
                   "TDP: rows of parts of a word") &&
           require(rows_of(rows) == rows_of(sums), "TDP: not as many rows of the first factor as of sums") &&
           require(bytes_of(words) == bytes_of(sums), "TDP: rows of the second factor unlike the sums'") &&
           require(bytes_of(rows) == 4 * rows_of(words), "TDP: factors that do not fit each other");
}

void TileModel::multiply(int sums, int signed_bytes, int unsigned_bytes)
{
    if (!require_product(sums, signed_bytes, unsigned_bytes)) {
        return;
    }
    m_multiplications++;
    for (size_t row = 0; row < m_config.rows[sums]; row++) {
        for (size_t column = 0; column < m_config.row_bytes[sums] / 4u; column++) {
            uint32_t sum; // it wraps
            std::memcpy(&sum, &m_bytes[sums][row][4 * column], sizeof sum);
            for (size_t i = 0; i < m_config.row_bytes[signed_bytes]; i++) {
                const auto first = static_cast<int8_t>(m_bytes[signed_bytes][row][i]);
                const uint8_t second = m_bytes[unsigned_bytes][i / 4][4 * column + i % 4];
                sum += static_cast<uint32_t>(first * second);
            }
            std::memcpy(&m_bytes[sums][row][4 * column], &sum, sizeof sum);
        }
    }
    // Beyond the shape of the sums all is zero: it was when they were loaded or set to zero.
}

namespace {

float without_denormal(float value)
{
    return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

float bf16_at(const uint8_t* bytes)
{
    uint16_t half;
    std::memcpy(&half, bytes, sizeof half);
    return without_denormal(std::bit_cast<float>(uint32_t{half} << 16));
}

} // namespace

/// The products of the pairs' first numbers and those of the second ones are summed apart, each a fused multiply-add,
/// and then both are added.
void TileModel::multiply_bf16(int sums, int rows, int words)
{
    if (!require_product(sums, rows, words)) {
        return;
    }
    m_multiplications++;
    for (size_t row = 0; row < m_config.rows[sums]; row++) {
        for (size_t column = 0; column < m_config.row_bytes[sums] / 4u; column++) {
            float halves[2] = {0.0f, 0.0f};
            for (size_t i = 0; i < m_config.row_bytes[rows]; i += 2) {
                const float first = bf16_at(&m_bytes[rows][row][i]);
                const float second = bf16_at(&m_bytes[words][i / 4][4 * column + i % 4]);
                float& half = halves[i / 2 % 2];
                half = without_denormal(std::fma(first, second, half));
            }
            float sum;
            std::memcpy(&sum, &m_bytes[sums][row][4 * column], sizeof sum);
            sum = without_denormal(without_denormal(sum) + without_denormal(halves[0] + halves[1]));
            std::memcpy(&m_bytes[sums][row][4 * column], &sum, sizeof sum);
        }
    }
}

TileModel& tile_model()
{
    static TileModel model;
    return model;
}

} // namespace llmk::check
