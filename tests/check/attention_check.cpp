// SPDX-License-Identifier: MIT
//
// Attention over keys and values of each type, putting its parts together, and packing.
//
// Tolerance: a score is off by about head_dim roundings of its sum of magnitudes, and a weight by that, relatively, and
// by some more roundings; the output is a mean of values, so it is off by these parts of the largest magnitude.
#include "check.h"
#include "packed_types.h"

#include <cmath>

namespace llmk::check {

namespace {

using djiblas::AttentionTask;

struct CacheType {
    const char* name;
    djiblas::BlockShape block;
    djiblas::Attention KernelSet::*attention;
    void (*pack)(uint8_t* out, const float* x, size_t n);
    void (*unpack)(float* out, const uint8_t* blocks, size_t n);
};

void copy_bytes(uint8_t* out, const float* x, size_t n) { std::memcpy(out, x, n * sizeof(float)); }
void copy_floats(float* out, const uint8_t* blocks, size_t n) { std::memcpy(out, blocks, n * sizeof(float)); }

const CacheType kCacheTypes[] = {
    {"f32", {1, sizeof(float)}, &KernelSet::attention_f32, copy_bytes, copy_floats},
    {"f16", djiblas::kBlockF16, &KernelSet::attention_f16, djiblas::kScalar.pack_f16, djiblas::kScalar.dequantize_f16},
    {"q8_0", djiblas::kBlockQ80, &KernelSet::attention_q8_0, djiblas::kScalar.pack_q8_0,
     djiblas::kScalar.dequantize_q8_0},
};

/// The nearest binary16 of a number that is none of NaN, ties to even: in steps of what its exponent allows.
uint16_t nearest_half(float x)
{
    const double magnitude = std::fabs(static_cast<double>(x));
    const auto sign = static_cast<uint16_t>(std::signbit(x) ? 0x8000 : 0);
    if (magnitude >= 65520.0) {
        return static_cast<uint16_t>(sign | 0x7c00);
    }
    const int exponent = magnitude == 0.0 ? -14 : std::max(std::ilogb(magnitude), -14);
    const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
    return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + steps));
}

uint16_t half_at(const std::vector<uint8_t>& bytes, size_t at)
{
    return static_cast<uint16_t>(bytes[at] | bytes[at + 1] << 8);
}

/// A task's shape, and what is in its cache.
struct Case {
    size_t count = 1;
    size_t heads = 1;
    size_t head_dim = 64;
    size_t position = 0;
    size_t window = 1 << 20;
    float softcap = 0.0f;
    size_t begin = 0;
    size_t end = 1 << 20;
    size_t other_heads = 0; ///< beside those of the task
    float query_scale = 2.0f;

    size_t rows() const { return position + count; }
    size_t stride() const { return (heads + other_heads) * head_dim; }
};

std::ostream& operator<<(std::ostream& out, const Case& c)
{
    return out << c.count << " queries of " << c.heads << " heads of " << c.head_dim << " from " << c.position
               << ", window " << c.window << ", softcap " << c.softcap << ", keys " << c.begin << " to " << c.end;
}

class AttentionCheck : public KernelCheck {
protected:
    /// Keys and values of all positions, packed, and a query.
    struct Data {
        Input<float> query;
        Input<uint8_t> keys;
        Input<uint8_t> values;
    };

