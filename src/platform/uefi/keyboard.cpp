// SPDX-License-Identifier: MIT
#include "platform/uefi/keyboard.h"

#include "platform/uefi/devices.h"

#include <algorithm>
#include <optional>

namespace llmk::uefi {
namespace {

constexpr EFI_GUID kSimpleTextInput = EFI_SIMPLE_TEXT_INPUT_PROTOCOL_GUID;
constexpr EFI_GUID kSimpleTextInputEx = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;

// On some machines the wait event of ConIn never fires, so keys are looked for at least this often.
constexpr uint32_t kLookEveryMs = 20;
constexpr UINT64 kTimerUnitsPerMs = 10000; // of 100 ns

/// With fast boot, firmware may leave keyboards unconnected: then ConIn is there but nothing is behind it.
bool has_key_device(const Firmware& firmware)
{
    const HandleList inputs(firmware, kSimpleTextInput);
    return std::ranges::any_of(inputs.handles(),
                               [&](EFI_HANDLE handle) { return handle != firmware.system->ConsoleInHandle; });
}

std::optional<KeyCode> key_of_scan_code(UINT16 scan_code)
{
    switch (scan_code) {
    case SCAN_UP:
        return KeyCode::up;
    case SCAN_DOWN:
        return KeyCode::down;
    case SCAN_RIGHT:
        return KeyCode::right;
    case SCAN_LEFT:
        return KeyCode::left;
    case SCAN_HOME:
        return KeyCode::home;
    case SCAN_END:
        return KeyCode::end;
    case SCAN_DELETE:
        return KeyCode::del;
    case SCAN_PAGE_UP:
        return KeyCode::page_up;
    case SCAN_PAGE_DOWN:
        return KeyCode::page_down;
    case SCAN_ESC:
        return KeyCode::escape;
    default:
        return std::nullopt;
    }
}

/// Fills in code and character of `key`, whose modifiers are set. False for keys that mean nothing here.
bool translate(const EFI_INPUT_KEY& input, Key& key)
{
    const char16_t c = input.UnicodeChar;
    if (c == 0) {
        const auto code = key_of_scan_code(input.ScanCode);
        key.code = code.value_or(KeyCode::character);
        return code.has_value();
    }
    // A serial line and most firmware say Ctrl-H as U+0008, USB keyboards as 'h' with Ctrl: both are one key.
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const auto control = static_cast<char16_t>(key.ctrl && letter ? c & 0x1f : c);
    if (control != c) {
        key.ctrl = false; // part of the key; set again below where it is not
    }
    switch (control) {
    case '\b':
    case 0x7f: // what terminals send for backspace
        key.code = KeyCode::backspace;
        return true;
    case '\t':
        key.code = KeyCode::tab;
        return true;
    case '\r':
    case '\n':
        key.code = KeyCode::enter;
        return true;
    case 0x1b:
        key.code = KeyCode::escape;
        return true;
    default:
        break;
    }
    if (control < 0x20) {
        key.ctrl = true;
        key.character = static_cast<char32_t>(control <= 26 ? control + 'a' - 1 : control + '@');
    } else if (c >= 0xd800 && c <= 0xdfff) {
        return false; // half of a pair: no firmware keyboard sends the other one
    } else {
        key.character = c;
    }
    key.code = KeyCode::character;
    return true;
}

} // namespace

Keyboard::Keyboard(const Firmware& firmware) : m_firmware(firmware)
{
    if (!has_key_device(firmware)) {
        connect_all_devices(firmware);
    }
    m_in = firmware.system->ConIn;
    m_terminal = protocol_on<SIMPLE_INPUT_INTERFACE>(
        firmware, find_serial_terminal(firmware, kConsoleInDevice, firmware.system->ConsoleInHandle), kSimpleTextInput);
    m_in_ex =
        protocol_on<EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL>(firmware, firmware.system->ConsoleInHandle, kSimpleTextInputEx);
    if (EFI_ERROR(firmware.boot->CreateEvent(EVT_TIMER, TPL_APPLICATION, nullptr, nullptr, &m_timer))) {
        m_timer = nullptr;
    }
}

bool Keyboard::poll(Key& key)
{
    if (m_has_waiting) {
        key = m_waiting;
        m_has_waiting = false;
        return true;
    }
    return read(key);
}

void Keyboard::idle(uint32_t milliseconds)
{
    while (milliseconds > 0 && !m_has_waiting) {
        m_has_waiting = read(m_waiting);
        if (!m_has_waiting) {
            const uint32_t slice = std::min(milliseconds, kLookEveryMs);
            rest(slice);
            milliseconds -= slice;
        }
    }
}

void Keyboard::close()
{
    if (m_timer != nullptr) {
        m_firmware.boot->CloseEvent(m_timer);
        m_timer = nullptr;
    }
}

bool Keyboard::read(Key& key)
{
    // The loop skips keys without a meaning here, such as a modifier alone.
    for (EFI_KEY_DATA data = {}; read_input(data); data = {}) {
        key = {};
        const UINT32 shifts = data.KeyState.KeyShiftState;
        if ((shifts & EFI_SHIFT_STATE_VALID) != 0) {
            key.ctrl = (shifts & (EFI_LEFT_CONTROL_PRESSED | EFI_RIGHT_CONTROL_PRESSED)) != 0;
            key.shift = (shifts & (EFI_LEFT_SHIFT_PRESSED | EFI_RIGHT_SHIFT_PRESSED)) != 0;
            // The right one is AltGr on many keyboards, and part of writing '@'.
            key.alt = (shifts & EFI_LEFT_ALT_PRESSED) != 0;
        }
        if (translate(data.Key, key)) {
            return true;
        }
    }
    return false;
}

// Keys are read directly and never by an event: CheckEvent would eat the event, and on some machines it never fires.
bool Keyboard::read_input(EFI_KEY_DATA& data)
{
    if (m_terminal != nullptr && !EFI_ERROR(m_terminal->ReadKeyStroke(m_terminal, &data.Key))) {
        // Terminals send U+007F for the backspace key, and EDK2's driver makes a Delete key of it. Behind ConIn it
        // could not be told from a keyboard's.
        if (data.Key.ScanCode == SCAN_DELETE) {
            data.Key = {SCAN_NULL, CHAR_BACKSPACE};
        }
        return true;
    }
    if (m_in_ex != nullptr) {
        return !EFI_ERROR(m_in_ex->ReadKeyStrokeEx(m_in_ex, &data));
    }
    return m_in != nullptr && !EFI_ERROR(m_in->ReadKeyStroke(m_in, &data.Key));
}

void Keyboard::rest(uint32_t milliseconds)
{
    EFI_BOOT_SERVICES* boot = m_firmware.boot;
    if (m_timer == nullptr || EFI_ERROR(boot->SetTimer(m_timer, TimerRelative, milliseconds * kTimerUnitsPerMs))) {
        boot->Stall(1000 * static_cast<UINTN>(milliseconds));
        return;
    }
    EFI_EVENT events[] = {m_timer, m_in != nullptr ? m_in->WaitForKey : nullptr};
    const UINTN count = events[1] != nullptr ? 2 : 1;
    UINTN index = 0;
    if (EFI_ERROR(boot->WaitForEvent(count, events, &index))) {
        boot->Stall(1000 * static_cast<UINTN>(milliseconds));
    }
    boot->SetTimer(m_timer, TimerCancel, 0);
}

} // namespace llmk::uefi
