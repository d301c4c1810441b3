// SPDX-License-Identifier: MIT
//
// Numbers as people and files spell them; sizes that never wrap; bytes that cannot be trusted.
#include "base/checked.h"
#include "base/reader.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace llmk {
namespace {

TEST(Parse, Unsigned)
{
    EXPECT_EQ(parse_u64("0"), 0u);
    EXPECT_EQ(parse_u64("00042"), 42u);
    EXPECT_EQ(parse_u64("18446744073709551615"), UINT64_MAX);
    for (const char* bad :
         {"", " 1", "1 ", "-1", "+1", "18446744073709551616", "99999999999999999999", "1.0", "0x10", "1e3", "a"}) {
        EXPECT_FALSE(parse_u64(bad)) << bad;
    }
}

TEST(Parse, Signed)
{
    EXPECT_EQ(parse_i64("-9223372036854775808"), INT64_MIN);
    EXPECT_EQ(parse_i64("9223372036854775807"), INT64_MAX);
    EXPECT_EQ(parse_i64("+5"), 5);
    EXPECT_EQ(parse_i64("-0"), 0);
    for (const char* bad : {"", "-", "+", "--1", "+-1", "-9223372036854775809", "9223372036854775808", "- 1"}) {
        EXPECT_FALSE(parse_i64(bad)) << bad;
    }
}

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

TEST(Parse, Reals)
{
    const char* good[] = {"0",
                          "-0",
                          "1",
                          "0.85",
                          ".5",
                          "5.",
                          "1e3",
                          "1E-3",
                          "+2.5e+2",
                          "-1.15",
                          "3.4028235e38",
                          "1.17549435e-38",
                          "1e-45",
                          "1e-60",
                          "16777217",
                          "0.1",
                          "123456789012345",
                          "0.000000000000000000000000000001"};
    for (const char* text : good) {
        const auto value = parse_f32(text);
        ASSERT_TRUE(value) << text;
        EXPECT_EQ(bits(*value), bits(std::strtof(text, nullptr))) << text;
    }
    for (const char* bad : {"", "-", ".", "e5", "1e", "1e+", "1.2.3", "1,5", "nan", "inf", "0x1p3", "1f", " 1", "1 ",
                            "1e39", "-1e999", "3.5e38", "1e99999999999999999999"}) {
        EXPECT_FALSE(parse_f32(bad)) << bad;
    }
}

TEST(Parse, RealsAsStrtof)
{
    std::mt19937 random(11);
    for (int i = 0; i < 100'000; ++i) {
        std::string text = random() % 4 == 0 ? "-" : "";
        const size_t digits = 1 + random() % 15; // what the contract promises to round correctly
        const size_t point = random() % (digits + 1);
        for (size_t d = 0; d < digits; ++d) {
            text += d == point ? "." : "";
            text += static_cast<char>('0' + random() % 10);
        }
        if (random() % 2 == 0) {
            text += "e" + std::to_string(static_cast<int>(random() % 60) - 35);
        }
        const float wanted = std::strtof(text.c_str(), nullptr);
        const auto value = parse_f32(text);
        if (std::isinf(wanted)) {
            ASSERT_FALSE(value) << text;
        } else {
            ASSERT_TRUE(value) << text;
            ASSERT_EQ(bits(*value), bits(wanted)) << text;
        }
    }
}

TEST(Parse, VeryLongReals)
{
    EXPECT_EQ(*parse_f32(std::string(400, '0') + "1"), 1.0f);
    EXPECT_EQ(*parse_f32("0." + std::string(30, '0') + "1e31"), 1.0f);
    EXPECT_EQ(*parse_f32("1" + std::string(30, '0') + "e-30"), 1.0f);
    EXPECT_FALSE(parse_f32(std::string(400, '9')));
}

TEST(CheckedSize, RemembersOverflow)
{
    constexpr uint64_t kBig = uint64_t{1} << 32;
    EXPECT_TRUE((CheckedSize(kBig) * (kBig - 1)).valid());
    EXPECT_FALSE((CheckedSize(kBig) * kBig).valid());
    EXPECT_FALSE((CheckedSize(kBig) * kBig * 0).valid()) << "a zero does not make it good again";
    EXPECT_FALSE((CheckedSize(UINT64_MAX) + 1).valid());
    EXPECT_FALSE((CheckedSize(1) + CheckedSize(UINT64_MAX) * 2).valid());
    EXPECT_EQ((CheckedSize(UINT64_MAX - 1) + 1).value(), UINT64_MAX);
    EXPECT_EQ((CheckedSize(7) * 6 + 5).value(), 47u);
}

TEST(CheckedSize, AlignUp)
{
    EXPECT_EQ(align_up(0, 64), 0u);
    EXPECT_EQ(align_up(1, 64), 64u);
    EXPECT_EQ(align_up(64, 64), 64u);
    EXPECT_EQ(align_up(4097, 4096), 8192u);
}

TEST(ByteReader, LittleEndian)
{
    const uint8_t bytes[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0xFE, 0xFF, 0xFF, 0xFF, 0x00, 0x00,
                             0x80, 0x3F, 1,    2,    3,    4,    5,    6,    7,    8};
    ByteReader reader("m.bin", bytes);
    EXPECT_EQ(reader.u32("a").value(), 0x04030201u);
    EXPECT_EQ(reader.u8("b").value(), 5);
    EXPECT_EQ(reader.i32("c").value(), -2);
    EXPECT_EQ(reader.f32("d").value(), 1.0f);
    EXPECT_EQ(reader.offset(), 13u);
    EXPECT_EQ(reader.u64("e").value(), 0x0807060504030201u);
    EXPECT_EQ(reader.remaining(), 0u);
}

TEST(ByteReader, TheEndNamesFieldAndFile)
{
    const std::vector<uint8_t> bytes(11, 1);
    for (size_t size = 0; size < 8; ++size) {
        ByteReader reader("dir/m.bin", std::span(bytes).first(size));
        const auto value = reader.u64("n_heads");
        ASSERT_FALSE(value.ok()) << size;
        EXPECT_EQ(value.error().status, Status::bad_format);
        EXPECT_NE(value.error().message.view().find("dir/m.bin"), std::string_view::npos);
        EXPECT_NE(value.error().message.view().find("n_heads"), std::string_view::npos);
        EXPECT_EQ(reader.offset(), 0u) << "nothing was taken";
    }
    ByteReader reader("m.bin", bytes);
    EXPECT_EQ(reader.bytes("part", 8).value().size(), 8u);
    EXPECT_FALSE(reader.u32("late").ok());
    EXPECT_FALSE(reader.bytes("huge", SIZE_MAX).ok());
    EXPECT_EQ(reader.bytes("rest", 3).value().data(), bytes.data() + 8);
    EXPECT_TRUE(reader.bytes("none", 0).ok());
}

Result<int> twice(Result<int> value) { return 2 * TRY(std::move(value)); }

TEST(Result, TryPassesErrorsOn)
{
    EXPECT_EQ(twice(21).value(), 42);
    const auto failed = twice(fail(Status::not_found, "{} is away", "it"));
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().status, Status::not_found);
    EXPECT_EQ(failed.error().message.view(), "it is away");
    EXPECT_TRUE(success().ok());
    for (int i = 0; i <= static_cast<int>(Status::tripped); ++i) {
        EXPECT_FALSE(status_name(static_cast<Status>(i)).empty());
    }
}

} // namespace
} // namespace llmk
