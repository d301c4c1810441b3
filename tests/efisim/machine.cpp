// SPDX-License-Identifier: MIT
#include "machine.h"

#include <cstdlib>
#include <cstring>

namespace llmk::efisim {

void* Handle::find(const EFI_GUID& guid) const
{
    for (const Protocol& protocol : protocols) {
        if (memcmp(&protocol.guid, &guid, sizeof(guid)) == 0) {
            return protocol.interface;
        }
    }
    return nullptr;
}

Handle& Machine::add_handle()
{
    handles.push_back(std::make_unique<Handle>());
    return *handles.back();
}

void* Machine::pool_allocate(size_t bytes)
{
    void* buffer = malloc(bytes);
    if (buffer != nullptr) {
        memset(buffer, 0xaf, bytes); // nobody promises zeros
        pool[buffer] = bytes;
    }
    return buffer;
}

EFI_STATUS Machine::pool_free(void* buffer)
{
    const auto found = pool.find(buffer);
    if (found == pool.end()) {
        stop(kExitFault, "FreePool of a buffer that the program does not own");
    }
    memset(buffer, 0xaf, found->second);
    pool.erase(found);
    ::free(buffer);
    return EFI_SUCCESS;
}

} // namespace llmk::efisim
