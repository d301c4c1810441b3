// SPDX-License-Identifier: MIT
//
// Keys from the firmware, with modifiers where it tells them, and resting until one comes.
#pragma once

#include "llmk/platform.h"
#include "platform/uefi/firmware.h"

namespace llmk::uefi {

class Keyboard {
public:
    explicit Keyboard(const Firmware& firmware);

    bool poll(Key& key);
    /// Rests, with the processor halted where the firmware does so, until a key waits or the time is over.
    void idle(uint32_t milliseconds);
    void close();

private:
    bool read(Key& key);
    bool read_input(EFI_KEY_DATA& data);
    void rest(uint32_t milliseconds);

    Firmware m_firmware;
    SIMPLE_INPUT_INTERFACE* m_in;
    SIMPLE_INPUT_INTERFACE* m_terminal = nullptr;         ///< the serial one behind ConIn; read by itself, and first
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL* m_in_ex = nullptr; ///< where it is, read instead of m_in
    EFI_EVENT m_timer = nullptr;
    Key m_waiting; ///< read by idle(), not yet given to anyone
    bool m_has_waiting = false;
};

} // namespace llmk::uefi