    Input<uint8_t> packed(const CacheType& type, const std::vector<float>& x)
    {
        Input<uint8_t> bytes(x.size() / type.block.values * type.block.bytes, 3);
        type.pack(const_cast<uint8_t*>(bytes.data()), x.data(), x.size());
        return bytes;
    }
    std::vector<float> reals(size_t count)
    {
        std::vector<float> x(count);
        for (float& v : x) {
            v = real();
        }
        return x;
    }
    Data data(const CacheType& type, const Case& c)
    {
        return {input(c.count * c.stride(), c.position % 4, c.query_scale), packed(type, reals(c.rows() * c.head_dim)),
                packed(type, reals(c.rows() * c.head_dim))};
    }
    static AttentionTask task(const Case& c, const Data& data, float* out)
    {
        return {.query = data.query.data(),
                .out = out,
                .stride = c.stride(),
                .count = c.count,
                .heads = c.heads,
                .head_dim = c.head_dim,
                .keys = data.keys.data(),
                .values = data.values.data(),
                .position = c.position,
                .window = c.window,
                .begin = c.begin,
                .end = c.end,
                .divisor = std::sqrt(static_cast<float>(c.head_dim)),
                .softcap = c.softcap};
    }
    /// Values are in [-1, 1); keys are too, and queries in [-query_scale, query_scale).
    static double tolerance(const Case& c)
    {
        const double dim = static_cast<double>(c.head_dim);
        const double scale = static_cast<double>(c.query_scale);
        const double score = scale * std::sqrt(dim) * (2.0 * (dim + 4.0) / 4.0 + 8.0) * kRounding;
        return 2.0 * (2.0 * score + (static_cast<double>(c.rows()) + 32.0) * kRounding);
    }
    /// Those of the task's heads only; what is between them must stay as it is.
    void check(const CacheType& type, const Case& c)
    {
        const Data all = data(type, c);
        Output<float> got(c.count * c.stride(), c.count % 4);
        Output<float> want(c.count * c.stride(), c.count % 4);
        (set().*type.attention)(task(c, all, got.data()));
        (oracle().*type.attention)(task(c, all, want.data()));
        ASSERT_TRUE(got.intact());
        for (size_t i = 0; i < c.count * c.stride(); i++) {
            const bool own = i % c.stride() < c.heads * c.head_dim;
            ASSERT_TRUE(near(got[i], want[i], own ? tolerance(c) : 0.0))
                << type.name << ": " << got[i] << " for " << want[i] << " at " << i << " of " << c;
        }
    }
    void check(const Case& c)
    {
        for (const CacheType& type : kCacheTypes) {
            if (c.head_dim % type.block.values == 0) {
                ASSERT_NO_FATAL_FAILURE(check(type, c));
            }
        }
    }
};

TEST_P(AttentionCheck, OverEveryLengthToPastSeveralBlocks)
{
    for (size_t positions = 1; positions <= 300; positions++) {
        ASSERT_NO_FATAL_FAILURE(check({.heads = 1, .head_dim = 8, .position = positions - 1}));
        ASSERT_NO_FATAL_FAILURE(check({.heads = 1 + positions % 8, .head_dim = 32, .position = positions - 1}));
    }
}

TEST_P(AttentionCheck, HeadsOfEverySize)
{
    for (size_t head_dim = 1; head_dim <= 256; head_dim += head_dim < 80 ? 1 : 8) {
        for (const size_t heads : {1, 2, 4}) {
            ASSERT_NO_FATAL_FAILURE(check({.heads = heads, .head_dim = head_dim, .position = 66}));
        }
    }
    check({.count = 5, .heads = 3, .head_dim = 250, .position = 70});
    check({.count = 5, .heads = 3, .head_dim = 257, .position = 70});
}

TEST_P(AttentionCheck, EveryNumberOfSharingHeadsAndOfQueries)
{
    for (size_t heads = 1; heads <= 9; heads++) {
        for (const size_t count : {1, 2, 3, 4, 7, 33}) {
            for (const size_t position : {0, 1, 62, 130}) {
                ASSERT_NO_FATAL_FAILURE(check(
                    {.count = count, .heads = heads, .head_dim = 32, .position = position, .other_heads = heads % 3}));
            }
        }
    }
}

TEST_P(AttentionCheck, WindowsSoftcapsAndRanges)
{
    for (const size_t window : {1, 2, 5, 63, 64, 65, 100}) {
        for (const float softcap : {0.0f, 1.5f, 50.0f}) {
            for (const size_t count : {1, 6, 40}) {
                for (const size_t position : {0, 63, 64, 190}) {
                    ASSERT_NO_FATAL_FAILURE(check({.count = count,
                                                   .heads = 3,
                                                   .head_dim = 32,
                                                   .position = position,
                                                   .window = window,
                                                   .softcap = softcap}));
                }
            }
        }
    }
    for (const size_t begin : {0, 3, 64, 65, 127}) {
        for (const size_t end : {128, 129, 190, 200}) {
            ASSERT_NO_FATAL_FAILURE(check({.heads = 5, .head_dim = 32, .position = 199, .begin = begin, .end = end}));
        }
    }
}

