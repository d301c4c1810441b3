// SPDX-License-Identifier: MIT
//
// A thin C++ face of gnu-efi's headers, and the only file that includes <efi.h>: C linkage, u"" texts, handles with
// owners. EFI_STATUS and UCS-2 stay within this folder.
#pragma once

#include <cstddef> // before <efi.h>, which would make NULL a void pointer
#include <cstdint>
#include <span>

extern "C" {
#include <efi.h>
}

namespace llmk::uefi {

/// What the firmware gave the program. Copied by value; valid as long as the program runs.
struct Firmware {
    EFI_HANDLE image = nullptr;
    EFI_SYSTEM_TABLE* system = nullptr;
    EFI_BOOT_SERVICES* boot = nullptr;
    EFI_RUNTIME_SERVICES* runtime = nullptr;
};

/// Services take CHAR16 without const (they do not write it); our texts are u"".
inline CHAR16* firmware_text(const char16_t* text) { return reinterpret_cast<CHAR16*>(const_cast<char16_t*>(text)); }

/// The protocol on a handle, or null.
template <class T> T* protocol_on(const Firmware& firmware, EFI_HANDLE handle, EFI_GUID guid)
{
    void* interface = nullptr;
    if (handle == nullptr || EFI_ERROR(firmware.boot->HandleProtocol(handle, &guid, &interface))) {
        return nullptr;
    }
    return static_cast<T*>(interface);
}

/// A pool buffer of the firmware, freed at the end of the scope.
class PoolBuffer {
public:
    explicit PoolBuffer(const Firmware& firmware) : m_boot(firmware.boot) {}
    ~PoolBuffer() { release(); }
    PoolBuffer(const PoolBuffer&) = delete;
    PoolBuffer& operator=(const PoolBuffer&) = delete;

    bool allocate(size_t bytes)
    {
        release();
        return !EFI_ERROR(m_boot->AllocatePool(EfiLoaderData, bytes, &m_data));
    }
    void* data() const { return m_data; }
    /// Where a service stores a buffer that this object is to own.
    void** receive()
    {
        release();
        return &m_data;
    }

private:
    void release()
    {
        if (m_data != nullptr) {
            m_boot->FreePool(m_data);
            m_data = nullptr;
        }
    }

    EFI_BOOT_SERVICES* m_boot;
    void* m_data = nullptr;
};

/// All handles, or all that have a protocol.
class HandleList {
public:
    explicit HandleList(const Firmware& firmware) : m_buffer(firmware) { locate(firmware, AllHandles, nullptr); }
    HandleList(const Firmware& firmware, EFI_GUID guid) : m_buffer(firmware) { locate(firmware, ByProtocol, &guid); }

    std::span<const EFI_HANDLE> handles() const { return {static_cast<EFI_HANDLE*>(m_buffer.data()), m_count}; }

private:
    void locate(const Firmware& firmware, EFI_LOCATE_SEARCH_TYPE type, EFI_GUID* guid)
    {
        auto** buffer = reinterpret_cast<EFI_HANDLE**>(m_buffer.receive());
        if (EFI_ERROR(firmware.boot->LocateHandleBuffer(type, guid, nullptr, &m_count, buffer))) {
            m_count = 0;
        }
    }

    PoolBuffer m_buffer;
    UINTN m_count = 0;
};

} // namespace llmk::uefi
