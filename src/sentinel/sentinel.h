// SPDX-License-Identifier: MIT
//
// Watches the engine: cycle budgets per token for prefill and decode, and what trips always (a failed allocation, a
// broken guard, NaN or Inf in the logits, changed weights). It decides and logs; the reaction (rewind, dump, prompt)
// is the engine's and the REPL's.
//
// Budgets: the first runs of a phase set its budget to 6x the cycles a token took; later ones move it by an exponential
// average. A run over its budget but under 3x of it is soft: it is logged and the budget grows to it. At 3x or more it
// is hard: it trips under strict_budget=1, else it is logged, and the budget grows as well.
#pragma once

#include "log/ring_log.h"
#include "mem/zones.h"

namespace llmk {

enum class Phase : uint8_t { prefill, decode };
constexpr std::string_view phase_name(Phase phase) { return phase == Phase::prefill ? "prefill" : "decode"; }

enum class TripReason : uint8_t { none, budget, allocation, guard, not_finite, checksum, injected };
std::string_view trip_reason_name(TripReason reason);

/// Whether a run says what a token usually takes. Several decoded at once take less each: they are judged, but the
/// budget learns nothing from them.
enum class Sample : uint8_t { usual, unusual };

struct Trip {
    TripReason reason = TripReason::none;
    Phase phase = Phase::prefill;
    Text<160> what; ///< a sentence
    bool tripped() const { return reason != TripReason::none; }
};

class Sentinel {
public:
    Sentinel(Platform& platform, Zones& zones, RingLog& log) : m_platform(platform), m_zones(zones), m_log(log) {}

    struct Budget {
        uint64_t cycles_per_token = 0; ///< 0: not set yet
        uint64_t average = 0;          ///< moving average of the measured
        uint64_t last = 0;
        uint32_t runs = 0;
        uint32_t soft = 0, hard = 0; ///< overruns so far
        bool fixed = false;          ///< set by a person: never grows by itself
    };

    static constexpr uint64_t kHeadroom = 6;
    static constexpr uint64_t kHardFactor = 3;
    static constexpr uint32_t kLearningRuns = 4;

    /// After `tokens` tokens (none: they came with an earlier run) took `cycles`: judges, learns, and returns a trip
    /// when strict. `notice` gets a line for the console when a budget was overrun (it speaks only then).
    Trip account(Phase phase, uint64_t cycles, uint64_t tokens, TextWriter& notice, Sample sample = Sample::usual);
    /// Trips when any of the values is NaN or infinite.
    Trip check_finite(Phase phase, std::span<const float> logits);
    /// Trips when a guard of any arena is broken.
    Trip check_guards(Phase phase);
    /// Makes a trip of a failed allocation, and logs it.
    Trip allocation_failed(Phase phase, const Error& error);
    /// Makes a trip of weights that are not what was loaded, and logs it.
    Trip weights_changed(std::string_view where, uint64_t pointer);
    /// The next account() of the phase trips, whatever it measures. For /test_failsafe.
    void inject(Phase phase);

    const Budget& budget(Phase phase) const { return m_budgets[static_cast<size_t>(phase)]; }
    /// Sets a budget by hand; 0 lets it be learned anew.
    void set_budget(Phase phase, uint64_t cycles_per_token);
    /// Forgets what was learned: another model or kernel set has other speeds.
    void reset_budgets();
    bool strict() const { return m_strict; }
    void set_strict(bool strict) { m_strict = strict; }
    uint64_t trips() const { return m_trips; }

private:
    Trip trip(TripReason reason, Phase phase, std::string_view what, uint8_t arena = RingLog::kNoArena,
              uint64_t pointer = 0);

    Platform& m_platform;
    Zones& m_zones;
    RingLog& m_log;
    Budget m_budgets[2];
    bool m_injected[2] = {false, false};
    bool m_strict = false;
    uint64_t m_trips = 0;
};

} // namespace llmk
