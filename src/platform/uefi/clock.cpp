// SPDX-License-Identifier: MIT
#include "platform/uefi/clock.h"

#include "platform/uefi/acpi_timer.h"

#include <algorithm>
#include <cpuid.h>

namespace llmk::uefi {
namespace {

constexpr UINTN kStallMicroseconds = 25'000;
constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;
// Where CPUID and a measurement agree this well, CPUID is the exact one of the two.
constexpr uint64_t kAgreementPercent = 1;

/// Intel SDM vol. 2A, CPUID leaf 15h: the crystal's rate and the TSC's ratio to it. 0 where it is not told, as by AMD
/// and by most emulators.
uint64_t tsc_frequency_by_cpuid()
{
    unsigned denominator = 0;
    unsigned numerator = 0;
    unsigned crystal_hz = 0;
    unsigned reserved = 0;
    if (__get_cpuid(0x15, &denominator, &numerator, &crystal_hz, &reserved) == 0 || denominator == 0) {
        return 0;
    }
    return static_cast<uint64_t>(crystal_hz) * numerator / denominator;
}

/// Intel SDM vol. 2A, CPUID leaf 16h: the base frequency in MHz, as sold.
uint64_t base_frequency_by_cpuid()
{
    unsigned base_mhz = 0;
    unsigned ignored = 0;
    return __get_cpuid(0x16, &base_mhz, &ignored, &ignored, &ignored) == 0 ? 0
                                                                           : (base_mhz & 0xffff) * uint64_t{1'000'000};
}

/// One run over a stall: by the ACPI timer where there is one, since a stall ends when it ends.
uint64_t frequency_over_stall(const Firmware& firmware, const AcpiTimer& timer)
{
    const uint32_t timer_begin = timer.read();
    const uint64_t tsc_begin = read_tsc();
    firmware.boot->Stall(kStallMicroseconds);
    const uint64_t cycles = read_tsc() - tsc_begin;
    const uint32_t timer_ticks = timer.elapsed(timer_begin, timer.read());
    if (timer_ticks != 0) {
        return cycles * AcpiTimer::kFrequency / timer_ticks;
    }
    return cycles * kMicrosecondsPerSecond / kStallMicroseconds;
}

bool agree(uint64_t a, uint64_t b)
{
    const uint64_t difference = a > b ? a - b : b - a;
    return difference <= b / 100 * kAgreementPercent;
}

} // namespace

uint64_t measure_tsc_frequency(const Firmware& firmware)
{
    // An interruption between the two clocks' readings, such as system management mode, makes a run too long: the
    // smaller of two is the better one.
    const AcpiTimer timer = AcpiTimer::find(firmware);
    const uint64_t measured = std::min(frequency_over_stall(firmware, timer), frequency_over_stall(firmware, timer));
    const uint64_t told = tsc_frequency_by_cpuid();
    if (told != 0 && agree(told, measured)) {
        return told;
    }
    // A Stall that returns at once would measure next to nothing.
    constexpr uint64_t kSlowestPlausible = 100'000'000;
    return measured >= kSlowestPlausible ? measured : std::max({told, base_frequency_by_cpuid(), kSlowestPlausible});
}

Result<WallClock> read_wall_clock(const Firmware& firmware)
{
    EFI_TIME time = {};
    const EFI_STATUS status = firmware.runtime->GetTime(&time, nullptr);
    if (EFI_ERROR(status) || time.Month < 1 || time.Month > 12 || time.Day < 1 || time.Day > 31) {
        return fail(Status::unsupported, "the machine's clock is not set: set it in the firmware's setup");
    }
    return WallClock{time.Year, time.Month, time.Day, time.Hour, time.Minute, time.Second};
}

} // namespace llmk::uefi
