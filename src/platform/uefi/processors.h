// SPDX-License-Identifier: MIT
//
// The other processors, by EFI_MP_SERVICES_PROTOCOL. They work while there is work: the first job of a turn starts them
// (some ten milliseconds), and before anybody rests, or the firmware is to change page tables, they go back to it. So
// none burns at the prompt, and none is in our memory when we are gone.
//
// Firmware that lacks the protocol leaves one processor and a note; a processor that does not answer is left out.
#pragma once

#include "base/job_board.h"
#include "base/text.h"
#include "llmk/platform.h"
#include "platform/uefi/mp_services.h"
#include "platform/uefi/probe_mark.h"

namespace llmk::uefi {

class Processors {
public:
    Processors(const Firmware& firmware, Volumes& volumes) : m_firmware(firmware), m_mark(volumes) {}

    /// At most so many work, the calling one included; 0: one a core. 1 never asks the firmware. Before count(), or
    /// between jobs.
    void limit(size_t most);
    /// How many run() uses. The first call tries all of them out.
    size_t count();
    /// One line: how many there are, or why there is but one.
    std::string_view note() const { return m_note; }

    /// Platform::processor_states.
    size_t states(std::span<ProcessorState> states, uint64_t ticks_per_second);
    void run(JobBoard::Function function, void* context, size_t parts)
    {
        begin(function, context, parts);
        end();
    }
    /// The others do it; this one takes part from end() on. One job at a time.
    void begin(JobBoard::Function function, void* context, size_t parts);
    bool done();
    void end();
    /// Sends the workers back to the firmware, if any are out.
    void rest();
    /// As rest(), and waits until the firmware has seen it. Nothing runs after it.
    void close();

private:
    enum class State : uint8_t { unknown, alone, resting, working };
    /// What each processor finds out about itself in the trial.
    struct Trial {
        uint32_t features;                ///< that it must have
        std::atomic<uint32_t> cores{0};   ///< fit, the first thread of their core
        std::atomic<uint32_t> threads{0}; ///< fit, further threads
    };

    static void EFIAPI try_out(void* trial);
    static void EFIAPI enter(void* processors);
    static void work(void* processors);

    void alone(std::string_view why);
    void probe();
    bool try_one(MpServices& mp, UINTN total);
    void try_all(MpServices& mp);
    void found(MpServices& mp, const Trial& trial, size_t enabled);
    EFI_STATUS start_trial(MpServices& mp, UINTN number, Trial& trial, UINTN** failed);
    bool leave_out(MpServices& mp, UINTN number);
    bool start();
    bool all_left();
    void lost();
    void offer();
    volatile uint64_t* stack(size_t number) { return reinterpret_cast<uint64_t*>(m_stacks + number * kStackBytes); }

    static constexpr size_t kStackBytes = 256 * 1024;

    Firmware m_firmware;
    ProbeMark m_mark;
    MpServices* m_mp = nullptr;
    EFI_EVENT m_event = nullptr; ///< signalled by the firmware when it has seen all come back
    State m_state = State::unknown;
    Text<160> m_note;
    size_t m_limit = 0;
    size_t m_cores = 0;       ///< fit beside this one
    size_t m_threads = 0;     ///< further threads of the cores, that one included
    size_t m_launched = 0;    ///< by each start: all others that are enabled; those that are not wanted go back at once
    bool m_returning = false; ///< some were started, so the firmware will signal the event
    uint64_t m_retry_at = 0;  ///< ticks
    size_t m_refusals = 0;    ///< of the firmware's, one after the other
    size_t m_left_out = 0;    ///< did not answer
    uint8_t* m_stacks = nullptr;
    size_t m_stack_count = 0;
    uint32_t m_features = 0;
    bool m_all_threads = false; ///< second threads of a core work too
    std::atomic<uint32_t> m_entered{0};
    std::atomic<uint32_t> m_left{0};
    JobBoard m_board;
    /// From begin() to end(). `offered`: it is on the board, so the others see it.
    struct Job {
        JobBoard::Function function = nullptr;
        void* context = nullptr;
        size_t parts = 0;
        bool offered = false;
    } m_job;
};

} // namespace llmk::uefi
