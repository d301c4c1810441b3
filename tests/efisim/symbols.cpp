// SPDX-License-Identifier: MIT
#include "symbols.h"

#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <unistd.h>

namespace llmk::efisim {
namespace {

/// A table of the file, as a copy; empty when it is not within it.
template <class T> std::vector<T> table_of(const std::string& bytes, uint64_t offset, uint64_t size)
{
    std::vector<T> table;
    if (offset <= bytes.size() && size <= bytes.size() - offset) {
        table.resize(size / sizeof(T));
        memcpy(table.data(), bytes.data() + offset, table.size() * sizeof(T));
    }
    return table;
}

void write_perf_map(const std::string& bytes, uint64_t base)
{
    const auto headers = table_of<Elf64_Ehdr>(bytes, 0, sizeof(Elf64_Ehdr));
    if (headers.empty() || memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0) {
        stop(kExitUsage, "--symbols: this is no ELF file; build/efi/llmk.so is");
    }
    std::ofstream map("/tmp/perf-" + std::to_string(getpid()) + ".map");
    const auto sections =
        table_of<Elf64_Shdr>(bytes, headers[0].e_shoff, uint64_t{headers[0].e_shnum} * sizeof(Elf64_Shdr));
    for (const Elf64_Shdr& section : sections) {
        if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) {
            continue;
        }
        const Elf64_Shdr& names = sections[section.sh_link];
        std::vector<char> text = table_of<char>(bytes, names.sh_offset, names.sh_size);
        text.push_back(0);
        for (const Elf64_Sym& symbol : table_of<Elf64_Sym>(bytes, section.sh_offset, section.sh_size)) {
            if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_name < text.size()) {
                map << std::hex << base + symbol.st_value << ' ' << symbol.st_size << ' ' << &text[symbol.st_name]
                    << '\n';
            }
        }
    }
}

} // namespace

void announce_symbols(const std::string& elf, uint64_t base)
{
    std::ifstream file(elf, std::ios::binary);
    if (!file) {
        stop(kExitUsage, "--symbols %s cannot be opened; `make` builds it", elf.c_str());
    }
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    write_perf_map(bytes, base);
    note("gdb: add-symbol-file %s -o 0x%llx", elf.c_str(), static_cast<unsigned long long>(base));
}

} // namespace llmk::efisim
