// SPDX-License-Identifier: MIT
//
// Calibration under a clock that the test drives: what a pass takes depends on the kernels and the processors in use.
#include "fake/tiny_engine.h"

#include <map>

namespace llmk {
namespace {

/// A tiny engine that measures, on a processor of these sets.
struct Bench {
    TinyEngine tiny;
    std::map<std::string, uint64_t> ticks; ///< that a look at the clock adds: what a pass takes, by the set in use
    std::map<size_t, uint64_t> percent;    ///< of it, by the processors in use; 100 where nothing is said
    /// Of it, by how weights are read; 100 where nothing is said.
    std::map<WeightReading, uint64_t> reading_percent;

    explicit Bench(std::map<std::string, uint64_t> costs = {}) : ticks(std::move(costs))
    {
        tiny.platform.on_ticks = [this] {
            const KernelChoice& kernels = tiny.engine->kernels();
            EXPECT_STREQ(kernels.gemm.name, kernels.attention.name);
            const uint64_t cost = ticks.contains(kernels.gemm.name) ? ticks[kernels.gemm.name] : 1000;
            const size_t count = tiny.platform.processor_count();
            const WeightReading reading = kernels.gemm.reading;
            const uint64_t share = reading_percent.contains(reading) ? reading_percent[reading] : 100;
            return cost * (percent.contains(count) ? percent[count] : 100) / 100 * share / 100;
        };
    }
    ~Bench() { tiny.platform.on_ticks = nullptr; }

