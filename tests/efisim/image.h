// SPDX-License-Identifier: MIT
//
// The PE32+ image in memory, as firmware with memory protection loads it: each section with its own rights. PE format:
// Microsoft, "PE Format"; UEFI specification 2.1.1.
#pragma once

#include "efisim.h"

#include <string_view>

namespace llmk::efisim {

class Memory;

class Image {
public:
    /// Loads it into `memory`, anywhere; ends the process with a sentence when it is not an image that firmware takes.
    void load(const std::string& path, Memory& memory, bool random_base);

    using Entry = EFI_STATUS(EFIAPI*)(EFI_HANDLE image, EFI_SYSTEM_TABLE* system);
    Entry entry() const { return reinterpret_cast<Entry>(m_base + m_entry); }
    uint64_t base() const { return m_base; }
    uint64_t size() const { return m_size; }
    bool holds(uint64_t address) const { return address >= m_base && address < m_base + m_size; }

    /// Puts a trap where an instruction was. Before the program runs.
    void patch(uint64_t offset, std::string_view bytes);

private:
    uint64_t m_base = 0;
    uint64_t m_size = 0;
    uint64_t m_entry = 0;
};

} // namespace llmk::efisim
