// SPDX-License-Identifier: MIT
//
// The console: EFI_SIMPLE_TEXT_OUTPUT onto the terminal by ANSI sequences, EFI_SIMPLE_TEXT_INPUT and _EX from it. UEFI
// specification 12.3 and 12.4. As on a screen, and unlike on a serial line, texts are whole Unicode (UCS-2).
#include "machine.h"

#include <algorithm>
#include <cstring>

namespace llmk::efisim {
namespace {

constexpr EFI_GUID kTextInput = EFI_SIMPLE_TEXT_INPUT_PROTOCOL_GUID;
constexpr EFI_GUID kTextInputEx = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;
constexpr EFI_GUID kTextOutput = EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL_GUID;
constexpr unsigned kAnsiOfEfi[] = {0, 4, 2, 6, 1, 5, 3, 7}; // black, blue, green, cyan, red, magenta, brown, grey

struct Console {
    SIMPLE_TEXT_OUTPUT_INTERFACE out;
    SIMPLE_TEXT_OUTPUT_MODE mode;
    SIMPLE_INPUT_INTERFACE in;
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL in_ex;
    /// The last column was filled: the firmware's cursor is on the next row, the terminal's goes there with what comes.
    bool wrap_pending;
};

Console g_console;

void append_utf8(std::string& text, char16_t c)
{
    if (c < 0x80) {
        text.push_back(static_cast<char>(c));
        return;
    }
    if (c < 0x800) {
        text.push_back(static_cast<char>(0xc0 | c >> 6));
    } else {
        text.push_back(static_cast<char>(0xe0 | c >> 12));
        text.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3f)));
    }
    text.push_back(static_cast<char>(0x80 | (c & 0x3f)));
}

void next_row(INT32 rows) { g_console.mode.CursorRow = std::min(g_console.mode.CursorRow + 1, rows - 1); }

