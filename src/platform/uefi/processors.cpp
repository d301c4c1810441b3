// SPDX-License-Identifier: MIT
#include "platform/uefi/processors.h"

#include "cpu/features.h"
#include "platform/uefi/clock.h"
#include "platform/uefi/memory.h"
#include "platform/uefi/stack.h"

#include <algorithm>
#include <cpuid.h>

extern "C" void llmk_call_on_stack(void (*function)(void*), void* argument, void* top);

namespace llmk::uefi {
namespace {

/// Of the trial, which is some microseconds of work behind a start of some ten milliseconds.
constexpr UINTN kTrialMicroseconds = 2'000'000;
constexpr uint32_t kMxcsr = 0x1f80; // as crt0.S
/// The firmware looks every 100 ms whether all have come back, and refuses a start until it has seen it.
constexpr uint64_t kRetryTicks = 4'000'000; // one to four milliseconds
constexpr int kSpins = 20'000;              // of PAUSE: about a millisecond

/// Bits of the APIC id that tell the threads of one core apart. Intel SDM vol. 2A, CPUID leaf 0Bh; AMD has it too.
bool is_first_thread()
{
    unsigned shift = 0;
    unsigned threads = 0;
    unsigned kind = 0;
    unsigned apic_id = 0;
    if (__get_cpuid_max(0, nullptr) < 0x0b) {
        return true;
    }
    __cpuid_count(0x0b, 0, shift, threads, kind, apic_id);
    return threads == 0 || (apic_id & ((1u << (shift & 0x1f)) - 1)) == 0;
}

bool has_monitor()
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    __cpuid(1, a, b, c, d);
    return (c >> 3 & 1) != 0;
}

/// The state that a processor needs before our code runs on it; the firmware's INIT has taken it away.
void prepare_processor()
{
    enable_avx();
    asm volatile("ldmxcsr %0" : : "m"(kMxcsr));
}

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

void EFIAPI Processors::try_out(void* trial_of)
{
    prepare_processor();
    auto& trial = *static_cast<Trial*>(trial_of);
    if ((detect_cpu().mask & trial.features) == trial.features) {
        (is_first_thread() ? trial.cores : trial.threads).fetch_add(1);
    }
}

/// In steps, each with a time limit: a processor that hangs in a start without one would hang there for ever.
void Processors::probe()
{
    EFI_GUID guid = kMpServicesGuid;
    void* interface = nullptr;
    if (EFI_ERROR(m_firmware.boot->LocateProtocol(&guid, nullptr, &interface))) {
        return alone("the firmware has no EFI_MP_SERVICES_PROTOCOL");
    }
    auto& mp = *static_cast<MpServices*>(interface);
    UINTN total = 0;
    UINTN enabled = 0;
    if (EFI_ERROR(mp.get_number_of_processors(&mp, &total, &enabled)) || enabled < 2) {
        return alone(enabled == 1 ? "the firmware counts no other" : "the firmware does not count them");
    }
    m_features = detect_cpu().mask;
    for (UINTN i = 0; i < total; ++i) {
        ProcessorInformation information = {};
        if (EFI_ERROR(mp.get_processor_info(&mp, i, &information)) ||
            (information.flags & ProcessorInformation::kIsBsp) != 0 ||
            (information.flags & ProcessorInformation::kEnabled) == 0) {
            continue;
        }
        Trial trial = {.features = m_features};
        const EFI_STATUS status = mp.startup_this_ap(&mp, try_out, i, nullptr, kTrialMicroseconds, &trial, nullptr);
        if (EFI_ERROR(status)) {
            return alone(Text<80>("number {} did not answer ({:x})", i, status & 0xff));
        }
        break;
    }
    try_all(mp, enabled);
}

void Processors::try_all(MpServices& mp, size_t enabled)
{
    Trial trial = {.features = m_features};
    const EFI_STATUS status = mp.startup_all_aps(&mp, try_out, FALSE, nullptr, kTrialMicroseconds, &trial, nullptr);
    const size_t fit = trial.cores + trial.threads;
    if (EFI_ERROR(status)) {
        return alone(Text<80>("of {} others {} answered ({:x})", enabled - 1, fit, status & 0xff));
    }
    if (fit == 0) {
        return alone("the others lack instructions that this one has");
    }
    auto stacks = allocate_pages(m_firmware, fit * kStackBytes);
    if (!stacks.ok() || EFI_ERROR(m_firmware.boot->CreateEvent(0, TPL_APPLICATION, nullptr, nullptr, &m_event))) {
        return alone("no memory for the others' stacks");
    }
    m_stacks = static_cast<uint8_t*>(stacks.value());
    m_stack_count = fit;
    for (size_t i = 0; i < fit; ++i) {
        arm_canary(stack(i));
    }
    m_mp = &mp;
    m_launched = enabled - 1;
    // With none first of its core, all are cores: a firmware or hypervisor that numbers them oddly.
    m_cores = trial.cores != 0 ? trial.cores.load() : fit;
    m_threads = fit - m_cores;
    m_state = State::resting;
    m_note = Text<160>("{} processors: {} cores, {} further threads", 1 + fit, 1 + m_cores, m_threads);
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
        return false;
    }
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

void Processors::rest()
{
    LLMK_ASSERT(m_job.function == nullptr);
    if (m_state != State::working) {
        return;
    }
    m_board.close();
    while (m_left.load(std::memory_order_acquire) != m_launched) {
        __builtin_ia32_pause();
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
