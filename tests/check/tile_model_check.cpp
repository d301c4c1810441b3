// SPDX-License-Identifier: MIT
//
// The model of AMX's tiles: its arithmetic against one written the other way round, its faults, and where the machine
// has tiles, all of it against the machine.
#include "tile_model.h"

#include "check.h"

#include <array>
#include <bit>

namespace llmk::check {

namespace {

using djiblas::amx::kTileRowBytes;
using djiblas::amx::kTileRows;

using Tile = uint8_t[kTileRows][kTileRowBytes];

/// Tiles 0 (sums), 2 (signed) and 4 (unsigned) that fit each other.
TileConfig shapes(size_t rows, size_t columns, size_t words)
{
    TileConfig config = {};
    config.palette = 1;
    config.rows[0] = config.rows[2] = static_cast<uint8_t>(rows);
    config.row_bytes[0] = config.row_bytes[4] = static_cast<uint16_t>(4 * columns);
    config.row_bytes[2] = static_cast<uint16_t>(4 * words);
    config.rows[4] = static_cast<uint8_t>(words);
    return config;
}

void fill(std::mt19937& random, Tile& tile)
{
    for (auto& row : tile) {
        for (uint8_t& byte : row) {
            byte = static_cast<uint8_t>(random());
        }
    }
}

int32_t word(const Tile& tile, size_t row, size_t column)
{
    int32_t value;
    std::memcpy(&value, &tile[row][4 * column], sizeof value);
    return value;
}

/// Sums of int32 that do not wrap, inside and outside of the shapes.
void fill_sums(std::mt19937& random, Tile& tile)
{
    for (size_t i = 0; i < kTileRows * kTileRowBytes / 4; i++) {
        const auto value = static_cast<int32_t>(random()) / 4;
        std::memcpy(&tile[i / 16][4 * (i % 16)], &value, sizeof value);
    }
}

TEST(TileModel, SumsOfSignedTimesUnsignedBytes)
{
    std::mt19937 random(3);
    for (const auto& [rows, columns, words] :
         {std::array<size_t, 3>{16, 16, 16}, {16, 16, 8}, {16, 16, 4}, {5, 3, 2}}) {
        Tile first, second, sums, before;
        fill(random, first);
        fill(random, second);
        fill_sums(random, sums);
        std::memcpy(before, sums, sizeof before);
        TileModel model;
        model.configure(shapes(rows, columns, words));
        model.load(0, sums, kTileRowBytes);
        model.load(2, first, kTileRowBytes);
        model.load(4, second, kTileRowBytes);
        model.multiply(0, 2, 4);
        model.store(0, sums, kTileRowBytes);
        EXPECT_EQ(model.fault(), nullptr) << model.fault();
        for (size_t row = 0; row < kTileRows; row++) {
            for (size_t column = 0; column < kTileRowBytes / 4; column++) {
                int64_t want = word(before, row, column);
                for (size_t k = 0; row < rows && column < columns && k < 4 * words; k++) {
                    const int byte = first[row][k];
                    want += (byte < 128 ? byte : byte - 256) * int{second[k / 4][4 * column + k % 4]};
                }
                ASSERT_EQ(word(sums, row, column), want) << row << ' ' << column;
            }
        }
    }
}

TEST(TileModel, LoadsAndStoresByTheStride)
{
    std::vector<uint8_t> from(3 * 100 + 8);
    for (size_t i = 0; i < from.size(); i++) {
        from[i] = static_cast<uint8_t>(i);
    }
    TileModel model;
    TileConfig config = {};
    config.palette = 1;
    config.rows[6] = 4;
    config.row_bytes[6] = 8;
    model.configure(config);
    EXPECT_TRUE(model.in_use());
    model.load(6, from.data(), 100);
    uint8_t to[4][10];
    std::memset(to, 0xee, sizeof to);
    model.store(6, to, sizeof to[0]);
    for (size_t row = 0; row < 4; row++) {
        EXPECT_EQ(std::memcmp(to[row], &from[100 * row], 8), 0);
        EXPECT_EQ(to[row][8], 0xee);
    }
    model.zero(6);
    model.store(6, to, sizeof to[0]);
    EXPECT_EQ(to[3][7], 0);
    model.release();
    EXPECT_FALSE(model.in_use());
    EXPECT_EQ(model.fault(), nullptr);
}

TEST(TileModel, BadShapesFault)
{
    const auto fault_of = [](auto change) {
        TileConfig config = shapes(16, 16, 8);
        change(config);
        TileModel model;
        model.configure(config);
        EXPECT_EQ(model.in_use(), model.fault() == nullptr);
        return model.fault() != nullptr;
    };
    EXPECT_FALSE(fault_of([](TileConfig&) {}));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.palette = 2; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.start_row = 1; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.reserved[13] = 1; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.rows[7] = 1; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[7] = 4; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.rows[0] = 17; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[0] = 65; }));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[8] = config.rows[8] = 4; }));
}

