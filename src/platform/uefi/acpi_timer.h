// SPDX-License-Identifier: MIT
//
// The ACPI power management timer (ACPI specification 4.8.3.3): a counter of known rate in every PC that is not
// "hardware-reduced". Only to measure the TSC against.
#pragma once

#include "platform/uefi/firmware.h"

namespace llmk::uefi {

class AcpiTimer {
public:
    static constexpr uint64_t kFrequency = 3'579'545;

    /// Looks it up in the ACPI tables. Where there is none, `read` is always 0.
    static AcpiTimer find(const Firmware& firmware);

    uint32_t read() const;
    /// Ticks from one reading to a later one, at most 4 s after it.
    uint32_t elapsed(uint32_t begin, uint32_t end) const { return (end - begin) & m_mask; }

private:
    uint16_t m_port = 0;
    uint32_t m_mask = 0xffffff; ///< the counter has 24 bits or 32
};

} // namespace llmk::uefi
