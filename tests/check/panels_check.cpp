// SPDX-License-Identifier: MIT
//
// Panels: the layout, and their products against a double-precision one of the unpacked values.
#include "packed_types.h"
#include "tile_model.h"

#include <bit>
#include <cmath>
#include <memory>

namespace llmk::check {

namespace {

using djiblas::InputScale;
using djiblas::kInputBlock;
using djiblas::kPanelRows;
using djiblas::PanelFields;
using djiblas::PanelInput;
using djiblas::PanelType;

/// The rows of packed_types.h that have panels begin with Q8_0, in the order of PanelType.
const PackedType& packed_type(PanelType type) { return kPackedTypes[2 + static_cast<size_t>(type)]; }

std::vector<PanelType> all_types()
{
    std::vector<PanelType> types;
    for (size_t i = 0; i < djiblas::kPanelTypes; i++) {
        types.push_back(static_cast<PanelType>(i));
    }
    return types;
}

/// Binary16 numbers of either sign between 1/32 and 1/16: as scales are.
uint16_t plain_half(uint16_t bits) { return static_cast<uint16_t>((bits & 0x83ffu) | 0x2800u); }

/// All sets, and amx_int8's products on tiles that are computed.
std::vector<const KernelSet*> panel_sets()
{
    std::vector<const KernelSet*> sets = all_sets();
    sets.push_back(&kModelledTiles);
    return sets;
}

class PanelsCheck : public KernelCheck {
protected:
    void SetUp() override
    {
        const bool modelled = GetParam() == &kModelledTiles;
        take(modelled ? djiblas::kAvx512Vnni : *GetParam());
        if (modelled && !IsSkipped()) {
            KernelSet tiles = set();
            tiles.panels = kModelledTiles.panels;
            use(tiles);
            tile_model().forget_fault();
        }
    }
    void TearDown() override
    {
        EXPECT_EQ(tile_model().fault(), nullptr) << tile_model().fault();
        EXPECT_FALSE(tile_model().in_use());
    }

    /// Sixteen rows a panel, random but for their scales, as a file has them.
    std::vector<uint8_t> rows(PanelType type, size_t panels, size_t blocks)
    {
        const PanelFields& fields = djiblas::panel_fields(type);
        std::vector<uint8_t> bytes(panels * kPanelRows * blocks * fields.bytes);
        for (uint8_t& value : bytes) {
            value = static_cast<uint8_t>(byte());
        }
        // The second half of IQ4_XS is no number.
        const size_t scales = type == PanelType::iq4_xs ? 1 : fields.halves;
        for (size_t block = 0; block < bytes.size(); block += fields.bytes) {
            for (size_t i = 0; i < scales; i++) {
                uint16_t half;
                std::memcpy(&half, &bytes[block + fields.halves_at + 2 * i], sizeof half);
                half = plain_half(half);
                std::memcpy(&bytes[block + fields.halves_at + 2 * i], &half, sizeof half);
            }
        }
        return bytes;
    }
    static std::vector<uint8_t> pack(PanelType type, const std::vector<uint8_t>& rows, size_t panels, size_t blocks)
    {
        std::vector<uint8_t> packed(rows.size());
        const size_t bytes = rows.size() / panels;
        for (size_t i = 0; i < panels; i++) {
            djiblas::pack_panel(type, packed.data() + i * bytes, rows.data() + i * bytes, blocks);
        }
        return packed;
    }
};

/// Rows of input, two blocks apart that nobody should read.
struct Quantized {
    size_t cols;
    size_t stride;
    std::vector<int8_t> q;
    std::vector<InputScale> scales;

