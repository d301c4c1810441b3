// SPDX-License-Identifier: MIT
//
// Which of the other processors can be used: tried out in steps, each with a time limit, and each written down on the
// stick before it, since firmware that hangs in one would hang there at every start.
#include "cpu/features.h"
#include "platform/uefi/memory.h"
#include "platform/uefi/processor_self.h"
#include "platform/uefi/processors.h"
#include "platform/uefi/stack.h"

namespace llmk::uefi {
namespace {

/// Of the trial, which is some microseconds of work behind a start of some ten milliseconds.
constexpr UINTN kTrialMicroseconds = 2'000'000;
/// Firmware that is busy with the processors itself, as at the end of an earlier start, says so; it looks every 100 ms.
constexpr UINTN kBusyMicroseconds = 20'000;
constexpr int kBusyTries = 50;
/// Each costs the time limit.
constexpr size_t kMostLeftOut = 4;
constexpr UINTN kAll = ~UINTN{0};
constexpr UINTN kEndOfList = 0xffffffff; // END_OF_CPU_LIST

} // namespace

void EFIAPI Processors::try_out(void* trial_of)
{
    prepare_processor();
    auto& trial = *static_cast<Trial*>(trial_of);
    if ((detect_cpu().mask & trial.features) == trial.features) {
        (is_first_thread() ? trial.cores : trial.threads).fetch_add(1);
    }
}

/// One processor or all, as often as the firmware says that it is not ready.
EFI_STATUS Processors::start_trial(MpServices& mp, UINTN number, Trial& trial, UINTN** failed)
{
    EFI_STATUS status = EFI_NOT_READY;
    for (int i = 0; i < kBusyTries && status == EFI_NOT_READY; ++i) {
        if (i > 0) {
            m_firmware.boot->Stall(kBusyMicroseconds);
        }
        status = number == kAll
                     ? mp.startup_all_aps(&mp, try_out, FALSE, nullptr, kTrialMicroseconds, &trial, failed)
                     : mp.startup_this_ap(&mp, try_out, number, nullptr, kTrialMicroseconds, &trial, nullptr);
    }
    return status;
}

/// Takes one out of the firmware's starts for good. False when there are too many, or the firmware refuses.
bool Processors::leave_out(MpServices& mp, UINTN number)
{
    ++m_left_out;
    return m_left_out <= kMostLeftOut && !EFI_ERROR(mp.enable_disable_ap(&mp, number, FALSE, nullptr));
}

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
    const auto step = m_mark.left();
    if (step.size() != 0) {
        return alone(
            Text<120>("the last start ended while trying out {}; delete {} to try again", step, ProbeMark::kFile));
    }
    m_features = detect_cpu().mask;
    if (try_one(mp, total)) {
        try_all(mp);
    }
    m_mark.clear();
}

/// The first that answers shows that the firmware can start any.
bool Processors::try_one(MpServices& mp, UINTN total)
{
    for (UINTN number = 0; number < total; ++number) {
        ProcessorInformation information = {};
        if (EFI_ERROR(mp.get_processor_info(&mp, number, &information)) ||
            (information.flags & ProcessorInformation::kIsBsp) != 0 ||
            (information.flags & ProcessorInformation::kEnabled) == 0) {
            continue;
        }
        m_mark.set(Text<32>("processor {}", number));
        Trial trial = {.features = m_features};
        const EFI_STATUS status = start_trial(mp, number, trial, nullptr);
        if (!EFI_ERROR(status)) {
            return true;
        }
        if (status == EFI_NOT_READY) {
            alone("the firmware says that the others are not ready");
            return false;
        }
        if (status != EFI_TIMEOUT || !leave_out(mp, number)) {
            alone(Text<80>("number {} did not answer ({:x})", number, status & 0xff));
            return false;
        }
    }
    alone("none of the others answered");
    return false;
}

void Processors::try_all(MpServices& mp)
{
    while (true) {
        UINTN total = 0;
        UINTN enabled = 0;
        if (EFI_ERROR(mp.get_number_of_processors(&mp, &total, &enabled)) || enabled < 2) {
            return alone("none of the others answered");
        }
        m_mark.set("all processors");
        Trial trial = {.features = m_features};
        UINTN* failed = nullptr;
        const EFI_STATUS status = start_trial(mp, kAll, trial, &failed);
        if (!EFI_ERROR(status)) {
            return found(mp, trial, enabled);
        }
        bool again = status == EFI_TIMEOUT && failed != nullptr;
        for (UINTN i = 0; again && failed[i] != kEndOfList; ++i) {
            again = leave_out(mp, failed[i]);
        }
        if (failed != nullptr) {
            m_firmware.boot->FreePool(failed);
        }
        if (!again) {
            return alone(
                Text<80>("of {} others {} answered ({:x})", enabled - 1, trial.cores + trial.threads, status & 0xff));
        }
    }
}

void Processors::found(MpServices& mp, const Trial& trial, size_t enabled)
{
    const size_t fit = trial.cores + trial.threads;
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
    if (m_left_out != 0) {
        format(m_note, "; {} did not answer and {} left out", m_left_out, m_left_out == 1 ? "is" : "are");
    }
}

} // namespace llmk::uefi
