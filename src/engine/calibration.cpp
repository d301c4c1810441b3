// SPDX-License-Identifier: MIT
#include "engine/calibration.h"

#include <algorithm>

namespace llmk {

namespace {

/// Rows of a prompt that sets show their worth with: some share what they unpack among 32, AMX among whole tiles.
constexpr size_t kBatch = 32;
constexpr size_t kRuns = 3;
/// A pass of one token goes through as many layers as take this long.
constexpr uint64_t kPassesPerSecond = 1000;
/// A pass this long need not be repeated as often: what interrupts it is a small part of it.
constexpr uint64_t kLongPassesPerSecond = 100;

struct Times {
    uint64_t decode;
    uint64_t prefill;
};

/// Passes of one session through the first layers.
class Trial {
public:
    Trial(Platform& platform, Session& session, const Calibration& calibration)
        : m_platform(platform), m_session(session), m_calibration(calibration)
    {
    }

    uint64_t decode() { return m_session.time_pass(1, m_calibration.layers); }
    /// The first runs, which an emulator translates in, do not count.
    Times best()
    {
        (void)decode();
        const uint64_t decode_ticks = best_of([this] { return decode(); });
        const auto pass = [this] { return m_session.time_pass(m_calibration.batch, m_calibration.layers); };
        (void)pass();
        return {decode_ticks, best_of(pass)};
    }

private:
    template <class Pass> uint64_t best_of(const Pass& pass)
    {
        uint64_t best = UINT64_MAX;
        for (size_t run = 0; run < kRuns; ++run) {
            best = std::min<uint64_t>(best, pass());
            if (run > 0 && best > m_platform.ticks_per_second() / kLongPassesPerSecond) {
                break;
            }
        }
        return best;
    }

