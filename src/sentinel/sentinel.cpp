// SPDX-License-Identifier: MIT
#include "sentinel/sentinel.h"

#include <algorithm>
#include <bit>

namespace llmk {

std::string_view trip_reason_name(TripReason reason)
{
    constexpr std::string_view kNames[] = {"none",       "budget",   "allocation", "guard",
                                           "not finite", "checksum", "injected"};
    return kNames[static_cast<size_t>(reason)];
}

Trip Sentinel::trip(TripReason reason, Phase phase, std::string_view what, uint8_t arena, uint64_t pointer)
{
    ++m_trips;
    m_log.add(m_platform.ticks(), LogCode::trip, what, arena, pointer);
    return {reason, phase, Text<160>(what)};
}

Trip Sentinel::account(Phase phase, uint64_t cycles, uint64_t tokens, TextWriter& notice, Sample sample)
{
    Budget& budget = m_budgets[static_cast<size_t>(phase)];
    if (m_injected[static_cast<size_t>(phase)]) {
        m_injected[static_cast<size_t>(phase)] = false;
        return trip(TripReason::injected, phase, Text<160>("{}: trip injected by /test_failsafe", phase_name(phase)));
    }
    if (tokens == 0) {
        return {};
    }
    const uint64_t measured = cycles / tokens;
    budget.last = measured;
    const bool overrun = budget.cycles_per_token != 0 && measured > budget.cycles_per_token;
    const bool hard = overrun && measured / kHardFactor >= budget.cycles_per_token;
    if (overrun) {
        ++(hard ? budget.hard : budget.soft);
        const Text<160> what("{}: {} cycles a token, the budget is {} ({})", phase_name(phase), measured,
                             budget.cycles_per_token, hard ? "hard" : "soft");
        m_log.add(m_platform.ticks(), LogCode::budget, what.view());
        format(notice, "[budget] {}", what);
        if (hard && m_strict) {
            return trip(TripReason::budget, phase, what.view());
        }
    }
    if (sample == Sample::unusual && !overrun) {
        return {};
    }
    // A run that is over its budget is no sample of the usual speed, except that a soft one shows that the budget was
    // too tight: it grows to what was needed.
    if (!overrun) {
        budget.average = budget.runs == 0 ? measured : budget.average - budget.average / 8 + measured / 8;
        ++budget.runs;
    }
    if (budget.fixed) {
        return {};
    }
    if (overrun) {
        budget.cycles_per_token = measured;
    } else if (budget.runs <= kLearningRuns) {
        const uint64_t wanted = measured * kHeadroom;
        budget.cycles_per_token = wanted > budget.cycles_per_token ? wanted : budget.cycles_per_token;
    } else {
        const uint64_t wanted = budget.average * kHeadroom;
        budget.cycles_per_token = budget.cycles_per_token - budget.cycles_per_token / 8 + wanted / 8;
    }
    return {};
}

namespace {

// NaN and infinity have an exponent of all ones: without the sign, one more spills into the uppermost bit. (Bits are
// free of float traps.)
constexpr uint32_t kMagnitude = 0x7fffffff;
constexpr uint32_t kOneMore = 0x00800000;

bool is_finite(float value) { return ((std::bit_cast<uint32_t>(value) & kMagnitude) + kOneMore) >> 31 == 0; }

/// Four at a time: a vocabulary is large beside a small model.
bool all_finite(std::span<const float> values)
{
    using Vector [[gnu::vector_size(16)]] = uint32_t;
    constexpr size_t kLanes = sizeof(Vector) / sizeof(uint32_t);
    Vector any = {};
    for (; values.size() >= kLanes; values = values.subspan(kLanes)) {
        Vector bits;
        __builtin_memcpy(&bits, values.data(), sizeof bits);
        any |= (bits & kMagnitude) + kOneMore;
    }
    uint32_t bad = 0;
    for (size_t i = 0; i < kLanes; ++i) {
        bad |= any[i];
    }
    return bad >> 31 == 0 && std::all_of(values.begin(), values.end(), is_finite);
}

} // namespace

Trip Sentinel::check_finite(Phase phase, std::span<const float> logits)
{
    if (all_finite(logits)) {
        return {};
    }
    const auto index = static_cast<size_t>(std::find_if_not(logits.begin(), logits.end(), is_finite) - logits.begin());
    return trip(TripReason::not_finite, phase,
                Text<160>("{}: the logit of token {} is {}", phase_name(phase), index, logits[index]));
}

Trip Sentinel::check_guards(Phase phase)
{
    const auto broken = m_zones.broken_guard();
    if (!broken) {
        return {};
    }
    return trip(TripReason::guard, phase,
                Text<160>("{}: the guard of {} at {} was overwritten", phase_name(phase), zone_name(broken->zone),
                          broken->address),
                static_cast<uint8_t>(broken->zone), reinterpret_cast<uintptr_t>(broken->address));
}

Trip Sentinel::allocation_failed(Phase phase, const Error& error)
{
    return trip(TripReason::allocation, phase, Text<160>("{}: {}", phase_name(phase), error.message));
}

Trip Sentinel::weights_changed(std::string_view where, uint64_t pointer)
{
    return trip(TripReason::checksum, Phase::decode, Text<160>("{}: its checksum is no longer that of the load", where),
                static_cast<uint8_t>(ZoneId::weights), pointer);
}

void Sentinel::inject(Phase phase) { m_injected[static_cast<size_t>(phase)] = true; }

void Sentinel::set_budget(Phase phase, uint64_t cycles_per_token)
{
    Budget& budget = m_budgets[static_cast<size_t>(phase)];
    budget = {};
    budget.cycles_per_token = cycles_per_token;
    budget.fixed = cycles_per_token != 0;
}

void Sentinel::reset_budgets()
{
    for (Budget& budget : m_budgets) {
        if (!budget.fixed) {
            budget = {};
        }
    }
}

} // namespace llmk
