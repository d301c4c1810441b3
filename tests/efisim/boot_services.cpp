// SPDX-License-Identifier: MIT
//
// EFI_BOOT_SERVICES, UEFI specification 7. A handle or an event that is none of ours is a bug of the program's, and
// stops the run; so is memory freed twice.
#include "machine.h"

#include <algorithm>
#include <cstring>

namespace llmk::efisim {
namespace {

constexpr uint64_t kNsPerTimerUnit = 100;

EFI_STATUS EFIAPI allocate_pages(EFI_ALLOCATE_TYPE how, EFI_MEMORY_TYPE type, UINTN pages,
                                 EFI_PHYSICAL_ADDRESS* address)
{
    return machine().memory.allocate(how, type, pages, *address);
}

EFI_STATUS EFIAPI free_pages(EFI_PHYSICAL_ADDRESS address, UINTN pages)
{
    const EFI_STATUS status = machine().memory.free(address, pages);
    if (EFI_ERROR(status)) {
        stop(kExitFault, "FreePages of %zu pages at 0x%llx, which the program does not own", size_t{pages},
             static_cast<unsigned long long>(address));
    }
    return status;
}

EFI_STATUS EFIAPI get_memory_map(UINTN* size, EFI_MEMORY_DESCRIPTOR* map, UINTN* key, UINTN* stride, UINT32* version)
{
    // Larger than the structure, as EDK2's: who counts by sizeof is wrong on PCs too.
    constexpr UINTN kStride = sizeof(EFI_MEMORY_DESCRIPTOR) + 8;
    const std::vector<EFI_MEMORY_DESCRIPTOR> descriptors = machine().memory.map();
    const UINTN needed = descriptors.size() * kStride;
    const bool fits = map != nullptr && *size >= needed;
    *size = needed;
    *stride = kStride;
    *version = EFI_MEMORY_DESCRIPTOR_VERSION;
    if (!fits) {
        return EFI_BUFFER_TOO_SMALL;
    }
    *key = 1;
    for (size_t i = 0; i < descriptors.size(); ++i) {
        memcpy(reinterpret_cast<char*>(map) + i * kStride, &descriptors[i], sizeof(descriptors[i]));
    }
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI allocate_pool(EFI_MEMORY_TYPE, UINTN bytes, void** buffer)
{
    *buffer = machine().pool_allocate(bytes);
    return *buffer == nullptr ? EFI_OUT_OF_RESOURCES : EFI_SUCCESS;
}

EFI_STATUS EFIAPI free_pool(void* buffer) { return machine().pool_free(buffer); }

Event& event_of(EFI_EVENT event, const char* service)
{
    Event* known = machine().events.find(event);
    if (known == nullptr) {
        stop(kExitFault, "%s with an event that is none", service);
    }
    return *known;
}

EFI_STATUS EFIAPI create_event(UINT32 type, EFI_TPL, EFI_EVENT_NOTIFY notify, void*, EFI_EVENT* event)
{
    if (notify != nullptr || (type != 0 && type != EVT_TIMER)) {
        stop(kExitFault, "CreateEvent of type 0x%x%s is not simulated", type,
             notify != nullptr ? " with a function to notify" : "");
    }
    *event = machine().events.create(type == EVT_TIMER ? Event::Kind::timer : Event::Kind::plain);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI close_event(EFI_EVENT event)
{
    event_of(event, "CloseEvent");
    return machine().events.close(event);
}

EFI_STATUS EFIAPI set_timer(EFI_EVENT event, EFI_TIMER_DELAY how, UINT64 time)
{
    Event& timer = event_of(event, "SetTimer");
    if (timer.kind != Event::Kind::timer || how == TimerPeriodic) {
        stop(kExitFault, "SetTimer of %s is not simulated",
             how == TimerPeriodic ? "a period" : "an event that is no timer");
    }
    timer.signalled = false;
    timer.due_ns = how == TimerCancel ? 0 : now_ns() + time * kNsPerTimerUnit;
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI check_event(EFI_EVENT event)
{
    return machine().events.check(event_of(event, "CheckEvent")) ? EFI_SUCCESS : EFI_NOT_READY;
}

EFI_STATUS EFIAPI wait_for_event(UINTN count, EFI_EVENT* events, UINTN* index)
{
    std::vector<Event*> known;
    for (UINTN i = 0; i < count; ++i) {
        known.push_back(&event_of(events[i], "WaitForEvent"));
    }
    *index = machine().events.wait(known);
    return EFI_SUCCESS;
}

Handle& handle_of(EFI_HANDLE handle, const char* service)
{
    for (const auto& known : machine().handles) {
        if (known.get() == handle) {
            return *known;
        }
    }
    stop(kExitFault, "%s with a handle that is none", service);
}

EFI_STATUS EFIAPI handle_protocol(EFI_HANDLE handle, EFI_GUID* guid, void** interface)
{
    *interface = handle_of(handle, "HandleProtocol").find(*guid);
    return *interface == nullptr ? EFI_UNSUPPORTED : EFI_SUCCESS;
}

EFI_STATUS EFIAPI locate_protocol(EFI_GUID* guid, void*, void** interface)
{
    for (const auto& handle : machine().handles) {
        if (void* found = handle->find(*guid); found != nullptr) {
            *interface = found;
            return EFI_SUCCESS;
        }
    }
    *interface = nullptr;
    return EFI_NOT_FOUND;
}

EFI_STATUS EFIAPI locate_handle_buffer(EFI_LOCATE_SEARCH_TYPE how, EFI_GUID* guid, void*, UINTN* count,
                                       EFI_HANDLE** buffer)
{
    if (how == ByRegisterNotify) {
        stop(kExitFault, "LocateHandleBuffer by a registration is not simulated");
    }
    std::vector<EFI_HANDLE> found;
    for (const auto& handle : machine().handles) {
        if (how == AllHandles || handle->find(*guid) != nullptr) {
            found.push_back(handle.get());
        }
    }
    *count = found.size();
    *buffer = nullptr;
    if (found.empty()) {
        return EFI_NOT_FOUND;
    }
    *buffer = static_cast<EFI_HANDLE*>(machine().pool_allocate(found.size() * sizeof(EFI_HANDLE)));
    std::copy(found.begin(), found.end(), *buffer);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI connect_controller(EFI_HANDLE handle, EFI_HANDLE*, EFI_DEVICE_PATH*, BOOLEAN)
{
    handle_of(handle, "ConnectController");
    return EFI_NOT_FOUND; // no driver that was not connected
}

EFI_STATUS EFIAPI stall(UINTN microseconds)
{
    sleep_ns(microseconds * 1000);
    return EFI_SUCCESS;
}

EFI_STATUS EFIAPI set_watchdog_timer(UINTN seconds, UINT64, UINTN, CHAR16*)
{
    set_watchdog(seconds);
    return EFI_SUCCESS;
}

} // namespace

void install_boot_services(EFI_BOOT_SERVICES& services)
{
    constexpr size_t kFirst = sizeof(EFI_TABLE_HEADER);
    fill_with_refusals(reinterpret_cast<char*>(&services) + kFirst, sizeof(services) - kFirst, "EFI_BOOT_SERVICES");
    services.Hdr.Signature = EFI_BOOT_SERVICES_SIGNATURE;
    services.Hdr.HeaderSize = sizeof(services);
    services.AllocatePages = allocate_pages;
    services.FreePages = free_pages;
    services.GetMemoryMap = get_memory_map;
    services.AllocatePool = allocate_pool;
    services.FreePool = free_pool;
    services.CreateEvent = create_event;
    services.CloseEvent = close_event;
    services.SetTimer = set_timer;
    services.CheckEvent = check_event;
    services.WaitForEvent = wait_for_event;
    services.HandleProtocol = handle_protocol;
    services.LocateProtocol = locate_protocol;
    services.LocateHandleBuffer = locate_handle_buffer;
    services.ConnectController = connect_controller;
    services.Stall = stall;
    services.SetWatchdogTimer = set_watchdog_timer;
}

} // namespace llmk::efisim
