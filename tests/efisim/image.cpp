// SPDX-License-Identifier: MIT
#include "image.h"

#include "memory_map.h"

#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

namespace llmk::efisim {
namespace {

constexpr uint16_t kMachineX64 = 0x8664;
constexpr uint16_t kMagicPe32Plus = 0x20b;
constexpr uint16_t kSubsystemEfiApplication = 10;
constexpr uint32_t kSectionExecute = 0x20000000;
constexpr uint32_t kSectionWrite = 0x80000000;
constexpr size_t kSectionHeaderBytes = 40;
constexpr size_t kFirstDirectory = 112; // in the optional header
constexpr size_t kRelocationDirectory = 5;
constexpr uint16_t kRelocationNone = 0;
constexpr uint16_t kRelocationDir64 = 10;
constexpr uint64_t kPage = EFI_PAGE_SIZE;

uint64_t round_up(uint64_t value) { return (value + kPage - 1) / kPage * kPage; }

/// The file, and fields of it that lie within it.
class File {
public:
    explicit File(const std::string& path) : m_path(path)
    {
        const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) {
            stop(kExitUsage, "%s cannot be opened: %s; `make` builds it", path.c_str(), strerror(errno));
        }
        char buffer[65536];
        for (ssize_t got; (got = read(descriptor, buffer, sizeof(buffer))) > 0;) {
            m_bytes.append(buffer, static_cast<size_t>(got));
        }
        close(descriptor);
    }

    template <class T> T at(uint64_t offset) const
    {
        T value;
        memcpy(&value, stretch(offset, sizeof(T)), sizeof(T));
        return value;
    }
    const char* stretch(uint64_t offset, uint64_t bytes) const
    {
        if (offset > m_bytes.size() || bytes > m_bytes.size() - offset) {
            stop(kExitUsage, "%s ends at %zu, within what its headers promise", m_path.c_str(), m_bytes.size());
        }
        return m_bytes.data() + offset;
    }
    void expect(bool right, const char* what) const
    {
        if (!right) {
            stop(kExitUsage, "%s: %s", m_path.c_str(), what);
        }
    }

private:
    std::string m_path;
    std::string m_bytes;
};

struct Headers {
    uint64_t optional; ///< offset in the file
    uint64_t sections;
    uint16_t section_count;
};

Headers read_headers(const File& file)
{
    file.expect(file.at<uint16_t>(0) == 0x5a4d, "it does not start with MZ");
    const uint64_t pe = file.at<uint32_t>(0x3c);
    file.expect(file.at<uint32_t>(pe) == 0x4550, "it has no PE header");
    file.expect(file.at<uint16_t>(pe + 4) == kMachineX64, "it is not for x86-64");
    const uint64_t optional = pe + 24;
    file.expect(file.at<uint16_t>(optional) == kMagicPe32Plus, "it is not PE32+");
    file.expect(file.at<uint16_t>(optional + 68) == kSubsystemEfiApplication, "it is not an EFI application");
    file.expect(file.at<uint32_t>(optional + 32) % kPage == 0, "its sections are not aligned to pages");
    return {optional, optional + file.at<uint16_t>(pe + 20), file.at<uint16_t>(pe + 6)};
}

/// Base relocations: "PE Format", "The .reloc section".
void relocate(const File& file, uint64_t base, uint64_t size, uint64_t preferred, uint64_t table, uint64_t table_bytes)
{
    file.expect(table <= size && table_bytes <= size - table, "its relocations lie outside the image");
    for (uint64_t at = table; at + 8 <= table + table_bytes;) {
        uint32_t block[2];
        memcpy(block, reinterpret_cast<const void*>(base + at), sizeof(block));
        file.expect(block[1] >= 8 && block[1] <= table + table_bytes - at,
                    "a block of its relocations has a wrong size");
        for (uint64_t entry = at + 8; entry + 2 <= at + block[1]; entry += 2) {
            uint16_t item = 0;
            memcpy(&item, reinterpret_cast<const void*>(base + entry), sizeof(item));
            const uint64_t place = block[0] + (item & 0xfffu);
            if (item >> 12 == kRelocationNone) {
                continue;
            }
            file.expect(item >> 12 == kRelocationDir64 && place + 8 <= size, "a relocation is of an unknown kind");
            uint64_t value = 0;
            memcpy(&value, reinterpret_cast<const void*>(base + place), sizeof(value));
            value += base - preferred;
            memcpy(reinterpret_cast<void*>(base + place), &value, sizeof(value));
        }
        at += block[1];
    }
}

} // namespace

