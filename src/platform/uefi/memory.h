// SPDX-License-Identifier: MIT
//
// Pages from the firmware: large ones above 4 GiB where there is room, so that devices keep the low memory.
#pragma once

#include "base/status.h"
#include "platform/uefi/firmware.h"

namespace llmk::uefi {

Result<void*> allocate_pages(const Firmware& firmware, uint64_t bytes);
void free_pages(const Firmware& firmware, void* pages, uint64_t bytes);
/// What allocate_pages can still give, in single pieces, the largest first; a reserve for the firmware is taken off.
size_t free_extents(const Firmware& firmware, std::span<uint64_t> sizes_bytes);

} // namespace llmk::uefi