/// Scores so far apart that all but a few weights are 0, and the largest comes late.
TEST_P(AttentionCheck, LargeScores)
{
    for (const float scale : {30.0f, 300.0f}) {
        for (const size_t positions : {5, 64, 200}) {
            Case c = {.count = 2, .heads = 4, .head_dim = 32, .position = positions, .query_scale = scale};
            ASSERT_NO_FATAL_FAILURE(check(c));
        }
    }
}

/// What a row gives does not depend on the rows that go with it.
TEST_P(AttentionCheck, ARowIsTheSameInAnyCompany)
{
    for (const CacheType& type : kCacheTypes) {
        const Case c = {.count = 13, .heads = 5, .head_dim = 96, .position = 150, .window = 100, .softcap = 20.0f};
        const Data all = data(type, c);
        Output<float> together(c.count * c.stride(), 0);
        (set().*type.attention)(task(c, all, together.data()));
        Output<float> alone(c.count * c.stride(), 0);
        for (size_t query = 0; query < c.count; query++) {
            for (size_t head = 0; head < c.heads; head++) {
                AttentionTask one = task(c, all, alone.data());
                one.query += query * c.stride() + head * c.head_dim;
                one.out += query * c.stride() + head * c.head_dim;
                one.count = 1;
                one.heads = 1;
                one.position += query;
                (set().*type.attention)(one);
            }
        }
        for (size_t i = 0; i < c.count * c.stride(); i++) {
            ASSERT_EQ(bits_of(together[i]), bits_of(alone[i])) << type.name << " value " << i;
        }
    }
}

/// Parts of the context, put together, are the whole; queries of one task see different numbers of the parts.
TEST_P(AttentionCheck, PartsMerge)
{
    constexpr size_t kBorders[] = {0, 64, 130, 131, 250, 300, 320};
    constexpr size_t kParts = std::size(kBorders) - 1;
    for (const CacheType& type : kCacheTypes) {
        for (const size_t window : {40, 100, 1000}) {
            const Case c = {.count = 20, .heads = 3, .head_dim = 64, .position = 290, .window = window};
            const Data all = data(type, c);
            const size_t rows = c.count * c.heads;
            Output<float> partial(kParts * rows * c.head_dim, 1);
            Output<float> peaks(kParts * rows, 1);
            Output<float> sums(kParts * rows, 2);
            for (size_t p = 0; p < kParts; p++) {
                AttentionTask part = task(c, all, partial.data() + p * rows * c.head_dim);
                part.begin = kBorders[p];
                part.end = kBorders[p + 1];
                part.peaks = peaks.data() + p * rows;
                part.sums = sums.data() + p * rows;
                (set().*type.attention)(part);
            }
            ASSERT_TRUE(partial.intact() && peaks.intact() && sums.intact());
            Output<float> got(rows * c.head_dim, 3);
            set().attention_merge(got.data(), partial.data(), peaks.data(), sums.data(), kParts, rows, c.head_dim);
            ASSERT_TRUE(got.intact());
            Output<float> want(rows * c.head_dim, 3);
            (kReference.*type.attention)(task(c, all, want.data()));
            for (size_t i = 0; i < rows * c.head_dim; i++) {
                ASSERT_TRUE(near(got[i], want[i], 2.0 * tolerance(c)))
                    << type.name << ": " << got[i] << " for " << want[i] << " at " << i << ", window " << window;
            }
            EXPECT_EQ(peaks[0], window == 1000 ? peaks[0] : -INFINITY) << "the first query sees nothing of the first";
        }
    }
}

TEST_P(AttentionCheck, MergeOfAnyShape)
{
    for (const size_t parts : {1, 2, 7}) {
        for (size_t head_dim = 1; head_dim <= 40; head_dim++) {
            constexpr size_t kRows = 3;
            const Input<float> partial = input(parts * kRows * head_dim, parts % 4);
            const Input<float> peaks = input(parts * kRows, 1, 20.0f);
            const Input<float> sums(parts * kRows, 4, [this] { return 1.5f + real(); });
            Output<float> got(kRows * head_dim, head_dim % 4);
            Output<float> want(kRows * head_dim, head_dim % 4);
            set().attention_merge(got.data(), partial.data(), peaks.data(), sums.data(), parts, kRows, head_dim);
            oracle().attention_merge(want.data(), partial.data(), peaks.data(), sums.data(), parts, kRows, head_dim);
            ASSERT_TRUE(got.intact());
            for (size_t i = 0; i < kRows * head_dim; i++) {
                ASSERT_TRUE(near(got[i], want[i], 64.0 * kRounding)) << parts << " " << head_dim << " " << i;
            }
        }
    }
}

