// SPDX-License-Identifier: MIT
//
// EFI_MP_SERVICES_PROTOCOL, Platform Initialization Specification 1.8, volume 2, 13.4: from the firmware's functions to
// the processors.
#include "machine.h"

namespace llmk::efisim {
namespace {

using uefi::ApProcedure;
using uefi::MpServices;
using uefi::ProcessorInformation;

Processors& processors() { return machine().processors; }

/// All but WhoAmI may be called by the BSP only.
void on_bsp(const char* service)
{
    if (Cpu::number() != 0) {
        stop(kExitFault, "%s on processor %u: only the BSP may call it", service, Cpu::number());
    }
}

EFI_STATUS EFIAPI get_number(MpServices*, UINTN* count, UINTN* enabled)
{
    on_bsp("GetNumberOfProcessors");
    return processors().count(*count, *enabled);
}

EFI_STATUS EFIAPI get_info(MpServices*, UINTN number, ProcessorInformation* information)
{
    on_bsp("GetProcessorInfo");
    return processors().describe(number, *information);
}

EFI_STATUS EFIAPI startup_all(MpServices*, ApProcedure procedure, BOOLEAN one_by_one, EFI_EVENT event, UINTN timeout,
                              void* argument, UINTN** failed)
{
    on_bsp("StartupAllAPs");
    Event* known = machine().events.find(event);
    if (one_by_one != 0 || (event != nullptr && (known == nullptr || timeout != 0))) {
        stop(kExitFault, "StartupAllAPs %s is not simulated",
             one_by_one != 0 ? "one by one" : "with an event, and a time limit or an event that is none");
    }
    return processors().start_all(procedure, known, timeout, argument, failed);
}

EFI_STATUS EFIAPI startup_this(MpServices*, ApProcedure procedure, UINTN number, EFI_EVENT event, UINTN timeout,
                               void* argument, BOOLEAN*)
{
    on_bsp("StartupThisAP");
    if (event != nullptr) {
        stop(kExitFault, "StartupThisAP with an event is not simulated");
    }
    return processors().start_one(procedure, number, timeout, argument);
}

EFI_STATUS EFIAPI switch_bsp(MpServices*, UINTN, BOOLEAN) { return EFI_UNSUPPORTED; }

EFI_STATUS EFIAPI enable_disable(MpServices*, UINTN number, BOOLEAN enable, UINT32*)
{
    on_bsp("EnableDisableAP");
    return processors().enable(number, enable != 0);
}

EFI_STATUS EFIAPI who_am_i(MpServices*, UINTN* number)
{
    *number = Cpu::number();
    return EFI_SUCCESS;
}

} // namespace

void install_processors()
{
    const Options& options = machine().options;
    *processors().protocol() = {get_number, get_info, startup_all, startup_this, switch_bsp, enable_disable, who_am_i};
    if (!options.faults.none) {
        machine().add_handle().protocols.push_back({uefi::kMpServicesGuid, processors().protocol()});
    }
}

} // namespace llmk::efisim
