// SPDX-License-Identifier: MIT
#include "platform/uefi/processors.h"

#include "cpu/features.h"
#include "platform/uefi/clock.h"
#include "platform/uefi/memory.h"
#include "platform/uefi/processor_self.h"
#include "platform/uefi/stack.h"

#include <algorithm>

extern "C" void llmk_call_on_stack(void (*function)(void*), void* argument, void* top);

namespace llmk::uefi {
namespace {

/// The firmware looks every 100 ms whether all have come back, and refuses a start until it has seen it.
constexpr uint64_t kRetryTicks = 4'000'000; // one to four milliseconds
constexpr size_t kMostRefusals = 400;       // half a second and more: it does not see it at all
constexpr int kSpins = 20'000;              // of PAUSE: about a millisecond
constexpr UINTN kLeaveMicroseconds = 1000;  // between two looks whether all have left
constexpr int kLeaveLooks = 3000;           // about three seconds

/// Rests until the ticket changes, or an event of the machine's.
void monitor_wait(const std::atomic<uint64_t>& ticket, uint64_t seen)
{
    asm volatile("monitor" : : "a"(&ticket), "c"(0), "d"(0));
    if (ticket.load(std::memory_order_acquire) == seen) {
        asm volatile("mwait" : : "a"(0), "c"(0) : "memory");
    }
}

} // namespace

void Processors::limit(size_t most)
{
    if (most == m_limit) { // those that work may go on
        return;
    }
    rest();
    m_limit = most;
}

void Processors::alone(std::string_view why)
{
    m_state = State::alone;
    m_note = Text<160>("one processor: {}", why);
}

size_t Processors::count()
{
    if (m_limit == 1) {
        return 1;
    }
    if (m_state == State::unknown) {
        probe();
    }
    if (m_state == State::alone) {
        return 1;
    }
    return 1 + (m_limit == 0 ? m_cores : std::min(m_limit - 1, m_cores + m_threads));
}

void EFIAPI Processors::enter(void* processors)
{
    prepare_processor();
    auto& self = *static_cast<Processors*>(processors);
    const bool fit = (detect_cpu().mask & self.m_features) == self.m_features;
    if (fit && (self.m_all_threads || is_first_thread())) {
        const uint32_t number = self.m_entered.fetch_add(1);
        if (number + 1 < self.count()) {
            llmk_call_on_stack(work, &self, self.m_stacks + (number + 1) * kStackBytes);
        }
    }
    self.m_left.fetch_add(1, std::memory_order_release);
}

void Processors::work(void* processors)
{
    JobBoard& board = static_cast<Processors*>(processors)->m_board;
    // Under an emulator PAUSE and MWAIT leave the translated code and take the lock of its devices: a processor that
    // waits with them makes another's reading of a disk many times slower.
    const bool emulated = detect_cpu().emulated;
    const bool can_monitor = has_monitor() && !emulated;
    while (!board.closed()) {
        const uint64_t seen = board.ticket().load(std::memory_order_acquire);
        board.claim();
        for (int i = 0; i < kSpins && !board.open() && !board.closed(); ++i) {
            if (!emulated) {
                __builtin_ia32_pause();
            }
        }
        if (can_monitor && !board.open() && !board.closed()) {
            monitor_wait(board.ticket(), seen);
        }
    }
}

/// False while the firmware has not seen the last ones come back, and when it refuses for good.
bool Processors::start()
{
    if (count() == 1) {
        return false;
    }
    if (m_state == State::working) {
        return true;
    }
    const uint64_t now = read_tsc();
    if (now < m_retry_at) {
        return false;
    }
    m_all_threads = m_threads == 0 || (m_limit != 0 && m_limit - 1 > m_cores);
    m_entered = 0;
    m_left = 0;
    m_board.reopen();
    const EFI_STATUS status = m_mp->startup_all_aps(m_mp, enter, FALSE, m_event, 0, this, nullptr);
    if (status == EFI_NOT_READY) {
        m_retry_at = now + kRetryTicks;
        if (++m_refusals == kMostRefusals) {
            alone("the firmware says that the others are still busy");
        }
        return false;
    }
    m_refusals = 0;
    if (EFI_ERROR(status)) {
        alone(Text<80>("the firmware no longer starts the others ({:x})", status & 0xff));
        return false;
    }
    m_state = State::working;
    m_returning = true;
    return true;
}

void Processors::begin(JobBoard::Function function, void* context, size_t parts)
{
    LLMK_ASSERT(m_job.function == nullptr);
    m_job = {function, context, parts, false};
    offer();
}

void Processors::offer()
{
    if (!m_job.offered && start()) {
        m_board.publish(m_job.function, m_job.context, m_job.parts);
        m_job.offered = true;
    }
}

bool Processors::done()
{
    if (m_job.function == nullptr) {
        return true;
    }
    offer(); // the firmware may have been late
    return m_job.offered && m_board.finished();
}

void Processors::end()
{
    if (m_job.function == nullptr) {
        return;
    }
    offer();
    for (size_t part = 0; !m_job.offered && part < m_job.parts; ++part) {
        m_job.function(m_job.context, part);
    }
    m_board.claim();
    while (m_job.offered && !m_board.finished()) {
        __builtin_ia32_pause();
    }
    m_job = {};
}

/// Waits for those that are out. False when some did not come back, or never came out: they may hang for ever.
bool Processors::all_left()
{
    const auto done = [this] { return m_left.load(std::memory_order_acquire) == m_launched; };
    for (int i = 0; i < kSpins && !done(); ++i) {
        __builtin_ia32_pause();
    }
    for (int i = 0; i < kLeaveLooks && !done(); ++i) {
        m_firmware.boot->Stall(kLeaveMicroseconds);
    }
    return done();
}

/// The board stays closed, so that one that comes late goes back at once; their stacks stay theirs.
void Processors::lost()
{
    const uint32_t back = m_left;
    alone(Text<80>("of {} others {} came back from work; they are left alone", m_launched, back));
    m_stacks = nullptr;
    m_returning = false; // the firmware waits for them too
}

void Processors::rest()
{
    LLMK_ASSERT(m_job.function == nullptr);
    if (m_state != State::working) {
        return;
    }
    m_board.close();
    if (!all_left()) {
        return lost();
    }
    for (size_t i = 0; i < m_stack_count; ++i) {
        LLMK_ASSERT(canary_intact(stack(i)));
    }
    m_state = State::resting;
}

void Processors::close()
{
    rest();
    if (m_event != nullptr) {
        // Signalled within 100 ms of the last one's return; never when none was started.
        for (int i = 0; i < 50 && m_returning && EFI_ERROR(m_firmware.boot->CheckEvent(m_event)); ++i) {
            m_firmware.boot->Stall(10'000);
        }
        m_firmware.boot->CloseEvent(m_event);
        m_event = nullptr;
    }
    if (m_stacks != nullptr) {
        free_pages(m_firmware, m_stacks, m_stack_count * kStackBytes);
        m_stacks = nullptr;
    }
    m_state = State::alone;
}

} // namespace llmk::uefi