/// The value at (position, column) of the keys or the values becomes `special`.
void spoil(Input<uint8_t>& rows, const CacheType& type, const Case& c, size_t position, size_t column, float special)
{
    const size_t row_bytes = c.head_dim / type.block.values * type.block.bytes;
    auto* const row = const_cast<uint8_t*>(rows.data()) + position * row_bytes;
    std::vector<float> values(c.head_dim);
    type.unpack(values.data(), row, c.head_dim);
    values[column] = special;
    type.pack(row, values.data(), c.head_dim);
}

TEST_P(AttentionCheck, NanComesThrough)
{
    for (const CacheType& type : kCacheTypes) {
        for (const size_t heads : {1, 2, 4}) {
            const Case c = {.heads = heads, .head_dim = 32, .position = 140, .window = 100};
            Output<float> out(c.stride(), 0);
            const auto run = [&](const Data& all) { (set().*type.attention)(task(c, all, out.data())); };
            for (const size_t position : {41, 64, 100, 140}) {
                for (const size_t column : {0, 31}) {
                    Data bad_key = data(type, c);
                    spoil(bad_key.keys, type, c, position, column, NAN);
                    run(bad_key);
                    for (size_t i = 0; i < c.stride(); i++) {
                        ASSERT_TRUE(std::isnan(out[i])) << type.name << " key " << position << " " << i;
                    }
                    Data bad_value = data(type, c);
                    spoil(bad_value.values, type, c, position, column, NAN);
                    run(bad_value);
                    ASSERT_TRUE(std::isnan(out[column])) << type.name << " value " << position;
                    ASSERT_EQ(std::isnan(out[(column + 1) % 32]), type.block.values > 1) << type.name;
                }
            }
            Data bad_query = data(type, c);
            bad_query.query.set(5, NAN);
            run(bad_query);
            ASSERT_TRUE(std::isnan(out[0]) && std::isnan(out[31])) << type.name;
            Data outside = data(type, c);
            spoil(outside.keys, type, c, 40, 3, NAN);
            spoil(outside.values, type, c, 40, 3, NAN);
            run(outside);
            for (size_t i = 0; i < c.stride(); i++) {
                ASSERT_TRUE(std::isfinite(out[i])) << type.name << ": what no query sees does not count";
            }
        }
    }
}

/// A key of minus infinity weighs nothing, wherever it is; of plus infinity it is no number.
TEST_P(AttentionCheck, Infinities)
{
    for (const CacheType* type : {&kCacheTypes[0], &kCacheTypes[1]}) {
        Case c = {.heads = 2, .head_dim = 8, .position = 150};
        Data all = data(*type, c);
        for (size_t i = 0; i < all.query.size(); i++) {
            all.query.set(i, std::fabs(all.query.get(i)) + 0.1f);
        }
        for (size_t t = 0; t < 70; t++) { // a block and a bit
            spoil(all.keys, *type, c, t, t % 8, -INFINITY);
        }
        Output<float> got(c.stride(), 0);
        (set().*type->attention)(task(c, all, got.data()));
        Output<float> want(c.stride(), 0);
        AttentionTask rest = task(c, all, want.data());
        rest.begin = 70;
        (kReference.*type->attention)(rest);
        for (size_t i = 0; i < c.stride(); i++) {
            ASSERT_TRUE(near(got[i], want[i], tolerance(c))) << type->name << " " << got[i] << " for " << want[i];
        }
        spoil(all.keys, *type, c, 100, 0, INFINITY);
        (set().*type->attention)(task(c, all, got.data()));
        EXPECT_TRUE(std::isnan(got[0])) << type->name;
        for (size_t t = 0; t <= c.position; t++) {
            spoil(all.keys, *type, c, t, 0, -INFINITY);
        }
        (set().*type->attention)(task(c, all, got.data()));
        EXPECT_TRUE(std::isnan(got[0])) << type->name << ": nothing is left to weigh";
    }
}