    Platform& m_platform;
    Session& m_session;
    const Calibration& m_calibration;
};

/// Layers whose pass takes about as long as it should.
uint64_t layers_for(Platform& platform, Session& session, uint64_t most)
{
    (void)session.time_pass(1, 1);
    const uint64_t one = std::max<uint64_t>(session.time_pass(1, 1), 1);
    return std::clamp<uint64_t>(platform.ticks_per_second() / kPassesPerSecond / one, 1, most);
}

/// By a twentieth, decode and prefill counting alike.
bool is_faster(const ProcessorTiming& a, const ProcessorTiming& b)
{
    const auto share = [](uint64_t now, uint64_t then) {
        return static_cast<double>(now) / static_cast<double>(std::max<uint64_t>(then, 1));
    };
    return share(a.decode_ticks, b.decode_ticks) + share(a.prefill_ticks, b.prefill_ticks) < 2 * 0.95;
}

} // namespace

Calibration calibrate_kernels(Platform& platform, Session& session, const ModelDesc& desc, const CpuFeatures& cpu,
                              KernelChoice& kernels)
{
    Calibration calibration;
    kernels = expect_kernels(cpu);
    calibration.batch = std::min({kBatch, session.batch_limit(), session.context() - session.length()});
    if (calibration.batch == 0) {
        return calibration;
    }
    calibration.layers = layers_for(platform, session, desc.block_count);
    Trial trial(platform, session, calibration);
    const auto sets = kernel_sets();
    uint64_t best_decode = UINT64_MAX;
    for (size_t i = 0; i < sets.size(); ++i) {
        if (!may_choose(*sets[i], cpu)) {
            continue;
        }
        KernelTiming& timing = kernels.timings[i];
        kernels.gemm = kernels.attention = complete_kernel_set(sets[i]->name, cpu).value();
        timing.decode_ticks = trial.decode();
        if (timing.decode_ticks / 4 <= best_decode) { // else nothing that interrupted it makes up for that
            timing.decode_ticks = std::min(timing.decode_ticks, trial.decode());
        }
        if (timing.decode_ticks / 5 > best_decode / 4) { // no need to see its prefill
            continue;
        }
        const Times times = trial.best();
        timing.timed = true;
        timing.decode_ticks = std::min(timing.decode_ticks, times.decode);
        timing.prefill_ticks = times.prefill;
        best_decode = std::min(best_decode, timing.decode_ticks);
    }
    const size_t best = fastest_kernels({kernels.timings, sets.size()});
    kernels.gemm = kernels.attention = complete_kernel_set(sets[best]->name, cpu).value();
    kernels.measured = true;
    return calibration;
}

void use_processors(Platform& platform, size_t most)
{
    // Firmware takes 100 ms to see that processors are back from work, and does not start others meanwhile.
    constexpr uint32_t kBackMilliseconds = 150;
    platform.use_processors(most);
    platform.idle(kBackMilliseconds);
}

void calibrate_processors(Platform& platform, Session& session, Calibration& calibration)
{
    const size_t all = platform.processor_count();
    if (calibration.layers == 0 || all == 1) {
        return;
    }
    Trial trial(platform, session, calibration);
    const auto measure = [&](ProcessorTiming& timing, size_t count) {
        const Times times = trial.best();
        if (timing.count == 0) {
            timing = {count, times.decode, times.prefill};
        }
        timing.decode_ticks = std::min(timing.decode_ticks, times.decode);
        timing.prefill_ticks = std::min(timing.prefill_ticks, times.prefill);
    };
    ProcessorTiming* const timings = calibration.processors;
    measure(timings[0], all);
    size_t best = 0;
    for (size_t i = 1; i < std::size(calibration.processors) && timings[best].count > 1; ++i) {
        const size_t count = timings[best].count / 2;
        use_processors(platform, count);
        measure(timings[i], count);
        if (is_faster(timings[i], timings[best])) { // if that was not interrupted
            use_processors(platform, timings[best].count);
            measure(timings[best], timings[best].count);
        }
        if (!is_faster(timings[i], timings[best])) {
            break;
        }
        best = i;
    }
    platform.use_processors(best == 0 ? 0 : timings[best].count);
}

void calibrate_memory(Platform& platform, Session& session, const ModelDesc& desc, KernelSet& set,
                      Calibration& calibration)
{
    // Pieces of a large model are so much together that none is in a cache when its turn comes again.
    constexpr size_t kMostPieces = 9;
    constexpr size_t kWays = djiblas::kWeightReadings;
    constexpr size_t kPasses = kWays * kMostPieces;
    set.reading = WeightReading::one_stream;
    calibration.memory = {};
    if (session.context() == session.length()) {
        return;
    }
    const uint64_t layers = layers_for(platform, session, desc.block_count);
    const size_t pieces = std::clamp<size_t>(desc.block_count / layers, 1, kMostPieces);
    uint64_t best[kWays][kMostPieces];
    std::fill_n(best[0], kPasses, UINT64_MAX);
    for (size_t pass = 0; pass < kPasses; ++pass) {
        const size_t piece = pass % pieces;
        const size_t way = (pass / pieces + piece) % kWays;
        set.reading = static_cast<WeightReading>(way);
        best[way][piece] = std::min(best[way][piece], session.time_pass(1, layers, piece * layers));
    }
    set.reading = WeightReading::one_stream;
    double least = 1.0 - 1.0 / 30.0;
    for (size_t way = 0; way < kWays; ++way) {
        double shares[kMostPieces];
        for (size_t piece = 0; piece < pieces; ++piece) {
            shares[piece] =
                static_cast<double>(best[way][piece]) / static_cast<double>(std::max<uint64_t>(best[0][piece], 1));
            calibration.memory.ticks[way] += best[way][piece] / pieces;
        }
        std::sort(shares, shares + pieces);
        if (shares[pieces / 2] < least) {
            least = shares[pieces / 2];
            set.reading = static_cast<WeightReading>(way);
        }
    }
}

} // namespace llmk
