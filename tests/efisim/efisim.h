// SPDX-License-Identifier: MIT
//
// The firmware that build/BOOTX64.EFI meets when it runs as a Linux process: boot and runtime services, protocols and
// processors, exactly those that src/platform/uefi uses. Anything else stops the run with a sentence that names it, so
// a service that the program begins to use is seen at once, and simulated then.
//
// Not a sandbox: the program runs as this process and may do to it what a bug does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "platform/uefi/firmware.h"

namespace llmk::efisim {

/// How the process ends; scripts/ and tests/ read these.
enum ExitStatus : int {
    kExitDone = 0,      ///< power-off, or the program returned success
    kExitFailed = 1,    ///< the program returned an error, or left something behind that the firmware would trip over
    kExitUsage = 2,     ///< the command line, a file or this machine must be put right first
    kExitReboot = 3,    ///< the program asked for a reset
    kExitLeft = 4,      ///< Ctrl-A X
    kExitFault = 70,    ///< an exception that nothing here answers, or a service that is not simulated
    kExitWatchdog = 71, ///< the firmware's watchdog fired
    kExitTimeout = 124, ///< --timeout
};

/// Starts of processors that the firmware refuses or lets hang, for tests.
struct ProcessorFaults {
    bool none = false;      ///< no EFI_MP_SERVICES_PROTOCOL at all
    unsigned deaf = 0;      ///< this one never runs what it is given; 0: none
    unsigned deaf_from = 1; ///< ... from the how-manieth start of it on
    unsigned busy_from = 0; ///< starts of this number to `busy_to`, counted from 1, are answered by NOT_READY; 0: none
    unsigned busy_to = 0;
    bool dead_at_probe = false; ///< the first start never returns: the machine hangs
};

struct Options {
    std::string efi = "build/BOOTX64.EFI";
    std::vector<std::string> volumes; ///< folders; the first is the one the program is started from
    uint64_t memory_bytes = uint64_t{4} << 30;
    unsigned processors = 1;
    bool random_base = false;
    std::string symbols; ///< the ELF file that the program was made of; empty: none
    bool read_only = false;
    uint64_t disk_bytes_per_second = 0; ///< 0: as fast as it goes
    uint64_t largest_read = 0;          ///< longer ones are answered by DEVICE_ERROR; 0: none
    double timeout_s = 0;
    unsigned watchdog_s = 300;
    ProcessorFaults faults;
    std::vector<std::string> cpuid; ///< what CPUID is to answer instead: LEAF[.SUBLEAF].REGISTER{=|+|-}VALUE
};

/// Ends the process with a sentence when the command line is wrong.
Options parse_options(int argc, char** argv);

/// Gives the terminal back and ends the process at once; safe in a signal handler.
[[noreturn]] void leave(ExitStatus status);
/// The same after "efisim: " and the sentence on standard error.
[[noreturn, gnu::format(printf, 2, 3)]] void stop(ExitStatus status, const char* format, ...);
/// A line on standard error.
[[gnu::format(printf, 1, 2)]] void note(const char* format, ...);

/// CLOCK_MONOTONIC.
uint64_t now_ns();
void sleep_ns(uint64_t ns);

} // namespace llmk::efisim