    Quantized(const KernelSet& set, const Input<float>& x, size_t columns)
        : cols(columns), stride(cols + 2 * kInputBlock), q(x.size() / cols * stride, 99),
          scales(q.size() / kInputBlock, {NAN, NAN, {NAN, NAN, NAN}, {{{99, 99}}, {{99, 99}}}, {99, 99}, {99, 99, 99}})
    {
        for (size_t b = 0; b < x.size() / cols; b++) {
            set.quantize_input(&q[b * stride], &scales[b * stride / kInputBlock], x.data() + b * cols, cols);
        }
    }
    PanelInput rows(size_t first, size_t count) const
    {
        return {&q[first * stride], stride, &scales[first * stride / kInputBlock], count, cols};
    }
};

TEST_P(PanelsCheck, TheSetAskedForIsTheOneThatRuns)
{
    ASSERT_NE(set().panels, nullptr);
    EXPECT_TRUE(GetParam()->panels == nullptr || GetParam()->panels == set().panels);
    EXPECT_TRUE(GetParam()->quantize_input == nullptr || GetParam()->quantize_input == set().quantize_input);
}

TEST(Panels, FieldsOfSixteenRowsLieSideBySide)
{
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        const PanelFields& fields = djiblas::panel_fields(type);
        ASSERT_EQ(fields.values, packed.block.values) << packed.name;
        ASSERT_EQ(fields.bytes, packed.block.bytes) << packed.name;
        ASSERT_EQ(fields.bytes, 2 * fields.halves + 4 * fields.words) << packed.name;
        constexpr size_t kBlocks = 3;
        std::mt19937 random(1);
        std::vector<uint8_t> rows(kPanelRows * kBlocks * fields.bytes);
        for (uint8_t& value : rows) {
            value = static_cast<uint8_t>(random());
        }
        std::vector<uint8_t> panel(rows.size());
        djiblas::pack_panel(type, panel.data(), rows.data(), kBlocks);
        for (size_t row = 0; row < kPanelRows; row++) {
            std::vector<uint8_t> back(kBlocks * fields.bytes);
            djiblas::unpack_panel_row(type, back.data(), panel.data(), kBlocks, row);
            EXPECT_EQ(std::memcmp(back.data(), &rows[row * back.size()], back.size()), 0) << packed.name << row;
            for (size_t block = 0; block < kBlocks; block++) {
                const uint8_t* unit = &panel[block * kPanelRows * fields.bytes];
                const uint8_t* from = &rows[row * back.size() + block * fields.bytes];
                for (size_t i = 0; i < fields.halves; i++) {
                    ASSERT_EQ(std::memcmp(unit + 32 * i + 2 * row, from + fields.halves_at + 2 * i, 2), 0);
                }
                for (size_t i = 0; i < fields.words; i++) {
                    const uint8_t* line = unit + 32 * fields.halves + 64 * i;
                    ASSERT_EQ(std::memcmp(line + 4 * row, from + fields.words_at + 4 * i, 4), 0);
                }
            }
        }
    }
}

/// Every type, one to three blocks, batches on both sides of every tile, at odd addresses.
TEST_P(PanelsCheck, ProductsOfAllTypes)
{
    constexpr size_t kPanels = 2;
    constexpr size_t kRows = kPanels * kPanelRows;
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        for (size_t blocks = 1; blocks <= 3; blocks++) {
            const size_t cols = blocks * packed.block.values;
            const std::vector<uint8_t> file = rows(type, kPanels, blocks);
            const std::vector<uint8_t> repacked = pack(type, file, kPanels, blocks);
            std::vector<float> values(kRows * cols);
            (djiblas::kScalar.*packed.dequantize)(values.data(), file.data(), values.size());
            for (const size_t batch : {1, 2, 3, 4, 5, 7, 16, 17, 21, 33}) {
                const size_t offset = batch % 5;
                Input<uint8_t> data(repacked.size(), offset);
                std::memcpy(const_cast<uint8_t*>(data.data()), repacked.data(), repacked.size());
                const Input<float> x = input(batch * cols, 0);
                const Quantized in(set(), x, cols);
                const size_t stride = kRows + 3;
                Output<float> y(batch * stride, offset % 4);
                set().panels->product[static_cast<size_t>(type)](y.data(), stride, data.data(), kPanels,
                                                                 in.rows(0, batch));
                ASSERT_TRUE(y.intact()) << packed.name;
                for (size_t i = 0; i < batch * kRows; i++) {
                    const size_t b = i / kRows;
                    const size_t r = i % kRows;
                    double want = 0.0;
                    double largest = 0.0;
                    double sum = 0.0;
                    for (size_t c = 0; c < cols; c++) {
                        const double scale = in.scales[(b * in.stride + c) / kInputBlock].scale;
                        const double value = in.q[b * in.stride + c] * scale;
                        want += static_cast<double>(values[r * cols + c]) * value;
                        largest = std::fmax(largest, std::fabs(static_cast<double>(values[r * cols + c])));
                        sum += std::fabs(value);
                    }
                    // A code that is off by one would be off by a hundredth of the largest value and more.
                    ASSERT_TRUE(near(y[b * stride + r], static_cast<float>(want), 64 * kRounding * largest * sum))
                        << packed.name << ", " << blocks << " blocks, batch " << batch << ", row " << r << ": "
                        << y[b * stride + r] << " for " << want;
                }
            }
        }
    }
}

