// SPDX-License-Identifier: MIT
//
// Everything that lives as long as the program, in one place: zones, log, sentinel, the processor and its kernels, and
// the model that is loaded, if any. The REPL, the menu and the host tool talk to this.
#pragma once

#include "engine/calibration.h"
#include "engine/chat.h"
#include "model/weight_checks.h"

namespace llmk {

class Engine {
public:
    explicit Engine(Platform& platform);
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    ~Engine() { unload(); }

    /// Reserves ZONEC, detects the processor and chooses kernels: by expectation, until a model is there to measure
    /// with; or the set called `kernels`.
    Result<void> start(std::string_view kernels);
    /// Forces a set for everything, or measures again with "auto". The conversation goes on.
    Result<void> use_kernels(std::string_view name);
    /// How many processors work is a person's choice: calibration leaves it alone.
    void keep_processors() { m_keep_processors = true; }
    /// Puts a choice back that kernels() gave before.
    void restore_kernels(const KernelChoice& choice) { m_kernels = choice; }
    /// Forces a set for attention only, or takes that of the products with "auto".
    Result<void> use_attention(std::string_view name);

    /// Loads a model in place of the one there. On failure none is loaded. `tokenizer` and `context` may be empty and
    /// 0.
    Result<void> load(std::string_view path, std::string_view tokenizer, uint64_t context,
                      const LoadObserver& observer);
    void unload();
    /// Does about a millisecond of what the load has put off, for when there is nothing else to do. False when nothing
    /// is left.
    bool work_off() { return m_model && LateSums(*m_model).step(); }
    /// Compares the checksums of WEIGHTS with those of the load. Status::tripped names what has changed; the dump is
    /// the caller's.
    Result<WeightReport> verify();
    /// Gives the loaded model another context; the conversation is forgotten, the system prompt stays. On failure the
    /// old context is back, or, if not even that can be had any more, no model is loaded.
    Result<void> set_context(uint64_t context);
    /// How the next model's KV cache is packed. A model whose heads do not allow it gets F16.
    void want_kv_type(KvType type) { m_kv_type = type; }
    /// The same for the loaded model too; with another type it forgets the conversation as by set_context, and the
    /// errors are the same.
    Result<void> set_kv_type(KvType type);

    /// A chat template for the loaded model: by its name, or with "auto" what the file asks for. Status::not_found
    /// lists the names.
    Result<ChatTemplate> find_chat_template(std::string_view name);

    bool loaded() const { return m_chat.has_value(); }
    /// Only when loaded().
    Model& model() { return *m_model; }
    Session& session() { return *m_session; }
    Chat& chat() { return *m_chat; }

    Platform& platform() { return m_platform; }
    Zones& zones() { return m_zones; }
    RingLog& log() { return m_log; }
    Sentinel& sentinel() { return m_sentinel; }
    const CpuFeatures& cpu() const { return m_cpu; }
    const KernelChoice& kernels() const { return m_kernels; }
    const Calibration& calibration() const { return m_calibration; }
    uint64_t start_ticks() const { return m_start_ticks; }

    void note(LogCode code, std::string_view text) { m_log.add(m_platform.ticks(), code, text); }
    /// Logs what the platform says of its processors; false when that has not changed since the last time.
    bool note_processors();

private:
    /// Sets and processors, where they are not forced, and how weights are read. Not for emulators: only SSE2 and
    /// scalar would be candidates, and SSE2 wins there.
    void calibrate();
    void calibrate_choice();
    /// As calibration wanted it, for the loaded model.
    bool some_processors_rest();
    Result<void> reopen(uint64_t context, KvType type);
    void note_kv_type();
    void note_kernels();
    /// What was learned with other kernels.
    void forget_speeds();

    static constexpr uint64_t kZoneCBytes = 256 * 1024;

    Platform& m_platform;
    Zones m_zones;
    RingLog m_log;
    Text<160> m_processors_note; ///< as it was logged
    Sentinel m_sentinel;
    CpuFeatures m_cpu;
    KernelChoice m_kernels;
    Calibration m_calibration; ///< of the loaded model
    bool m_keep_processors = false;
    uint64_t m_start_ticks = 0;
    KvType m_kv_type = KvType::f16;
    std::optional<Model> m_model;
    std::optional<Session> m_session;
    std::optional<Chat> m_chat;
};

} // namespace llmk
