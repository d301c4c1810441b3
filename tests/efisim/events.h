// SPDX-License-Identifier: MIT
//
// Events and timers of the boot services, UEFI specification 7.1: without notification functions, which the program
// does not use. Time passes by itself: an event is looked at when somebody asks.
#pragma once

#include "efisim.h"

#include <memory>

namespace llmk::efisim {

struct Event {
    enum class Kind : uint8_t { plain, timer, key };

    Kind kind = Kind::plain;
    bool signalled = false;
    uint64_t due_ns = 0; ///< of a timer that is set; 0: not set
};

class Events {
public:
    Event* create(Event::Kind kind);
    /// Null when it is none of ours.
    Event* find(EFI_EVENT event);
    EFI_STATUS close(EFI_EVENT event);
    size_t count() const { return m_events.size(); }

    /// True, and no longer signalled, when it was. That of a key stays as long as a key waits.
    bool check(Event& event);
    /// Rests until one of them is signalled; its index.
    size_t wait(const std::vector<Event*>& events);

private:
    std::vector<std::unique_ptr<Event>> m_events;
};

} // namespace llmk::efisim