/// What lookup decoding stands on: a row of input gives the same bits alone and in company. Panels by threes and one or
/// two more, sixteen blocks and more; batches on both sides of where panels are unpacked for all rows (12) and past a
/// round of those (128).
TEST_P(PanelsCheck, TheBatchChangesNoBit)
{
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        const size_t blocks = packed.block.values == kInputBlock ? 17 : 3, cols = blocks * packed.block.values;
        const auto product = set().panels->product[static_cast<size_t>(type)];
        for (const size_t batch : {6, 11, 12, 19, 22, 135}) {
            const size_t count = 4 + batch % 2;
            const size_t outputs = count * kPanelRows;
            const std::vector<uint8_t> panels = pack(type, rows(type, count, blocks), count, blocks);
            const Input<float> x = input(batch * cols, 0);
            const Quantized in(set(), x, cols);
            Output<float> together(batch * outputs, 0);
            product(together.data(), outputs, panels.data(), count, in.rows(0, batch));
            ASSERT_TRUE(together.intact()) << packed.name;
            std::vector<float> alone(outputs);
            for (size_t b = 0; b < batch; b++) {
                product(alone.data(), outputs, panels.data(), count, in.rows(b, 1));
                for (size_t r = 0; r < outputs; r++) {
                    ASSERT_EQ(bits_of(alone[r]), bits_of(together[b * outputs + r]))
                        << packed.name << " row " << b << " of " << batch;
                }
            }
        }
    }
}

/// Panels by eights and what is left of them, blocks by twos and one more.
TEST_P(PanelsCheck, HowWeightsAreReadChangesNoBit)
{
    for (const PanelType type : all_types()) {
        const size_t values = packed_type(type).block.values;
        for (size_t panels = 1; panels <= 17; panels++) {
            const size_t blocks = panels % 4 + 1;
            const std::vector<uint8_t> data = pack(type, rows(type, panels, blocks), panels, blocks);
            const Quantized in(set(), input(blocks * values, 0), blocks * values);
            std::vector<float> want(panels * kPanelRows);
            set().panels->product[static_cast<size_t>(type)](want.data(), 0, data.data(), panels, in.rows(0, 1));
            for (const auto* kernels : {set().panels_side_by_side, set().panels_in_places}) {
                Output<float> got(panels * kPanelRows, 0);
                kernels->product[static_cast<size_t>(type)](got.data(), 0, data.data(), panels, in.rows(0, 1));
                ASSERT_TRUE(got.intact()) << packed_type(type).name;
                for (size_t r = 0; r < want.size(); r++) {
                    ASSERT_EQ(bits_of(got[r]), bits_of(want[r])) << packed_type(type).name << " row " << r << " of "
                                                                 << panels << " panels, " << blocks << " blocks";
                }
            }
        }
    }
}

class TilesCheck : public PanelsCheck {};

std::vector<const KernelSet*> tile_sets()
{
    std::vector<const KernelSet*> sets = panel_sets();
    std::erase_if(sets, [](const KernelSet* set) { return set != &kModelledTiles && set != &djiblas::kAmxInt8; });
    return sets;
}

