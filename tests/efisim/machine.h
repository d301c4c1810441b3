// SPDX-License-Identifier: MIT
//
// The parts of the simulated machine in one place. There is one machine a process, and the firmware's functions are
// given no context, so it is the one global object here.
#pragma once

#include "events.h"
#include "image.h"
#include "memory_map.h"
#include "processors.h"
#include "terminal.h"

#include <map>
#include <memory>

namespace llmk::efisim {

/// A handle of the firmware's: protocols by their names.
struct Handle {
    struct Protocol {
        EFI_GUID guid;
        void* interface;
    };
    std::vector<Protocol> protocols;

    void* find(const EFI_GUID& guid) const;
};

struct Machine {
    Options options;
    Memory memory;
    Image image;
    Terminal terminal;
    Events events;
    Processors processors;
    std::vector<std::unique_ptr<Handle>> handles;
    std::map<void*, size_t> pool; ///< what AllocatePool has given, and its sizes
    unsigned open_files = 0;

    Handle& add_handle();
    void* pool_allocate(size_t bytes);
    EFI_STATUS pool_free(void* buffer);
};

Machine& machine();

// --- what each file puts into the machine
// -----------------------------------------------------------------------------

/// Keyboard and screen; fills in the console's part of the system table.
void install_console(EFI_SYSTEM_TABLE& system);
/// A volume for each folder; returns the handle of the first, or null.
EFI_HANDLE install_volumes();
/// EFI_MP_SERVICES_PROTOCOL, unless the machine has none.
void install_processors();
void install_boot_services(EFI_BOOT_SERVICES& services);
void install_runtime_services(EFI_RUNTIME_SERVICES& services);
/// Tables of ACPI with the timer in them.
void install_acpi(EFI_SYSTEM_TABLE& system);
/// Arms the firmware's watchdog; 0 disarms it.
void set_watchdog(uint64_t seconds);
/// Ends the run with kExitTimeout after this long.
void limit_time(double seconds);

// --- services that are not simulated
// ----------------------------------------------------------------------------------

/// Fills the function pointers of a table, from `first` on, with functions that stop the run and say its name and
/// their number in it.
void fill_with_refusals(void* first, size_t bytes, const char* table);

} // namespace llmk::efisim
