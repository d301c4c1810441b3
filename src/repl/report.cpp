// SPDX-License-Identifier: MIT
#include "repl/report.h"

#include "engine/templates.h"

#include <algorithm>

namespace llmk {

FileSink::FileSink(Platform& platform, std::string_view path) : m_platform(platform)
{
    auto file = platform.file_open(path, OpenMode::replace);
    if (file.ok()) {
        m_file = file.value();
    } else {
        m_error = file.error();
    }
}

void FileSink::write_out()
{
    if (m_file != nullptr && !m_error && m_buffer.size() > 0) {
        auto written = m_platform.file_write(m_file, m_buffer.view().data(), m_buffer.size());
        if (!written.ok()) {
            m_error = written.error();
        }
    }
    m_buffer.clear();
}

void FileSink::line(std::string_view text)
{
    if (m_buffer.size() + text.size() + 2 > m_buffer.capacity()) {
        write_out();
    }
    m_buffer.put(text);
    m_buffer.put("\r\n"); // the stick is read on any system
}

Result<void> FileSink::close()
{
    if (m_file != nullptr) {
        write_out();
        auto flushed = m_platform.file_flush(m_file);
        if (!flushed.ok() && !m_error) {
            m_error = flushed.error();
        }
        m_platform.file_close(m_file);
        m_file = nullptr;
    }
    return m_error ? Result<void>(*m_error) : success();
}

namespace {

/// "F32 x 9, Q4_0 x 42": tensors of each type, in the order of the types.
void report_types(const ModelDesc& desc, LineSink& out)
{
    size_t counts[kTensorTypes] = {};
    for (const TensorDesc& tensor : desc.tensors) {
        ++counts[static_cast<size_t>(tensor.type)];
    }
    Text<320> types;
    for (size_t i = 0; i < kTensorTypes; ++i) {
        if (counts[i] != 0) {
            format(types, "{}{} x {}", types.size() == 0 ? "" : ", ", tensor_type_name(static_cast<TensorType>(i)),
                   counts[i]);
        }
    }
    out.line("types: {}", types);
}

} // namespace

void report_template(const TemplateFamily& family, TemplateOrigin origin, LineSink& out)
{
    out.line("template: {} ({})", family.name, origin_text(origin));
}

void report_vocabulary(const ModelDesc& desc, LineSink& out)
{
    const VocabularyDesc& vocabulary = desc.vocabulary;
    out.line("tokenizer: {}", vocabulary.path);
    out.line("tokenizer_kind: {}", vocabulary_kind_name(vocabulary.kind));
    out.line("tokens: {}", vocabulary.entries);
    if (vocabulary.merges != 0) {
        out.line("merges: {}", vocabulary.merges);
    }
    if (vocabulary.pre.size() != 0) {
        out.line("pre_tokenizer: {}", vocabulary.pre);
    }
    if (desc.chat_template_bytes != 0) {
        out.line("chat_template_bytes: {}", desc.chat_template_bytes);
    }
}

void report_model(const ModelDesc& desc, const MemoryPlan& plan, LineSink& out)
{
    out.line("file: {}", desc.path);
    if (desc.shard_count > 1) {
        out.line("files: {}", desc.shard_count);
    }
    out.line("format: {}", desc.format);
    out.line("architecture: {}", desc.architecture);
    out.line("kind: {}", model_kind_name(desc.kind));
    out.line("type: {}", desc.type);
    report_types(desc, out);
    out.line("parameters: {}", desc.parameters);
    out.line("file_size_bytes: {}", desc.file_size_bytes);
    out.line("weight_bytes: {}", desc.weight_bytes);
    out.line("bits_per_weight: {:.2}",
             static_cast<double>(desc.weight_bytes) * 8.0 / static_cast<double>(desc.parameters));
    out.line("embedding_length: {}", desc.embedding_length);
    out.line("feed_forward_length: {}", desc.feed_forward_length);
    out.line("block_count: {}", desc.block_count);
    out.line("head_count: {}", desc.head_count);
    out.line("head_count_kv: {}", desc.head_count_kv);
    out.line("head_dim: {}", desc.head_dim);
    out.line("context_length: {}", desc.context_length);
    out.line("vocab_size: {}", desc.vocab_size);
    out.line("tied_head: {}", desc.tied_head);
    out.line("rope_freq_base: {:.1}", desc.rope_freq_base);
    if (desc.group_size != 0) {
        out.line("group_size: {}", desc.group_size);
    }
    report_vocabulary(desc, out);
    out.line("memory_bytes: {} (weights {}, kv {} for {} positions, activations {}, scratch {})", plan.total(),
             plan.weights, plan.kv, plan.context, plan.acts, plan.scratch);
    out.line("kv_type: {}", kv_type_name(plan.kv_type));
}

namespace {

/// One line a processor: its place, its kind, its clock and its temperature, as far as it tells.
void report_processors(Platform& platform, LineSink& out)
{
    constexpr size_t kMostShown = 64;
    ProcessorState states[kMostShown];
    const size_t count = platform.processor_states(states);
    for (size_t i = 0; i < count; ++i) {
        const ProcessorState& state = states[i];
        Text<120> text("  package {} core {} thread {}", state.package, state.core, state.thread);
        if (state.kind != CoreKind::unknown) {
            format(text, ", {} core", state.kind == CoreKind::fast ? "fast" : "efficient");
        }
        if (state.clock_mhz != 0) {
            format(text, ", {} MHz", state.clock_mhz);
        }
        if (state.celsius != ProcessorState::kNoTemperature) {
            format(text, ", {} degrees Celsius", state.celsius);
        }
        out.line(text.view());
    }
}

} // namespace

void report_cpu(Engine& engine, LineSink& out)
{
    const CpuFeatures& cpu = engine.cpu();
    out.line("{} ({}, family {}, model {}, stepping {}){}", cpu.brand, cpu.vendor, cpu.family, cpu.model, cpu.stepping,
             cpu.hypervisor ? ", under a hypervisor" : "");
    Text<200> features;
    const struct {
        bool there;
        std::string_view name;
    } list[] = {{true, "sse2"},
                {cpu.sse3, "sse3"},
                {cpu.ssse3, "ssse3"},
                {cpu.sse41, "sse4.1"},
                {cpu.sse42, "sse4.2"},
                {cpu.avx, "avx"},
                {cpu.avx2, "avx2"},
                {cpu.fma, "fma"},
                {cpu.f16c, "f16c"},
                {cpu.avx_vnni, "avx_vnni"},
                {cpu.avx512f, "avx512f"},
                {cpu.avx512bw, "avx512bw"},
                {cpu.avx512dq, "avx512dq"},
                {cpu.avx512vl, "avx512vl"},
                {cpu.avx512_vnni, "avx512_vnni"},
                {cpu.avx512_bf16, "avx512_bf16"},
                {cpu.amx_tile, "amx_tile"},
                {cpu.amx_int8, "amx_int8"},
                {cpu.amx_bf16, "amx_bf16"}};
    for (const auto& feature : list) {
        if (feature.there) {
            format(features, " {}", feature.name);
        }
    }
    out.line("features:{}", features);
    const auto state = [](bool enabled) { return enabled ? "enabled" : "off"; };
    out.line("osxsave: {}, xcr0: 0x{:x}, AVX state {}, AVX-512 state {}, AMX state {}", cpu.osxsave, cpu.xcr0,
             state(cpu.avx_enabled), state(cpu.avx512_enabled), state(cpu.amx_enabled));
    Platform& platform = engine.platform();
    out.line("processors in use: {}{}{}", platform.processor_count(), platform.processors_note().empty() ? "" : "; ",
             platform.processors_note());
    report_processors(platform, out);
    out.line("clock: {} ticks a second", platform.ticks_per_second());
}

void report_kernels(Engine& engine, LineSink& out)
{
    const KernelChoice& choice = engine.kernels();
    const Calibration& calibration = engine.calibration();
    const auto microseconds = [&](uint64_t ticks) { return ticks * 1000000 / engine.platform().ticks_per_second(); };
    out.line("SGEMM and the rest: {} ({})", choice.gemm.title, choice.gemm.name);
    out.line("attention: {} ({})", choice.attention.title, choice.attention.name);
    if (const MemoryTiming& memory = calibration.memory; memory.ticks[0] != 0) {
        Text<120> times;
        for (size_t way = 0; way < djiblas::kWeightReadings; ++way) {
            format(times, "{}{} {} us", way == 0 ? "" : ", ", weight_reading_name(static_cast<WeightReading>(way)),
                   microseconds(memory.ticks[way]));
        }
        out.line("weights: read {} ({})", weight_reading_name(choice.gemm.reading), times);
    }
    if (!choice.measured) {
        const bool emulated = engine.cpu().emulated;
        out.line("{}{}", choice.forced ? "forced" : "by expectation",
                 emulated ? ": nothing is measured under emulation" : "; /kernels auto measures");
        return;
    }
    out.line("measured in {} of {} layers: decode of one token, prefill of {}", calibration.layers,
             engine.model().desc.block_count, calibration.batch);
    for (size_t i = 0; i < kernel_sets().size(); ++i) {
        const KernelTiming& timing = choice.timings[i];
        if (timing.timed) {
            out.line("  {:<12} {} us, {} us", timing.name, microseconds(timing.decode_ticks),
                     microseconds(timing.prefill_ticks));
        } else if (timing.decode_ticks != 0) {
            out.line("  {:<12} {} us", timing.name, microseconds(timing.decode_ticks));
        } else {
            out.line("  {:<12} not on this processor", timing.name);
        }
    }
    for (const ProcessorTiming& timing : calibration.processors) {
        if (timing.count != 0) {
            out.line("  {} processor{}: {} us, {} us", timing.count, timing.count == 1 ? "" : "s",
                     microseconds(timing.decode_ticks), microseconds(timing.prefill_ticks));
        }
    }
}

void report_zones(Engine& engine, LineSink& out)
{
    for (size_t i = 0; i < kZoneCount; ++i) {
        const Arena& arena = engine.zones()[static_cast<ZoneId>(i)];
        out.line("{:<8} size {:>12} used {:>12} high-water {:>12}{}{}", zone_name(arena.id()), arena.size_bytes(),
                 arena.used_bytes(), arena.high_water_bytes(), arena.frozen() ? " read-only" : "",
                 arena.broken_guard() != nullptr ? " BROKEN GUARD" : "");
        for (const auto& extent : arena.extents()) {
            out.line("         at {} size {}", static_cast<const void*>(extent.base), extent.size_bytes);
        }
    }
}

void report_budgets(Engine& engine, LineSink& out)
{
    for (const Phase phase : {Phase::prefill, Phase::decode}) {
        const Sentinel::Budget& budget = engine.sentinel().budget(phase);
        out.line("{:<8} budget {} cycles a token{}, average {}, last {}, overruns {} soft {} hard", phase_name(phase),
                 budget.cycles_per_token, budget.fixed ? " (fixed)" : "", budget.average, budget.last, budget.soft,
                 budget.hard);
    }
    out.line("strict_budget: {}, trips so far: {}", engine.sentinel().strict() ? 1 : 0, engine.sentinel().trips());
}

void report_log(Engine& engine, size_t most, LineSink& out)
{
    const RingLog& log = engine.log();
    const size_t count = log.count();
    for (size_t i = count - std::min(most, count); i < count; ++i) {
        Text<240> text;
        RingLog::format_record(text, log.at(i), engine.start_ticks(), engine.platform().ticks_per_second());
        out.line(text.view());
    }
}

void put_lookups(TextWriter& out, const Session::LookupCount& lookups)
{
    if (lookups.drafted > 0) {
        format(out, " drafted={} accepted={}", lookups.drafted, lookups.accepted);
    }
}

Result<void> save_dump(Engine& engine, std::string_view why)
{
    FileSink file(engine.platform(), kDumpPath);
    file.line("LLM Bare-Metal " LLMK_VERSION " dump");
    auto clock = engine.platform().wall_clock();
    if (clock.ok()) {
        const WallClock& now = clock.value();
        file.line("time: {:04}-{:02}-{:02} {:02}:{:02}:{:02}", now.year, now.month, now.day, now.hour, now.minute,
                  now.second);
    }
    file.line("why: {}", why);
    report_cpu(engine, file);
    report_kernels(engine, file);
    if (engine.loaded()) {
        report_model(engine.model().desc, engine.session().plan(), file);
        file.line("positions: {} of {}", engine.session().length(), engine.session().context());
    }
    report_zones(engine, file);
    report_budgets(engine, file);
    report_log(engine, engine.log().count(), file);
    return file.close();
}

Result<void> save_log(Engine& engine)
{
    FileSink file(engine.platform(), kLogPath);
    report_log(engine, engine.log().count(), file);
    return file.close();
}

} // namespace llmk