    const KernelTiming& timing(std::string_view name)
    {
        const KernelChoice& choice = tiny.engine->kernels();
        const auto it = std::find_if(std::begin(choice.timings), std::end(choice.timings),
                                     [&](const KernelTiming& seen) { return seen.name == name; });
        EXPECT_NE(it, std::end(choice.timings)) << name;
        return *it;
    }
    std::string measure()
    {
        EXPECT_TRUE(tiny.engine->use_kernels("auto").ok());
        EXPECT_TRUE(tiny.engine->kernels().measured);
        return tiny.engine->kernels().gemm.name;
    }
};

/// Those that every x86-64 processor has: the test's outcome is the same on each machine.
TEST(Calibration, TheFastestIsChosen)
{
    Bench bench;
    for (const KernelSet* set : kernel_sets()) {
        bench.ticks[set->name] = 900;
    }
    bench.ticks["scalar"] = 700;
    EXPECT_EQ(bench.measure(), "scalar");
    EXPECT_TRUE(bench.timing("sse2").timed);
    EXPECT_EQ(bench.timing("sse2").decode_ticks, 900u);
    EXPECT_EQ(bench.timing("sse2").prefill_ticks, 900u);
    EXPECT_EQ(bench.timing("scalar").decode_ticks, 700u);
    EXPECT_EQ(bench.tiny.engine->calibration().layers, bench.tiny.engine->model().desc.block_count);
    EXPECT_EQ(bench.tiny.engine->calibration().batch, 32u);
    bench.ticks["sse2"] = 600;
    EXPECT_EQ(bench.measure(), "sse2");
}

TEST(Calibration, ASetThatIsFarBehindIsLeftAtOneLook)
{
    Bench bench;
    bench.ticks["scalar"] = 5000;
    bench.measure();
    EXPECT_FALSE(bench.timing("scalar").timed);
    EXPECT_EQ(bench.timing("scalar").decode_ticks, 5000u);
    EXPECT_EQ(bench.timing("scalar").prefill_ticks, 0u);
}

/// 1 ms a pass: of layers that take longer, one.
TEST(Calibration, LongLayersAreTriedOne)
{
    Bench bench;
    for (const KernelSet* set : kernel_sets()) {
        bench.ticks[set->name] = 2'000'000;
    }
    bench.measure();
    EXPECT_EQ(bench.tiny.engine->calibration().layers, 1u);
}

TEST(Calibration, AModelThatIsLoadedIsMeasured)
{
    TinyEngine tiny;
    ASSERT_TRUE(tiny.engine->use_kernels("auto").ok());
    ASSERT_TRUE(tiny.engine->load("tiny.bin", {}, 0, {}).ok());
    EXPECT_TRUE(tiny.engine->kernels().measured);
    EXPECT_GT(tiny.engine->calibration().layers, 0u);
    ASSERT_TRUE(tiny.engine->use_kernels("scalar").ok());
    ASSERT_TRUE(tiny.engine->load("tiny.bin", {}, 0, {}).ok());
    EXPECT_FALSE(tiny.engine->kernels().measured) << "an order is an order";
    EXPECT_STREQ(tiny.engine->kernels().gemm.name, "scalar");
    EXPECT_EQ(tiny.engine->calibration().layers, 0u);
}

TEST(Calibration, FewerProcessorsWhereThatIsFaster)
{
    Bench bench;
    bench.tiny.platform.processors = 8;
    bench.percent = {{8, 300}, {4, 200}, {2, 150}, {1, 149}};
    bench.measure();
    EXPECT_EQ(bench.tiny.platform.processor_limit, 2u) << "one is not faster by a twentieth";
    const auto& seen = bench.tiny.engine->calibration().processors;
    EXPECT_EQ(seen[0].count, 8u);
    EXPECT_EQ(seen[0].decode_ticks, 3000u);
    EXPECT_EQ(seen[2].count, 2u);
    EXPECT_EQ(seen[2].prefill_ticks, 1500u);
    EXPECT_EQ(seen[3].count, 1u);
    EXPECT_EQ(seen[4].count, 0u);
    bench.tiny.engine->unload();
    EXPECT_EQ(bench.tiny.platform.processor_limit, 0u) << "that was for this model";
    ASSERT_TRUE(bench.tiny.engine->load("tiny.bin", {}, 0, {}).ok());
    EXPECT_EQ(bench.tiny.platform.processor_limit, 2u);
    bench.percent = {{8, 100}, {4, 100}};
    bench.measure();
    EXPECT_EQ(bench.tiny.platform.processor_limit, 0u) << "all";
    EXPECT_EQ(bench.tiny.engine->calibration().processors[2].count, 0u) << "half was no better: enough seen";
}

TEST(Calibration, ANumberThatWasAskedForStays)
{
    Bench bench;
    bench.tiny.platform.processors = 8;
    bench.tiny.platform.use_processors(6);
    bench.tiny.engine->keep_processors();
    bench.percent = {{6, 300}};
    bench.measure();
    EXPECT_EQ(bench.tiny.platform.processor_limit, 6u);
    EXPECT_EQ(bench.tiny.engine->calibration().processors[0].count, 0u);
}

TEST(Calibration, WeightsAreReadInTheWayThatIsFastest)
{
    Bench bench;
    bench.reading_percent = {{WeightReading::side_by_side, 90}, {WeightReading::in_places, 92}};
    bench.measure();
    EXPECT_EQ(bench.tiny.engine->kernels().gemm.reading, WeightReading::side_by_side);
    EXPECT_EQ(bench.tiny.engine->calibration().memory.ticks[0], 1000u);
    EXPECT_EQ(bench.tiny.engine->calibration().memory.ticks[1], 900u);
    EXPECT_EQ(bench.tiny.engine->calibration().memory.ticks[2], 920u);
    bench.reading_percent = {{WeightReading::side_by_side, 92}, {WeightReading::in_places, 90}};
    bench.measure();
    EXPECT_EQ(bench.tiny.engine->kernels().gemm.reading, WeightReading::in_places);
    bench.reading_percent = {{WeightReading::side_by_side, 98}, {WeightReading::in_places, 98}};
    bench.measure();
    EXPECT_EQ(bench.tiny.engine->kernels().gemm.reading, WeightReading::one_stream) << "not faster by a thirtieth";
    bench.reading_percent = {{WeightReading::in_places, 90}};
    ASSERT_TRUE(bench.tiny.engine->use_kernels("sse2").ok());
    EXPECT_EQ(bench.tiny.engine->kernels().gemm.reading, WeightReading::in_places) << "an order says nothing of memory";
    EXPECT_TRUE(bench.tiny.engine->kernels().forced);
}

/// In the middle of a conversation nothing of the passes stays.
TEST(Calibration, TheConversationGoesOnAsIfNothingHadBeen)
{
    TinyEngine measured;
    TinyEngine other;
    const KernelChoice scalar = measured.engine->kernels();
    EXPECT_EQ(measured.say("the hat"), other.say("the hat"));
    ASSERT_TRUE(measured.engine->use_kernels("auto").ok());
    EXPECT_GT(measured.engine->calibration().layers, 0u);
    measured.engine->restore_kernels(scalar);
    EXPECT_EQ(measured.tokens(), other.tokens());
    EXPECT_EQ(measured.logits(), other.logits());
    EXPECT_EQ(measured.say("and"), other.say("and"));
    EXPECT_EQ(measured.logits(), other.logits());
}

TEST(Calibration, AFullContextLeavesTheChoiceByExpectation)
{
    TinyEngine tiny({}, 16);
    const std::vector<Token> tokens(16, 1);
    ASSERT_TRUE(tiny.session().prefill(tokens, {}).ok());
    ASSERT_TRUE(tiny.engine->use_kernels("auto").ok());
    EXPECT_EQ(tiny.engine->calibration().layers, 0u);
    EXPECT_FALSE(tiny.engine->kernels().measured);
    EXPECT_EQ(tiny.engine->calibration().memory.ticks[0], 0u);
    EXPECT_EQ(tiny.session().length(), 16u);
}

} // namespace
} // namespace llmk