TEST(TileModel, TilesThatDoNotFitFault)
{
    const auto fault_of = [](auto change, auto run) {
        TileConfig config = shapes(16, 16, 8);
        config.rows[6] = 16; // fits as sums and as nothing else
        config.row_bytes[6] = 64;
        change(config);
        TileModel model;
        model.configure(config);
        EXPECT_EQ(model.fault(), nullptr);
        run(model);
        EXPECT_EQ(model.multiplications() == 0, model.fault() != nullptr);
        return model.fault() != nullptr;
    };
    const auto as_it_is = [](TileConfig&) {};
    const auto multiply = [](TileModel& model) { model.multiply(0, 2, 4); };
    EXPECT_FALSE(fault_of(as_it_is, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.rows[2] = 15; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.rows[4] = 7; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[2] = 28; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[4] = 60; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[0] = config.row_bytes[4] = 62; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config.row_bytes[2] = config.rows[2] = 0; }, multiply));
    EXPECT_TRUE(fault_of([](TileConfig& config) { config = {}; }, multiply));
    EXPECT_TRUE(fault_of(as_it_is, [](TileModel& model) { model.multiply(0, 2, 2); }));
    EXPECT_TRUE(fault_of(as_it_is, [](TileModel& model) { model.multiply(6, 6, 4); }));
    EXPECT_TRUE(fault_of(as_it_is, [](TileModel& model) { model.multiply(0, 4, 2); }));

    uint8_t row[64] = {};
    for (const int tile : {1, 8, -1}) {
        TileModel model;
        model.configure(shapes(16, 16, 8));
        model.zero(tile);
        EXPECT_NE(model.fault(), nullptr);
        model.forget_fault();
        model.load(tile, row, 0);
        EXPECT_NE(model.fault(), nullptr);
        model.forget_fault();
        model.store(tile, row, 0);
        EXPECT_NE(model.fault(), nullptr);
    }
    TileModel released;
    released.configure(shapes(16, 16, 8));
    released.release();
    released.load(0, row, 0);
    EXPECT_NE(released.fault(), nullptr);
}

TEST(TileModel, DoesWhatTheProcessorDoes)
{
    if ((djiblas::kAmxInt8.features & ~detect_cpu().mask) != 0) {
        GTEST_SKIP() << "no AMX here";
    }
    std::mt19937 random(5);
    for (const auto& [rows, columns, words] :
         {std::array<size_t, 3>{16, 16, 16}, {16, 16, 8}, {16, 16, 4}, {5, 3, 2}}) {
        Tile first, second, sums, want;
        fill(random, first);
        fill(random, second);
        fill(random, sums);
        std::memcpy(want, sums, sizeof want);
        TileModel model;
        model.configure(shapes(rows, columns, words));
        model.load(0, want, kTileRowBytes);
        model.load(2, first, kTileRowBytes);
        model.load(4, second, kTileRowBytes);
        model.multiply(0, 2, 4);
        model.store(0, want, kTileRowBytes);
        multiply_on_processor(shapes(rows, columns, words), sums, first, second);
        EXPECT_EQ(std::memcmp(sums, want, sizeof sums), 0) << rows;
    }
}

