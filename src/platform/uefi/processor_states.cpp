// SPDX-License-Identifier: MIT
//
// A look at each processor in use, by itself: one job with a part for each, in which nobody takes a second part until
// all have one. One that is late misses the look.
#include "platform/uefi/clock.h"
#include "platform/uefi/processor_self.h"
#include "platform/uefi/processors.h"

#include <algorithm>

namespace llmk::uefi {
namespace {

constexpr uint64_t kLookMilliseconds = 20;
constexpr uint64_t kWaitMilliseconds = 40; // for those that the firmware, or a hypervisor, is late to give back

struct Look {
    std::span<ProcessorState> states;
    uint64_t ticks_per_second;
    std::atomic<bool> over{false}; ///< one has looked and waited; who takes a part now took one before, or is late
    std::atomic<size_t> arrived{0};
    std::atomic<size_t> filled{0};
};

void look(void* look_of, size_t)
{
    auto& all = *static_cast<Look*>(look_of);
    if (all.over.load()) {
        return;
    }
    ProcessorState state;
    read_place(state);
    ProcessorMeter meter;
    meter.begin();
    all.arrived.fetch_add(1);
    const uint64_t millisecond = all.ticks_per_second / 1000;
    const uint64_t begun = read_tsc();
    const auto passed = [&](uint64_t milliseconds) { return read_tsc() - begun >= milliseconds * millisecond; };
    while (!passed(kLookMilliseconds) || (all.arrived.load() < all.states.size() && !passed(kWaitMilliseconds))) {
        __builtin_ia32_pause();
    }
    meter.end(all.ticks_per_second, state);
    all.states[all.filled.fetch_add(1)] = state;
    all.over.store(true);
}

} // namespace

size_t Processors::states(std::span<ProcessorState> states, uint64_t ticks_per_second)
{
    states = states.first(std::min(states.size(), count()));
    Look all = {.states = states, .ticks_per_second = ticks_per_second};
    run(look, &all, states.size());
    std::sort(states.begin(), states.begin() + static_cast<ptrdiff_t>(all.filled.load()),
              [](const ProcessorState& a, const ProcessorState& b) {
                  const auto place = [](const ProcessorState& s) {
                      return uint64_t{s.package} << 48 | uint64_t{s.core} << 16 | s.thread;
                  };
                  return place(a) < place(b);
              });
    return all.filled;
}

} // namespace llmk::uefi
