// SPDX-License-Identifier: MIT
//
// EFI_MP_SERVICES_PROTOCOL over threads, with EDK2's habits: a start that does not block is seen to have ended only
// every 100 ms, until then the next is refused, and a processor that misses its time limit is reset (INIT). What it
// leaves out (one by one, a start of one processor that does not block, another BSP) stops the run.
#pragma once

#include "cpu.h"

#include "platform/uefi/mp_services.h"

#include <atomic>
#include <memory>
#include <pthread.h>

namespace llmk::efisim {

struct Event;

class Processors {
public:
    Processors();
    ~Processors();
    Processors(const Processors&) = delete;
    Processors& operator=(const Processors&) = delete;

    /// The calling thread is number 0, the BSP. Others rest until they are started.
    void create(unsigned count);
    uefi::MpServices* protocol() { return &m_protocol; }

    /// What the firmware's timer does: sees whether all have come back.
    void look();
    /// How many run what they were given.
    unsigned working() const;

    EFI_STATUS start_all(uefi::ApProcedure procedure, Event* event, uint64_t timeout_us, void* argument,
                         UINTN** failed);
    EFI_STATUS start_one(uefi::ApProcedure procedure, UINTN number, uint64_t timeout_us, void* argument);
    EFI_STATUS enable(UINTN number, bool on);
    EFI_STATUS count(UINTN& total, UINTN& enabled) const;
    EFI_STATUS describe(UINTN number, uefi::ProcessorInformation& information) const;

private:
    struct Processor;

    static void* main(void* processor);
    [[noreturn]] static void rest(Processor* processor);
    static void run(void* processor);
    static void on_init(int signal, siginfo_t* info, void* context);

    bool refused();
    void start(Processor& processor, uefi::ApProcedure procedure, void* argument);
    bool wait(Processor& processor, uint64_t until_ns);
    void reset(Processor& processor);

    uefi::MpServices m_protocol = {};
    std::vector<std::unique_ptr<Processor>> m_processors; ///< the BSP too
    unsigned m_starts = 0;
    Event* m_event = nullptr; ///< of the start that has not been seen to end
    bool m_out = false;
    uint64_t m_next_look_ns = 0;
};

} // namespace llmk::efisim
