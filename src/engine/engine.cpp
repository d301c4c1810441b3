// SPDX-License-Identifier: MIT
#include "engine/engine.h"

#include "engine/templates.h"

namespace llmk {

Engine::Engine(Platform& platform) : m_platform(platform), m_zones(platform), m_sentinel(platform, m_zones, m_log) {}

Result<void> Engine::start(std::string_view kernels)
{
    m_start_ticks = m_platform.ticks();
    Arena& zonec = m_zones[ZoneId::zonec];
    TRY(zonec.add_extent(m_platform, kZoneCBytes));
    constexpr size_t kRecords = 1024;
    m_log.attach({TRY(zonec.alloc_array<LogRecord>(kRecords)), kRecords});
    note(LogCode::boot, "LLM Bare-Metal " LLMK_VERSION);
    m_cpu = detect_cpu();
    note(LogCode::cpu, m_cpu.brand);
    return use_kernels(kernels.empty() ? std::string_view("auto") : kernels);
}

bool Engine::note_processors()
{
    const std::string_view now = m_platform.processors_note();
    if (m_processors_note.view() == now) {
        return false;
    }
    m_processors_note = now;
    note(LogCode::cpu, now);
    return true;
}

bool Engine::some_processors_rest() { return m_calibration.processors[0].count > m_platform.processor_count(); }

void Engine::calibrate()
{
    if (!m_kernels.forced) {
        calibrate_choice();
    }
    calibrate_memory(m_platform, *m_session, m_model->desc, m_kernels.gemm, m_calibration);
}

void Engine::calibrate_choice()
{
    if (some_processors_rest()) {
        llmk::use_processors(m_platform, 0);
    }
    m_calibration = calibrate_kernels(m_platform, *m_session, m_model->desc, m_cpu, m_kernels);
    if (!m_keep_processors) {
        calibrate_processors(m_platform, *m_session, m_calibration);
    }
    if (some_processors_rest()) {
        note(LogCode::cpu, Text<101>("{} of {} processors work: faster with this model", m_platform.processor_count(),
                                     m_calibration.processors[0].count));
    }
}

void Engine::forget_speeds()
{
    m_sentinel.reset_budgets();
    if (m_session) {
        m_session->reset_lookup();
    }
}

Result<void> Engine::use_kernels(std::string_view name)
{
    m_kernels = name == "auto" ? expect_kernels(m_cpu) : TRY(force_kernels(name, m_cpu));
    if (loaded() && !m_cpu.emulated) {
        calibrate();
    }
    forget_speeds();
    note_kernels();
    return success();
}

void Engine::note_kernels()
{
    const std::string_view how = m_kernels.forced ? "forced" : m_kernels.measured ? "measured" : "expected";
    note(LogCode::kernels, Text<101>("SGEMM {}, attention {}: {}; weights are read {}", m_kernels.gemm.title,
                                     m_kernels.attention.title, how, weight_reading_name(m_kernels.gemm.reading)));
}

Result<void> Engine::use_attention(std::string_view name)
{
    const std::string_view wanted = name == "auto" ? std::string_view(m_kernels.gemm.name) : name;
    m_kernels.attention = TRY(complete_kernel_set(wanted, m_cpu));
    forget_speeds();
    note_kernels();
    return success();
}

Result<void> Engine::load(std::string_view path, std::string_view tokenizer, uint64_t context,
                          const LoadObserver& observer)
{
    unload();
    InspectedModel candidate = TRY(inspect_model(m_platform, path, tokenizer));
    const MemoryPlan plan = TRY(fit_memory(m_platform, candidate, context, m_kv_type));
    m_model.emplace(std::move(candidate.desc));
    m_session.emplace(m_platform, m_zones, m_sentinel, *m_model, m_kernels);
    const auto open = [&]() -> Result<void> {
        // What must lie in one piece before the weights, which may take what is left in several.
        TRY(m_session->open(plan));
        return load_weights(m_platform, m_zones, *m_model, plan, observer);
    };
    auto result = open();
    if (!result.ok()) {
        note(LogCode::error, result.error().message);
        unload();
        return result;
    }
    auto how = find_template(m_platform, m_model->desc, *m_model->tokenizer, m_session->scratch());
    if (!how.ok()) {
        unload();
        return how.error();
    }
    m_chat.emplace(m_platform, m_zones, m_log, m_sentinel, *m_model, *m_session, how.value());
    if (!m_cpu.emulated) {
        calibrate();
        note_kernels();
    }
    m_sentinel.reset_budgets();
    note(LogCode::load, Text<101>("{} ({}), context {}", file_name(path), m_model->desc.format, plan.context));
    note_kv_type();
    note(LogCode::load, Text<101>("{} of weights read in {} ms", human_bytes(m_model->read_bytes),
                                  m_model->read_ticks * 1000 / m_platform.ticks_per_second()));
    return success();
}

void Engine::unload()
{
    m_chat.reset();
    m_session.reset();
    m_model.reset();
    m_zones.release_model();
    if (some_processors_rest()) {
        m_platform.use_processors(0);
    }
    m_calibration = {};
}

Result<ChatTemplate> Engine::find_chat_template(std::string_view name)
{
    m_session->scratch().clear();
    return choose_template(m_platform, m_model->desc, *m_model->tokenizer, name, m_session->scratch());
}

Result<WeightReport> Engine::verify()
{
    LateSums(*m_model).finish();
    const WeightReport report = verify_weights(m_platform, *m_model, m_zones[ZoneId::weights]);
    if (report.changed > 0) {
        const Trip trip = m_sentinel.weights_changed(report.first, report.address);
        return fail(Status::tripped, "{}: {} ({} of {} changed); /load reads the model again",
                    file_name(m_model->desc.path), trip.what, report.changed, m_model->desc.tensors.size() + 1);
    }
    note(LogCode::memory, Text<101>("verified: {} of weights are as loaded", human_bytes(report.bytes)));
    return report;
}

Result<void> Engine::set_context(uint64_t context) { return reopen(context, m_kv_type); }

Result<void> Engine::set_kv_type(KvType type)
{
    const KvType before = m_kv_type;
    m_kv_type = type;
    if (usable_kv_type(m_model->desc, type) == m_session->plan().kv_type) {
        return success();
    }
    auto result = reopen(m_session->plan().context, type);
    m_kv_type = result.ok() ? type : before;
    return result;
}

void Engine::note_kv_type()
{
    const KvType type = m_session->plan().kv_type;
    Text<101> text("KV cache in {}", kv_type_name(type));
    if (type != m_kv_type) {
        format(text, ": a head of {} values cannot be {}", m_model->desc.head_dim, kv_type_name(m_kv_type));
    }
    note(LogCode::memory, text);
}

Result<void> Engine::reopen(uint64_t context, KvType type)
{
    const MemoryPlan before = m_session->plan();
    const ChatSettings settings = m_chat->settings;
    const RandomStream random = m_chat->random;
    const Text<2048> system(m_chat->system());
    const ChatTemplate how = m_chat->chat_template();
    const auto open = [&](uint64_t positions, KvType kv_type) -> Result<void> {
        // The weights are in place already: what must fit is the rest.
        const MemoryPlan plan = TRY(plan_session(m_model->desc, positions, kv_type));
        return m_session->open(plan);
    };
    m_chat.reset();
    m_session->close();
    auto result = open(context, type);
    if (!result.ok()) {
        auto again = open(before.context, before.kv_type);
        if (!again.ok()) { // what was there a moment ago is gone: nothing to go on with
            unload();
            return again;
        }
    }
    m_chat.emplace(m_platform, m_zones, m_log, m_sentinel, *m_model, *m_session, how);
    note_kv_type();
    m_chat->settings = settings;
    m_chat->random = random;
    auto again = m_chat->set_system(system, {});
    return result.ok() ? again : result;
}

} // namespace llmk
