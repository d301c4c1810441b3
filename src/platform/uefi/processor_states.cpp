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

struct Look {
    std::span<ProcessorState> states;
    uint64_t ticks_per_second;
    uint64_t look_until; ///< ticks
    uint64_t wait_until;
    std::atomic<size_t> arrived{0};
    std::atomic<size_t> filled{0};
};

void look(void* look_of, size_t)
{
    auto& all = *static_cast<Look*>(look_of);
    if (read_tsc() >= all.look_until) {
        return; // a second part, of one that did not come
    }
    ProcessorState state;
    read_place(state);
    ProcessorMeter meter;
    meter.begin();
    all.arrived.fetch_add(1);
    while (read_tsc() < all.look_until || (all.arrived.load() < all.states.size() && read_tsc() < all.wait_until)) {
        __builtin_ia32_pause();
    }
    meter.end(all.ticks_per_second, state);
    all.states[all.filled.fetch_add(1)] = state;
}

} // namespace

size_t Processors::states(std::span<ProcessorState> states, uint64_t ticks_per_second)
{
    const uint64_t milliseconds = ticks_per_second / 1000;
    states = states.first(std::min(states.size(), count()));
    const uint64_t now = read_tsc();
    Look all = {.states = states,
                .ticks_per_second = ticks_per_second,
                .look_until = now + 20 * milliseconds,
                .wait_until = now + 40 * milliseconds};
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
