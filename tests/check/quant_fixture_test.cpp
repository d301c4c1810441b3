// SPDX-License-Identifier: MIT
//
// Every set against the `gguf` package: tests/golden/data/quants holds blocks and the values it made of them, written
// by scripts/reference/make_quant_fixtures.py. Bit for bit. Paths are from the repository's root, where the tests run.
#include "packed_types.h"

#include <fstream>
#include <iterator>

namespace llmk::check {

namespace {

class QuantFixture : public KernelCheck {};

std::vector<char> read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_P(QuantFixture, ValuesAreThoseOfTheGgufPackage)
{
    for (const PackedType& type : kPackedTypes) {
        const std::string path = std::string("tests/golden/data/quants/") + type.name;
        const std::vector<char> packed = read_file(path + ".bin");
        const std::vector<char> values = read_file(path + ".f32");
        const size_t n = packed.size() / type.block.bytes * type.block.values;
        ASSERT_GT(n, 0u) << path << ".bin is not there: the tests run in the root of the repository";
        ASSERT_EQ(packed.size() % type.block.bytes, 0u) << path;
        ASSERT_EQ(values.size(), n * sizeof(float)) << path;

        Output<float> got(n, 1);
        (set().*type.dequantize)(got.data(), reinterpret_cast<const uint8_t*>(packed.data()), n);
        ASSERT_TRUE(got.intact()) << type.name;
        for (size_t i = 0; i < n; i++) {
            float want;
            std::memcpy(&want, values.data() + i * sizeof want, sizeof want);
            ASSERT_EQ(bits_of(got[i]), bits_of(want))
                << type.name << ", value " << i << ": " << got[i] << " for " << want;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, QuantFixture, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