/// Tiles sum up what vectors do, and the rest is done with the same operations: amx_int8 gives avx512_vnni's bits.
TEST_P(TilesCheck, GiveTheBitsOfVectors)
{
    const bool modelled = GetParam() == &kModelledTiles;
    for (const PanelType type : all_types()) {
        const size_t values = packed_type(type).block.values;
        for (size_t batch = 1; batch <= 70; batch++) {
            const size_t panels = 1 + batch % 3;
            const size_t blocks = values == kInputBlock ? 1 + batch % 19 : 1 + batch % 2;
            const size_t cols = blocks * values;
            const std::vector<uint8_t> packed = pack(type, rows(type, panels, blocks), panels, blocks);
            const Input<float> x = input(batch * cols, 0);
            const Quantized in(set(), x, cols);
            const PanelInput quantized = in.rows(0, batch);
            const size_t stride = panels * kPanelRows + 5;
            Output<float> y(batch * stride, 1);
            Output<float> want(batch * stride, 1);
            const auto index = static_cast<size_t>(type);
            const size_t before = tile_model().multiplications();
            set().panels->product[index](y.data(), stride, packed.data(), panels, quantized);
            djiblas::kAvx512Vnni.panels->product[index](want.data(), stride, packed.data(), panels, quantized);
            if (modelled) {
                EXPECT_EQ(tile_model().multiplications() > before, batch >= djiblas::amx::kTileRows) << batch;
            }
            ASSERT_TRUE(y.intact());
            for (size_t i = 0; i < y.size(); i++) { // what lies between the rows too
                ASSERT_EQ(bits_of(y[i]), bits_of(want[i])) << packed_type(type).name << ", batch " << batch << ", row "
                                                           << i / stride << ", output " << i % stride;
            }
        }
    }
}

/// The sets that multiply BF16 numbers, and amx_bf16's products on tiles that are computed.
std::vector<const KernelSet*> bf16_sets()
{
    std::vector<const KernelSet*> sets = panel_sets();
    std::erase_if(sets, [](const KernelSet* set) { return set != &kModelledTiles && set->bf16_panels == nullptr; });
    return sets;
}

double bf16(float value)
{
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    return static_cast<double>(std::bit_cast<float>(rounded));
}

class Bf16PanelsCheck : public PanelsCheck {
protected:
    void SetUp() override
    {
        PanelsCheck::SetUp();
        if (!IsSkipped() && !detect_cpu().avx512_bf16) {
            GTEST_SKIP() << "this processor has no avx512_bf16";
        }
    }
    /// The product with `batch` rows of x; what lies past them in the last tiles is no number.
    static std::vector<float> product(PanelType type, const std::vector<uint8_t>& packed, size_t panels,
                                      const Input<float>& x, size_t batch, size_t stride)
    {
        const djiblas::Bf16Panels& own = GetParam() == &kModelledTiles ? kModelledBf16Panels : *GetParam()->bf16_panels;
        const size_t cols = x.size() / batch;
        const size_t values = djiblas::Bf16Input::values(batch, cols);
        std::vector<uint16_t> tiles(values + 32, 0x7fc0); // and 64 bytes, for a start on a cache line
        void* start = tiles.data();
        size_t space = tiles.size() * sizeof(uint16_t);
        auto* const aligned = static_cast<uint16_t*>(std::align(64, values * sizeof(uint16_t), start, space));
        for (size_t b = 0; b < batch; b++) {
            own.round_row(aligned + djiblas::Bf16Input::row_at(b, cols), x.data() + b * cols, cols);
        }
        Output<float> y(batch * stride, 1);
        own.product[static_cast<size_t>(type)](y.data(), stride, packed.data(), panels, {aligned, batch, cols});
        EXPECT_TRUE(y.intact()) << packed_type(type).name;
        std::vector<float> out(batch * stride);
        for (size_t i = 0; i < out.size(); i++) {
            out[i] = y[i];
        }
        return out;
    }
};

/// Each weight by itself: an input that is 1 in one column has the weights of that column, rounded to BF16.
TEST_P(Bf16PanelsCheck, EachWeightIsWhatTheFileSays)
{
    constexpr size_t kPanels = 2;
    constexpr size_t kRows = kPanels * kPanelRows;
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        const size_t blocks = packed.block.values == kInputBlock ? 3 : 1;
        const size_t cols = blocks * packed.block.values;
        const std::vector<uint8_t> file = rows(type, kPanels, blocks);
        const std::vector<uint8_t> repacked = pack(type, file, kPanels, blocks);
        std::vector<float> values(kRows * cols);
        (djiblas::kScalar.*packed.dequantize)(values.data(), file.data(), values.size());
        size_t at = 0;
        const Input<float> x(cols * cols, 0, [&] { return at++ % (cols + 1) == 0 ? 1.0f : 0.0f; });
        const std::vector<float> y = product(type, repacked, kPanels, x, cols, kRows);
        for (size_t c = 0; c < cols; c++) {
            for (size_t r = 0; r < kRows; r++) {
                // Half a unit in the last of eight bits; a value that lies between two numbers may become either.
                const double want = static_cast<double>(values[r * cols + c]);
                const double half_unit = want == 0.0 ? 0.0 : std::ldexp(1.0, std::ilogb(want) - 8);
                ASSERT_TRUE(near(y[c * kRows + r], values[r * cols + c], 1.01 * half_unit + 1e-6))
                    << packed.name << ", row " << r << ", column " << c << ": " << y[c * kRows + r] << " for " << want;
            }
        }
    }
}

