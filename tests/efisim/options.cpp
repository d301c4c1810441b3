// SPDX-License-Identifier: MIT
#include "efisim.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace llmk::efisim {
namespace {

constexpr char kUsage[] = R"(usage: efisim --volume FOLDER [options]

Runs BOOTX64.EFI, the very file, as a process: the folder is its stick, this terminal its console. Ctrl-A X leaves.

  --efi FILE           the program (build/BOOTX64.EFI)
  --volume FOLDER      a volume; the first is the one the program is started from
  --memory SIZE        of the machine, as 512M or 4G (4G)
  --processors N       (1)
  --base random        another place in memory each time
  --symbols FILE       the ELF file that the program was made of, build/efi/llmk.so: prints gdb's add-symbol-file line,
                       and writes /tmp/perf-PID.map for perf
  --timeout SECONDS    ends the run, exit status 124
  --cpuid CHANGE       LEAF[.SUBLEAF].ebx=VALUE, or + to set and - to clear bits; needs --symbols and objdump

Faults, for tests:
  --mp none            no EFI_MP_SERVICES_PROTOCOL
  --mp deaf=K[:N]      processor K never runs what it is given, from the N-th start on
  --mp busy=A[-B]      the starts A to B are answered by NOT_READY; A-: all from there
  --mp dead            the first start never returns
  --read-only          the volumes are write-protected
  --slow-disk BYTES    a second
  --largest-read BYTES longer reads are device errors
  --watchdog SECONDS   the firmware's, as it is armed when the program starts (300)

Exit status: 0 power-off or success, 1 the program failed, 2 something must be put right first, 3 reboot, 4 left,
70 fault, 71 watchdog, 124 timeout.
)";

uint64_t number_of(const char* option, const char* text, const char* rest_allowed = "")
{
    char* end = nullptr;
    errno = 0;
    const uint64_t value = strtoull(text, &end, 10);
    const bool has_unit = *end != 0 && end[1] == 0 && strchr(rest_allowed, *end) != nullptr;
    if (end == text || errno != 0 || (*end != 0 && !has_unit)) {
        stop(kExitUsage, "%s %s: expected a number%s", option, text, *rest_allowed != 0 ? ", or one with M or G" : "");
    }
    return value << (*end == 'G' ? 30 : *end == 'M' ? 20 : 0);
}

/// A[-B] or A- from a list of starts.
void parse_range(const char* text, unsigned& from, unsigned& to)
{
    char* end = nullptr;
    from = static_cast<unsigned>(strtoul(text, &end, 10));
    to = from;
    if (*end == '-') {
        to = end[1] == 0 ? ~0u : static_cast<unsigned>(strtoul(end + 1, &end, 10));
    }
    if (from == 0 || to < from) {
        stop(kExitUsage, "--mp busy=%s: expected starts, counted from 1, as 1-3 or 2-", text);
    }
}

void parse_faults(const std::string& text, ProcessorFaults& faults)
{
    if (text == "none") {
        faults.none = true;
    } else if (text == "dead") {
        faults.dead_at_probe = true;
    } else if (text.starts_with("deaf=")) {
        char* end = nullptr;
        faults.deaf = static_cast<unsigned>(strtoul(text.c_str() + 5, &end, 10));
        faults.deaf_from = *end == ':' ? static_cast<unsigned>(strtoul(end + 1, nullptr, 10)) : 1;
    } else if (text.starts_with("busy=")) {
        parse_range(text.c_str() + 5, faults.busy_from, faults.busy_to);
    } else {
        stop(kExitUsage, "--mp %s: expected none, deaf=K[:N], busy=A[-B] or dead", text.c_str());
    }
}

void set(Options& options, const std::string& name, const char* value)
{
    const char* option = name.c_str();
    if (name == "--efi") {
        options.efi = value;
    } else if (name == "--volume") {
        options.volumes.emplace_back(value);
    } else if (name == "--memory") {
        options.memory_bytes = number_of(option, value, "MG");
    } else if (name == "--processors") {
        options.processors = static_cast<unsigned>(number_of(option, value));
    } else if (name == "--base") {
        options.random_base = strcmp(value, "random") == 0;
    } else if (name == "--symbols") {
        options.symbols = value;
    } else if (name == "--timeout") {
        options.timeout_s = strtod(value, nullptr);
    } else if (name == "--cpuid") {
        options.cpuid.emplace_back(value);
    } else if (name == "--mp") {
        parse_faults(value, options.faults);
    } else if (name == "--slow-disk") {
        options.disk_bytes_per_second = number_of(option, value, "MG");
    } else if (name == "--largest-read") {
        options.largest_read = number_of(option, value, "MG");
    } else if (name == "--watchdog") {
        options.watchdog_s = static_cast<unsigned>(number_of(option, value));
    } else {
        stop(kExitUsage, "%s is no option; --help lists them", option);
    }
}

} // namespace

Options parse_options(int argc, char** argv)
{
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string name = argv[i];
        if (name == "--help") {
            std::fputs(kUsage, stdout);
            std::exit(kExitDone);
        }
        if (name == "--read-only") {
            options.read_only = true;
            continue;
        }
        if (i + 1 == argc) {
            stop(kExitUsage, "%s: no such option, or its value is missing; --help lists them", name.c_str());
        }
        set(options, name, argv[++i]);
    }
    if (options.volumes.empty()) {
        stop(kExitUsage, "--volume FOLDER is needed: what stands for the stick");
    }
    if (options.processors == 0 || options.processors > 256) {
        stop(kExitUsage, "--processors: expected 1 to 256");
    }
    if (!options.cpuid.empty() && options.symbols.empty()) {
        stop(kExitUsage, "--cpuid needs --symbols build/efi/llmk.so");
    }
    return options;
}

} // namespace llmk::efisim
