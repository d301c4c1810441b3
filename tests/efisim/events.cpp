// SPDX-License-Identifier: MIT
#include "events.h"

#include "machine.h"

#include <algorithm>

namespace llmk::efisim {
namespace {

/// The firmware's own timer: how often it looks at what nobody tells it.
constexpr uint64_t kTickNs = 10'000'000;

} // namespace

Event* Events::create(Event::Kind kind)
{
    m_events.push_back(std::make_unique<Event>());
    m_events.back()->kind = kind;
    return m_events.back().get();
}

Event* Events::find(EFI_EVENT event)
{
    const auto found =
        std::find_if(m_events.begin(), m_events.end(), [&](const auto& known) { return known.get() == event; });
    return found == m_events.end() ? nullptr : found->get();
}

EFI_STATUS Events::close(EFI_EVENT event)
{
    const bool known = std::erase_if(m_events, [&](const auto& one) { return one.get() == event; }) != 0;
    return known ? EFI_SUCCESS : EFI_INVALID_PARAMETER;
}

bool Events::check(Event& event)
{
    machine().processors.look();
    switch (event.kind) {
    case Event::Kind::key:
        return machine().terminal.has_key();
    case Event::Kind::timer:
        if (event.due_ns != 0 && now_ns() >= event.due_ns) {
            event.due_ns = 0;
            event.signalled = true;
        }
        break;
    case Event::Kind::plain:
        break;
    }
    const bool signalled = event.signalled;
    event.signalled = false;
    return signalled;
}

size_t Events::wait(const std::vector<Event*>& events)
{
    while (true) {
        const uint64_t now = now_ns();
        uint64_t rest = kTickNs;
        for (size_t i = 0; i < events.size(); ++i) {
            if (check(*events[i])) {
                return i;
            }
            if (events[i]->due_ns != 0) {
                rest = std::min(rest, events[i]->due_ns > now ? events[i]->due_ns - now : 0);
            }
        }
        machine().terminal.wait(rest);
    }
}

} // namespace llmk::efisim