void Image::load(const std::string& path, Memory& memory, bool random_base)
{
    const File file(path);
    const Headers headers = read_headers(file);
    m_entry = file.at<uint32_t>(headers.optional + 16);
    m_size = round_up(file.at<uint32_t>(headers.optional + 56));
    file.expect(m_entry < m_size, "its entry point lies outside the image");

    // Lower by up to 16 MiB: another place each time.
    uint16_t lower = 0;
    if (random_base && getrandom(&lower, sizeof(lower), 0) != sizeof(lower)) {
        stop(kExitUsage, "no random numbers: %s", strerror(errno));
    }
    EFI_PHYSICAL_ADDRESS place = 0;
    const uint64_t pages = m_size / kPage + lower % 4096u;
    if (EFI_ERROR(memory.allocate(AllocateAnyPages, EfiLoaderCode, pages, place))) {
        stop(kExitUsage, "the machine has too little memory for the program: --memory gives it more");
    }
    m_base = place;
    memset(reinterpret_cast<void*>(m_base), 0, m_size);
    const uint64_t header_bytes = file.at<uint32_t>(headers.optional + 60);
    file.expect(header_bytes <= m_size, "its headers are larger than the image");
    memcpy(reinterpret_cast<void*>(m_base), file.stretch(0, header_bytes), header_bytes);

    struct Rights {
        uint64_t at, bytes;
        int protection;
    };
    std::vector<Rights> rights = {{0, round_up(header_bytes), PROT_READ}};
    for (uint16_t i = 0; i < headers.section_count; ++i) {
        const uint64_t header = headers.sections + i * kSectionHeaderBytes;
        const uint64_t memory_bytes = file.at<uint32_t>(header + 8);
        const uint64_t at = file.at<uint32_t>(header + 12);
        const uint64_t file_bytes = std::min<uint64_t>(file.at<uint32_t>(header + 16), memory_bytes);
        const auto flags = file.at<uint32_t>(header + 36);
        file.expect(at % kPage == 0 && at <= m_size && memory_bytes <= m_size - at, "a section lies outside the image");
        file.expect((flags & kSectionWrite) == 0 || (flags & kSectionExecute) == 0,
                    "a section is writable and executable");
        if (file_bytes != 0) {
            const char* content = file.stretch(file.at<uint32_t>(header + 20), file_bytes);
            memcpy(reinterpret_cast<void*>(m_base + at), content, file_bytes);
        }
        const int more = (flags & kSectionWrite) != 0 ? PROT_WRITE : (flags & kSectionExecute) != 0 ? PROT_EXEC : 0;
        rights.push_back({at, round_up(memory_bytes), PROT_READ | more});
    }
    const uint64_t directory = headers.optional + kFirstDirectory + kRelocationDirectory * 8;
    relocate(file, m_base, m_size, file.at<uint64_t>(headers.optional + 24), file.at<uint32_t>(directory),
             file.at<uint32_t>(directory + 4));
    for (const Rights& part : rights) {
        if (mprotect(reinterpret_cast<void*>(m_base + part.at), part.bytes, part.protection) != 0) {
            stop(kExitUsage, "the system does not give the program's sections their rights: %s", strerror(errno));
        }
    }
}

void Image::patch(uint64_t offset, std::string_view bytes)
{
    auto* page = reinterpret_cast<void*>((m_base + offset) / kPage * kPage);
    const uint64_t length = (m_base + offset) % kPage + bytes.size();
    if (mprotect(page, length, PROT_READ | PROT_WRITE) != 0) {
        stop(kExitUsage, "the program's code cannot be patched: %s", strerror(errno));
    }
    memcpy(reinterpret_cast<void*>(m_base + offset), bytes.data(), bytes.size());
    mprotect(page, length, PROT_READ | PROT_EXEC);
}

} // namespace llmk::efisim