EFI_STATUS EFIAPI output_string(SIMPLE_TEXT_OUTPUT_INTERFACE*, CHAR16* string)
{
    const auto* text = reinterpret_cast<const char16_t*>(string);
    const TerminalSize size = Terminal::size();
    const auto columns = static_cast<INT32>(size.columns);
    const auto rows = static_cast<INT32>(size.rows);
    SIMPLE_TEXT_OUTPUT_MODE& mode = g_console.mode;
    std::string bytes;
    for (; *text != 0; ++text) {
        if (g_console.wrap_pending && *text < 0x20) {
            bytes += "\r\n"; // where the firmware's cursor is already
        }
        g_console.wrap_pending = false;
        append_utf8(bytes, *text);
        if (*text == u'\n') {
            next_row(rows);
        } else if (*text == u'\r') {
            mode.CursorColumn = 0;
        } else if (*text == u'\b') {
            mode.CursorColumn = std::max(mode.CursorColumn - 1, 0);
        } else if (++mode.CursorColumn >= columns) {
            mode.CursorColumn = 0;
            next_row(rows);
            g_console.wrap_pending = true;
        }
    }
    machine().terminal.write(bytes);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI query_mode(SIMPLE_TEXT_OUTPUT_INTERFACE*, UINTN number, UINTN* columns, UINTN* rows)
{
    if (number != 0) {
        return EFI_UNSUPPORTED;
    }
    const TerminalSize size = Terminal::size();
    *columns = size.columns;
    *rows = size.rows;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI set_attribute(SIMPLE_TEXT_OUTPUT_INTERFACE*, UINTN attribute)
{
    const unsigned foreground = attribute & 0x0f;
    const unsigned background = attribute >> 4 & 0x07;
    std::string sequence = "\x1b[0";
    // Light grey on black is the console's own colour, and so that of the terminal.
    if (foreground != EFI_LIGHTGRAY) {
        sequence += foreground >= 8 ? ";1;" : ";";
        sequence += std::to_string(30 + kAnsiOfEfi[foreground & 7]);
    }
    if (background != EFI_BLACK) {
        sequence += ";" + std::to_string(40 + kAnsiOfEfi[background]);
    }
    machine().terminal.write(sequence + "m");
    g_console.mode.Attribute = static_cast<INT32>(attribute);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI set_cursor_position(SIMPLE_TEXT_OUTPUT_INTERFACE*, UINTN column, UINTN row)
{
    const TerminalSize size = Terminal::size();
    if (column >= size.columns || row >= size.rows) {
        return EFI_UNSUPPORTED;
    }
    machine().terminal.write("\x1b[" + std::to_string(row + 1) + ";" + std::to_string(column + 1) + "H");
    g_console.mode.CursorColumn = static_cast<INT32>(column);
    g_console.mode.CursorRow = static_cast<INT32>(row);
    g_console.wrap_pending = false;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI clear_screen(SIMPLE_TEXT_OUTPUT_INTERFACE* self)
{
    machine().terminal.write("\x1b[2J");
    return set_cursor_position(self, 0, 0);
}

EFI_STATUS EFIAPI enable_cursor(SIMPLE_TEXT_OUTPUT_INTERFACE*, BOOLEAN visible)
{
    machine().terminal.write(visible != 0 ? "\x1b[?25h" : "\x1b[?25l");
    g_console.mode.CursorVisible = visible;
    return EFI_SUCCESS;
}

EFI_STATUS read_key(EFI_INPUT_KEY& key)
{
    TerminalKey typed;
    if (!machine().terminal.read_key(typed)) {
        return EFI_NOT_READY;
    }
    key.ScanCode = typed.scan_code;
    key.UnicodeChar = static_cast<CHAR16>(typed.character);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI read_key_stroke(SIMPLE_INPUT_INTERFACE*, EFI_INPUT_KEY* key) { return read_key(*key); }

EFI_STATUS EFIAPI read_key_stroke_ex(EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL*, EFI_KEY_DATA* data)
{
    data->KeyState = {};
    return read_key(data->Key);
}

} // namespace

void install_console(EFI_SYSTEM_TABLE& system)
{
    Console& console = g_console;
    fill_with_refusals(&console.out, offsetof(SIMPLE_TEXT_OUTPUT_INTERFACE, Mode), "EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL");
    console.out.OutputString = output_string;
    console.out.QueryMode = query_mode;
    console.out.SetAttribute = set_attribute;
    console.out.ClearScreen = clear_screen;
    console.out.SetCursorPosition = set_cursor_position;
    console.out.EnableCursor = enable_cursor;
    console.out.Mode = &console.mode;
    console.mode.MaxMode = 1;

    Event* key = machine().events.create(Event::Kind::key);
    fill_with_refusals(&console.in, sizeof(console.in), "EFI_SIMPLE_TEXT_INPUT_PROTOCOL");
    console.in.ReadKeyStroke = read_key_stroke;
    console.in.WaitForKey = key;
    fill_with_refusals(&console.in_ex, sizeof(console.in_ex), "EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL");
    console.in_ex.ReadKeyStrokeEx = read_key_stroke_ex;
    console.in_ex.WaitForKeyEx = key;

    // ConIn and ConOut are splitters of the firmware's; behind ConIn is a keyboard.
    Handle& keyboard = machine().add_handle();
    keyboard.protocols.push_back({kTextInput, &console.in});
    Handle& input = machine().add_handle();
    input.protocols.push_back({kTextInput, &console.in});
    input.protocols.push_back({kTextInputEx, &console.in_ex});
    Handle& output = machine().add_handle();
    output.protocols.push_back({kTextOutput, &console.out});
    system.ConsoleInHandle = &input;
    system.ConIn = &console.in;
    system.ConsoleOutHandle = &output;
    system.ConOut = &console.out;
    system.StandardErrorHandle = &output;
    system.StdErr = &console.out;
    clear_screen(&console.out);
}

} // namespace llmk::efisim
