// SPDX-License-Identifier: MIT
//
// The machine's memory: at its physical addresses, below and above 4 GiB, with holes and small pieces as EDK2 leaves
// them. What is free has no rights, so that whoever touches memory that is not his faults, which no PC would tell.
#pragma once

#include "efisim.h"

#include <map>

namespace llmk::efisim {

class Memory {
public:
    /// Ends the process with a sentence where the addresses are not to be had.
    void create(uint64_t bytes);

    /// The contents are undefined, and small pieces are filled with 0xaf. AllocateAnyPages prefers high addresses below
    /// 4 GiB, AllocateAddress must fit one free descriptor: both as EDK2.
    EFI_STATUS allocate(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, uint64_t pages, EFI_PHYSICAL_ADDRESS& address);
    EFI_STATUS free(EFI_PHYSICAL_ADDRESS address, uint64_t pages);
    std::vector<EFI_MEMORY_DESCRIPTOR> map() const;
    /// Of one type.
    uint64_t pages_of(EFI_MEMORY_TYPE type) const;

private:
    struct Piece {
        uint64_t end;
        EFI_MEMORY_TYPE type;
    };
    using Pieces = std::map<uint64_t, Piece>; // by first address

    void add(uint64_t begin, uint64_t end, EFI_MEMORY_TYPE type);
    Pieces::iterator find_free(uint64_t bytes, uint64_t limit);
    void take(Pieces::iterator piece, uint64_t begin, uint64_t end, EFI_MEMORY_TYPE type);

    Pieces m_pieces;
};

} // namespace llmk::efisim