/// Whole numbers, whose products and sums are exact, so that the order does not matter.
TEST(TileModel, SumsOfBf16Products)
{
    std::mt19937 random(7);
    const auto bf16 = [&](float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); };
    uint16_t first[kTileRows][32];
    uint16_t second[kTileRows][32];
    float sums[kTileRows][16];
    for (size_t row = 0; row < kTileRows; row++) {
        for (size_t i = 0; i < 32; i++) {
            first[row][i] = bf16(static_cast<float>(static_cast<int>(random() % 255) - 127));
            second[row][i] = bf16(static_cast<float>(static_cast<int>(random() % 255) - 127));
        }
        for (float& sum : sums[row]) {
            sum = static_cast<float>(random() % 1000);
        }
    }
    float want[kTileRows][16];
    for (size_t row = 0; row < kTileRows; row++) {
        for (size_t column = 0; column < 16; column++) {
            double sum = static_cast<double>(sums[row][column]);
            for (size_t k = 0; k < 32; k++) {
                const auto value = [](uint16_t half) {
                    return static_cast<double>(std::bit_cast<float>(uint32_t{half} << 16));
                };
                sum += value(first[row][k]) * value(second[k / 2][2 * column + k % 2]);
            }
            want[row][column] = static_cast<float>(sum);
        }
    }
    TileModel model;
    model.configure(shapes(16, 16, 16));
    model.load(0, sums, kTileRowBytes);
    model.load(2, first, kTileRowBytes);
    model.load(4, second, kTileRowBytes);
    model.multiply_bf16(0, 2, 4);
    model.store(0, sums, kTileRowBytes);
    EXPECT_EQ(model.fault(), nullptr);
    for (size_t row = 0; row < kTileRows; row++) {
        for (size_t column = 0; column < 16; column++) {
            ASSERT_EQ(sums[row][column], want[row][column]) << row << ' ' << column;
        }
    }
}

TEST(TileModel, DoesWhatTheProcessorDoesInBf16)
{
    if ((djiblas::kAmxBf16.features & ~detect_cpu().mask) != 0) {
        GTEST_SKIP() << "no AMX-BF16 here";
    }
    std::mt19937 random(9);
    for (const auto& [rows, columns, words] : {std::array<size_t, 3>{16, 16, 16}, {16, 16, 8}, {5, 3, 2}}) {
        Tile first, second, sums, want;
        // Numbers of either sign between 2^-16 and 2^16, and some denormal ones.
        const auto fill_bf16 = [&](Tile& tile) {
            for (size_t i = 0; i < sizeof tile; i += 2) {
                const uint32_t bits = static_cast<uint32_t>(random());
                const uint32_t exponent = bits % 16 == 0 ? 0 : 111 + (bits >> 4) % 32;
                const auto half = static_cast<uint16_t>((bits >> 16 & 0x807f) | exponent << 7);
                std::memcpy(&tile[0][0] + i, &half, sizeof half);
            }
        };
        fill_bf16(first);
        fill_bf16(second);
        fill_bf16(sums); // a float of two of them
        std::memcpy(want, sums, sizeof want);
        TileModel model;
        model.configure(shapes(rows, columns, words));
        model.load(0, want, kTileRowBytes);
        model.load(2, first, kTileRowBytes);
        model.load(4, second, kTileRowBytes);
        model.multiply_bf16(0, 2, 4);
        model.store(0, want, kTileRowBytes);
        multiply_bf16_on_processor(shapes(rows, columns, words), sums, first, second);
        EXPECT_EQ(std::memcmp(sums, want, sizeof sums), 0) << rows;
    }
}

} // namespace

} // namespace llmk::check