/// Batches on both sides of every number of tiles, outputs apart; columns beyond what is unpacked at a time.
TEST_P(Bf16PanelsCheck, ProductsOfAllTypes)
{
    constexpr size_t kPanels = 3;
    constexpr size_t kRows = kPanels * kPanelRows;
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        const size_t blocks = packed.block.values == kInputBlock ? 21 : 3;
        const size_t cols = blocks * packed.block.values;
        const std::vector<uint8_t> file = rows(type, kPanels, blocks);
        const std::vector<uint8_t> repacked = pack(type, file, kPanels, blocks);
        std::vector<float> values(kRows * cols);
        (djiblas::kScalar.*packed.dequantize)(values.data(), file.data(), values.size());
        for (const size_t batch : {1, 12, 16, 17, 32, 33, 48, 63, 64, 65, 131}) {
            const size_t stride = kRows + 5;
            const Input<float> x = input(batch * cols, 0);
            const std::vector<float> y = product(type, repacked, kPanels, x, batch, stride);
            for (size_t i = 0; i < batch * kRows; i++) {
                const size_t b = i / kRows;
                const size_t r = i % kRows;
                double want = 0.0;
                double size = 0.0;
                for (size_t c = 0; c < cols; c++) {
                    const double product = bf16(values[r * cols + c]) * bf16(x.get(b * cols + c));
                    want += product;
                    size += std::fabs(product);
                }
                // Sums in float32; and some weights that lie between two numbers became the other one.
                ASSERT_TRUE(near(y[b * stride + r], static_cast<float>(want), 0x1p-12 * size + 1e-6))
                    << packed.name << ", batch " << batch << ", row " << r << ": " << y[b * stride + r] << " for "
                    << want;
            }
        }
    }
}

/// The largest codes and inputs of one sign: what would overflow a 16-bit sum.
TEST_P(PanelsCheck, ExtremeCodesAreExact)
{
    for (const PanelType type : all_types()) {
        const PackedType& packed = packed_type(type);
        for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
            std::vector<uint8_t> file = rows(type, 1, 1);
            const PanelFields& fields = djiblas::panel_fields(type);
            for (size_t row = 0; row < kPanelRows; row++) {
                std::memset(&file[row * fields.bytes + fields.words_at], fill, 4 * fields.words);
            }
            const std::vector<uint8_t> panel = pack(type, file, 1, 1);
            std::vector<float> values(kPanelRows * fields.values);
            (djiblas::kScalar.*packed.dequantize)(values.data(), file.data(), values.size());
            for (const float sign : {1.0f, -1.0f}) {
                const Input<float> x(fields.values, 0, [sign] { return sign; });
                const Quantized in(set(), x, fields.values);
                float y[kPanelRows];
                set().panels->product[static_cast<size_t>(type)](y, kPanelRows, panel.data(), 1, in.rows(0, 1));
                for (size_t r = 0; r < kPanelRows; r++) {
                    double want = 0.0;
                    double size = 0.0;
                    for (size_t c = 0; c < fields.values; c++) {
                        const double value = static_cast<double>(values[r * fields.values + c]);
                        want += value * static_cast<double>(sign);
                        size += std::fabs(value);
                    }
                    // The products of code and offset are of the size of code times scale each.
                    ASSERT_TRUE(near(y[r], static_cast<float>(want), 1e-5 * size + 1e-4)) << packed.name << fill;
                }
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, PanelsCheck, testing::ValuesIn(panel_sets()), set_name);
INSTANTIATE_TEST_SUITE_P(Sets, TilesCheck, testing::ValuesIn(tile_sets()), set_name);
INSTANTIATE_TEST_SUITE_P(Sets, Bf16PanelsCheck, testing::ValuesIn(bf16_sets()), set_name);

} // namespace

} // namespace llmk::check
