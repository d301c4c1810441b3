// SPDX-License-Identifier: MIT
#include "platform/uefi/runtime.h"

#include "base/status.h"

namespace llmk::uefi {
namespace {

// The one global of this folder: a panic comes from anywhere and is passed no platform.
constinit EFI_SYSTEM_TABLE* g_system = nullptr;

/// Any serial line, for machines without a console.
void print_serial(const char* text)
{
    EFI_GUID guid = EFI_SERIAL_IO_PROTOCOL_GUID;
    void* interface = nullptr;
    if (EFI_ERROR(g_system->BootServices->LocateProtocol(&guid, nullptr, &interface))) {
        return;
    }
    auto* serial = static_cast<EFI_SERIAL_IO_PROTOCOL*>(interface);
    UINTN size = std::string_view(text).size();
    serial->Write(serial, &size, const_cast<char*>(text));
}

} // namespace

void runtime_start(const Firmware& firmware) { g_system = firmware.system; }

void print_plain(const char* text)
{
    if (g_system == nullptr) {
        return;
    }
    SIMPLE_TEXT_OUTPUT_INTERFACE* out = g_system->ConOut;
    if (out == nullptr) {
        print_serial(text);
        return;
    }
    for (; *text != 0; ++text) {
        // One at a time: no buffer that could be too short, and speed does not matter here.
        const char16_t character[] = {static_cast<unsigned char>(*text), 0};
        out->OutputString(out, firmware_text(character));
    }
}

void halt()
{
    while (true) {
        if (g_system != nullptr) {
            g_system->BootServices->Stall(1'000'000); // returns now and then; timers of the firmware go on
        } else {
            __builtin_ia32_pause();
        }
    }
}

} // namespace llmk::uefi

namespace llmk {

void panic(const char* what, const char* file, int line)
{
    Text<12> number("{}", line);
    number.put('\0');
    uefi::print_plain("\r\n\r\nPANIC: ");
    uefi::print_plain(what);
    uefi::print_plain("\r\n  at ");
    uefi::print_plain(file);
    uefi::print_plain(":");
    uefi::print_plain(number.view().data());
    uefi::print_plain("\r\nThis is a bug in LLM Bare-Metal: please report these lines. Switch the machine off.\r\n");
    uefi::halt();
}

} // namespace llmk

extern "C" {

[[noreturn]] void __cxa_pure_virtual();
[[noreturn]] void abort() noexcept;

void __cxa_pure_virtual() { llmk::panic("pure virtual call", __FILE__, __LINE__); }
void abort() noexcept { llmk::panic("abort", __FILE__, __LINE__); }

} // extern "C"
