// SPDX-License-Identifier: MIT
#include "platform/uefi/uefi_platform.h"

#include "platform/uefi/clock.h"
#include "platform/uefi/memory.h"
#include "platform/uefi/runtime.h"
#include "platform/uefi/stack.h"

namespace llmk::uefi {

// The keyboard is the second: with fast boot it connects devices, among them perhaps volumes.
UefiPlatform::UefiPlatform(const Firmware& firmware)
    : m_firmware(firmware), m_console(firmware), m_keyboard(firmware), m_volumes(firmware),
      m_processors(firmware, m_volumes), m_ticks_per_second(measure_tsc_frequency(firmware))
{
}

void UefiPlatform::close()
{
    m_processors.close();
    m_volumes.close_all();
    m_keyboard.close();
    m_console.close();
}

/// Keys are looked for between any two tokens: often enough to see an overflow of the stack soon after it happened.
bool UefiPlatform::key_poll(Key& key)
{
    LLMK_ASSERT(stack_canary_intact());
    return m_keyboard.poll(key);
}

void UefiPlatform::idle(uint32_t milliseconds)
{
    m_processors.rest();
    m_keyboard.idle(milliseconds);
}

// Firmware that protects memory changes page tables here, of which processors that are out would not know.
Result<void*> UefiPlatform::pages_alloc(uint64_t bytes)
{
    m_processors.rest();
    return allocate_pages(m_firmware, bytes);
}

void UefiPlatform::pages_free(void* pages, uint64_t bytes)
{
    m_processors.rest();
    free_pages(m_firmware, pages, bytes);
}

size_t UefiPlatform::memory_extents(std::span<uint64_t> sizes_bytes) { return free_extents(m_firmware, sizes_bytes); }

uint64_t UefiPlatform::ticks() { return read_tsc(); }

Result<WallClock> UefiPlatform::wall_clock() { return read_wall_clock(m_firmware); }

void UefiPlatform::parallel(ParallelFunction function, void* context, size_t parts)
{
    m_processors.run(function, context, parts);
}

void UefiPlatform::parallel_begin(ParallelFunction function, void* context, size_t parts)
{
    m_processors.begin(function, context, parts);
}

void UefiPlatform::reset(ResetKind kind)
{
    // Files are closed first, which flushes them; the console stays as it is, for the words below.
    m_processors.close();
    m_volumes.close_all();
    m_firmware.runtime->ResetSystem(kind == ResetKind::shutdown ? EfiResetShutdown : EfiResetCold, EFI_SUCCESS, 0,
                                    nullptr);
    print_plain("\r\nThe firmware did not do it: press the power button.\r\n");
    halt();
}

} // namespace llmk::uefi
