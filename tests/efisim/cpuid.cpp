// SPDX-License-Identifier: MIT
//
// CPUID as a test wants it: on a processor that lets nobody trap it, the instruction itself gives way to a trap. Where
// it stands in the image is not guessed from its two bytes, which may be part of another one: objdump says.
#include "cpu.h"
#include "image.h"

#include <algorithm>
#include <cpuid.h>
#include <cstring>
#include <string_view>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace llmk::efisim {
namespace {

constexpr std::string_view kUd2("\x0f\x0b", 2);

struct Change {
    uint32_t leaf, subleaf;
    char reg;  // 'a' to 'd'
    char kind; // '=', '+' sets bits, '-' clears them
    uint32_t value;
};

struct Changes {
    std::vector<Change> list;
    std::vector<uint64_t> sites; // addresses, ascending
};

Changes& changes()
{
    static Changes all;
    return all;
}

/// LEAF[.SUBLEAF].e?xKVALUE, all numbers as C writes them: 7.0.ebx-0x10000
Change parse(const std::string& text)
{
    Change change = {};
    char* end = nullptr;
    change.leaf = static_cast<uint32_t>(strtoul(text.c_str(), &end, 0));
    if (end[0] == '.' && end[1] != 'e') {
        change.subleaf = static_cast<uint32_t>(strtoul(end + 1, &end, 0));
    }
    const bool is_register = end[0] == '.' && end[1] == 'e' && end[2] >= 'a' && end[2] <= 'd' && end[3] == 'x';
    if (!is_register || strchr("=+-", end[4]) == nullptr || end[4] == 0) {
        stop(kExitUsage, "--cpuid %s: expected LEAF[.SUBLEAF].eax=VALUE, or with + to set bits and - to clear them",
             text.c_str());
    }
    change.reg = end[2];
    change.kind = end[4];
    change.value = static_cast<uint32_t>(strtoul(end + 5, nullptr, 0));
    return change;
}

/// Offsets of CPUID instructions, by the disassembler that comes with the linker.
std::vector<uint64_t> find_sites(const std::string& symbols)
{
    const std::string command = "objdump -d --no-show-raw-insn '" + symbols + "'";
    FILE* listing = popen(command.c_str(), "r");
    std::vector<uint64_t> offsets;
    char line[512];
    while (listing != nullptr && fgets(line, sizeof(line), listing) != nullptr) {
        char* end = nullptr;
        const uint64_t offset = strtoull(line, &end, 16);
        if (end != line && *end == ':' && strstr(end, "\tcpuid") != nullptr) {
            offsets.push_back(offset);
        }
    }
    if (listing == nullptr || pclose(listing) != 0 || offsets.empty()) {
        stop(kExitUsage, "--cpuid: objdump finds no CPUID in %s; --symbols names the ELF file of the program",
             symbols.c_str());
    }
    return offsets;
}

} // namespace

bool is_cpuid_site(uint64_t address)
{
    const auto& sites = changes().sites;
    return std::binary_search(sites.begin(), sites.end(), address);
}

CpuidAnswer Cpu::cpuid(uint32_t leaf, uint32_t subleaf)
{
    CpuidAnswer answer = {};
    __cpuid_count(leaf, subleaf, answer.a, answer.b, answer.c, answer.d);
    for (const Change& change : changes().list) {
        if (change.leaf != leaf || change.subleaf != subleaf) {
            continue;
        }
        uint32_t* registers[] = {&answer.a, &answer.b, &answer.c, &answer.d};
        uint32_t& value = *registers[change.reg - 'a'];
        value = change.kind == '=' ? change.value : change.kind == '+' ? value | change.value : value & ~change.value;
    }
    return answer;
}

void Cpu::change_cpuid(const std::vector<std::string>& texts, Image& image, const std::string& symbols)
{
    if (texts.empty()) {
        return;
    }
    for (const std::string& text : texts) {
        changes().list.push_back(parse(text));
    }
    for (const uint64_t offset : find_sites(symbols)) {
        const uint64_t address = image.base() + offset;
        if (!image.holds(address) || memcmp(reinterpret_cast<const void*>(address), "\x0f\xa2", 2) != 0) {
            stop(kExitUsage, "--cpuid: %s is not what the program was made of", symbols.c_str());
        }
        image.patch(offset, kUd2);
        changes().sites.push_back(address);
    }
    std::sort(changes().sites.begin(), changes().sites.end());
}

bool Cpu::get_tiles()
{
    constexpr uint32_t kTileBit = 1 << 24;     // CPUID.7.0:EDX
    constexpr int kRequestPermission = 0x1023; // ARCH_REQ_XCOMP_PERM
    constexpr int kTileData = 18;
    return (cpuid(7, 0).d & kTileBit) == 0 || syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

} // namespace llmk::efisim