TEST_P(AttentionCheck, PackF16)
{
    const float specials[] = {0.0f,       -0.0f,      1.0f,      65504.0f,     65519.99f,    65520.0f,
                              -65520.0f,  1e30f,      INFINITY,  -INFINITY,    0x1p-14f,     0x1p-24f,
                              0x1p-25f,   0x1.8p-25f, 0x1p-26f,  0x1.ffcp-15f, 0x1.ffep-15f, 0x1.002p0f,
                              0x1.006p0f, 1e-30f,     0x1p-149f, -0x1.8p-24f,  2049.0f,      2051.0f};
    std::vector<float> x(std::begin(specials), std::end(specials));
    for (int exponent = -28; exponent < 18; exponent++) {
        for (int i = 0; i < 40; i++) {
            x.push_back(std::ldexp(real() * 2.0f, exponent));
        }
    }
    std::vector<uint8_t> got(2 * x.size());
    for (size_t n = 0; n < 20; n++) { // tails
        std::fill(got.begin(), got.end(), 0xee);
        set().pack_f16(got.data(), x.data(), n);
        ASSERT_EQ(got[2 * n], 0xee);
    }
    set().pack_f16(got.data(), x.data(), x.size());
    for (size_t i = 0; i < x.size(); i++) {
        ASSERT_EQ(half_at(got, 2 * i), nearest_half(x[i])) << x[i];
    }
    const float nan = NAN;
    set().pack_f16(got.data(), &nan, 1);
    float back = 0.0f;
    djiblas::kScalar.dequantize_f16(&back, got.data(), 1);
    EXPECT_TRUE(std::isnan(back));
}

TEST_P(AttentionCheck, PackF16TakesBackWhatItGave)
{
    for (uint32_t half = 0; half < 0x10000; half++) {
        const uint8_t bytes[2] = {static_cast<uint8_t>(half), static_cast<uint8_t>(half >> 8)};
        float value = 0.0f;
        djiblas::kScalar.dequantize_f16(&value, bytes, 1);
        uint8_t again[2] = {};
        set().pack_f16(again, &value, 1);
        if (!std::isnan(value)) {
            ASSERT_EQ(std::memcmp(bytes, again, 2), 0) << half;
        }
    }
}

TEST_P(AttentionCheck, PackQ80)
{
    constexpr size_t kBlocks = 40;
    std::vector<float> x = reals(32 * kBlocks);
    for (size_t i = 0; i < x.size(); i++) {
        x[i] = std::ldexp(x[i], static_cast<int>(i / 32) - 20);
    }
    std::fill(x.begin(), x.begin() + 32, 0.0f);
    for (size_t i = 32; i < 64; i++) { // d is 1: halves are rounded away from zero
        x[i] = static_cast<float>(i) - 40.5f;
    }
    x[32] = -127.0f;
    std::vector<uint8_t> got(34 * kBlocks);
    set().pack_q8_0(got.data(), x.data(), x.size());
    for (size_t block = 0; block < kBlocks; block++) {
        float peak = 0.0f;
        for (size_t i = 0; i < 32; i++) {
            peak = std::fmax(peak, std::fabs(x[32 * block + i]));
        }
        const float d = peak / 127.0f;
        ASSERT_EQ(half_at(got, 34 * block), nearest_half(d)) << block;
        for (size_t i = 0; i < 32; i++) {
            const float quotient = d == 0.0f ? 0.0f : x[32 * block + i] / d;
            ASSERT_EQ(static_cast<int8_t>(got[34 * block + 2 + i]), static_cast<int8_t>(std::round(quotient)))
                << x[32 * block + i] << " of block " << block;
        }
    }
    for (const float special : {NAN, INFINITY, -INFINITY}) {
        x[70] = special;
        set().pack_q8_0(got.data(), x.data(), x.size());
        float back[32];
        djiblas::kScalar.dequantize_q8_0(back, got.data() + 2 * 34, 32);
        EXPECT_FALSE(std::isfinite(back[0])) << special;
        djiblas::kScalar.dequantize_q8_0(back, got.data() + 34, 32);
        EXPECT_TRUE(std::isfinite(back[0]));
    }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionCheck, testing::ValuesIn(all_sets()), set_name);

} // namespace

} // namespace llmk::check
