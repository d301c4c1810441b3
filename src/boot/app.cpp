// SPDX-License-Identifier: MIT
#include "boot/app.h"

#include "boot/candidates.h"
#include "boot/config.h"
#include "boot/demos.h"
#include "boot/load_bar.h"
#include "boot/menu.h"
#include "format/gguf_shards.h"
#include "mem/file_bytes.h"
#include "repl/commands.h"

#include <algorithm>

namespace llmk {

namespace {

/// An autorun file is typed text, not a book.
constexpr uint64_t kMaxScriptBytes = 1u << 20;

/// Everything that is too large for a stack, in pages of its own.
class App final : public ModelShelf {
public:
    App(Platform& platform, const AppOptions& options)
        : m_options(options), m_platform(platform), m_engine(platform), m_keys(platform), m_history(m_history_storage),
          m_editor(platform, m_keys, m_history, m_line_storage), m_script_text(platform), m_carried(platform)
    {
    }

    void run();

    void list(LineSink& out) override;
    Result<Text<384>> find(std::string_view name) override;

private:
    void say(std::string_view line);
    template <class... Args>
    requires(sizeof...(Args) > 0) void say(std::string_view pattern, const Args&... args)
    {
        say(std::string_view(Text<480>(pattern, args...)));
    }
    void start();
    bool exists(std::string_view path);
    void find_volume();
    void read_script();
    void scan();
    void describe(const Candidate& file, MenuEntry& entry);
    bool load(std::string_view path);
    void apply_config() override;
    void apply_template(std::string_view name);
    void greet();
    /// Goes on with the conversation that /load took along.
    void go_on();
    /// The chat with the loaded model, and with those that /load puts in its place. False: leave the program.
    bool chat();

    AppOptions m_options;
    Platform& m_platform;
    Engine m_engine;
    KeyQueue m_keys;
    char m_history_storage[16 * 1024] = {};
    char m_line_storage[32 * 1024] = {};
    History m_history;
    LineEditor m_editor;
    Script m_script;
    Vec<uint8_t> m_script_text;
    Config m_config;
    CandidateList m_files;
    MenuEntry m_entries[CandidateList::kCapacity];
    Repl* m_repl = nullptr; ///< while a model is being talked to
    Transcript m_carried;   ///< what /load takes along to the next model
    Text<2048> m_carried_system;
    bool m_carries = false;
    Text<480> m_note; ///< above the menu: why the last model did not start
};

void App::say(std::string_view line)
{
    m_platform.console_write(line);
    m_platform.console_write("\n");
}

void App::start()
{
    m_platform.console_style(Style::bold);
    say("LLM Bare-Metal " LLMK_VERSION);
    m_platform.console_style(Style::normal);
    find_volume();
    const ConfigReport report = {
        [](void* context, std::string_view sentence) { static_cast<App*>(context)->say("[config] {}", sentence); },
        this};
    auto loaded = load_config(m_platform, m_config, report);
    if (!loaded.ok()) {
        say("[config] {}", loaded.error().message);
    }
    std::string_view kernels = m_options.kernels;
    if (kernels.empty() && m_config.kernels) {
        kernels = *m_config.kernels;
    }
    if (m_config.threads) {
        m_platform.use_processors(*m_config.threads);
        m_engine.keep_processors();
    }
    m_engine.want_kv_type(m_config.kv_type.value_or(KvType::f16));
    m_platform.use_bounce_buffer(m_config.bounce.value_or(true));
    auto started = m_engine.start(kernels);
    if (!started.ok()) {
        say("[config] {}; measuring instead", started.error().message);
        started = m_engine.use_kernels("auto");
    }
    if (!started.ok()) {
        say("error: {}", started.error().message);
        return;
    }
    for (const auto name : {m_config.keymap ? "keymap" : "", m_config.log ? "log" : ""}) {
        if (name[0] != 0) {
            say("[config] {} has no effect in this version", name);
        }
    }
    m_engine.sentinel().set_strict(m_config.strict_budget.value_or(false));
    say("[CPU] {}", m_engine.cpu().brand);
    if (m_platform.processor_count() > 0 && m_engine.note_processors()) {
        say("[CPU] {}", m_platform.processors_note());
    }
    say("[DJIBLAS] SGEMM kernel: {}", m_engine.kernels().gemm.title);
    say("[ATTN] SIMD path: {}", m_engine.kernels().attention.title);
    read_script();
}

bool App::exists(std::string_view path)
{
    auto file = m_platform.file_open(path, OpenMode::read);
    if (file.ok()) {
        m_platform.file_close(file.value());
    }
    return file.ok();
}

/// The volume the program came from, unless it holds neither a model nor a configuration and another holds a model
/// (Ventoy and the like boot from one file system and keep the files on another).
void App::find_volume()
{
    const size_t count = m_platform.volume_count();
    if (count == 0) {
        say("No volume with a file system was found. This program reads FAT32; sticks above 32 GB often come as "
            "exFAT.");
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        if (!m_platform.volume_use(i).ok() || !list_candidates(m_platform, m_files).ok()) {
            continue;
        }
        const bool has_config = i == 0 && exists(kConfigPath);
        if (m_files.count > 0 || has_config) {
            if (i > 0) {
                say("[volume] models were found on volume {}", i);
            }
            return;
        }
    }
    (void)m_platform.volume_use(0).ok();
}

void App::read_script()
{
    if (!m_config.autorun) {
        return;
    }
    auto text = read_file(m_platform, *m_config.autorun, kMaxScriptBytes, "an autorun file");
    if (!text.ok()) {
        say("[autorun] {}", text.error().message);
        return;
    }
    m_script_text = text.take();
    m_script.set(as_text(m_script_text));
}

void App::describe(const Candidate& file, MenuEntry& entry)
{
    entry = {};
    entry.name = gguf::model_name(file.path);
    entry.path = file.path;
    entry.size_bytes = file.size_bytes;
    if (file.is_directory) {
        entry.reason = Text<320>("{}: is a folder, not a model file", file.path);
        return;
    }
    auto inspected = inspect_model(m_platform, file.path, m_options.tokenizer);
    if (!inspected.ok()) {
        entry.reason = inspected.error().message;
        return;
    }
    const ModelDesc& desc = inspected.value().desc;
    entry.type = desc.type;
    entry.parameters = desc.parameters;
    entry.context = desc.context_length;
    entry.architecture = desc.architecture;
    entry.file_count = desc.shard_count;
    entry.kind = model_kind_name(desc.kind);
    auto plan =
        fit_memory(m_platform, inspected.value(), m_config.context.value_or(0), m_config.kv_type.value_or(KvType::f16));
    if (!plan.ok()) {
        entry.reason = plan.error().message;
        auto wanted = plan_memory(inspected.value(), 0, m_config.kv_type.value_or(KvType::f16));
        entry.memory_bytes = wanted.ok() ? wanted.value().total() : 0;
        return;
    }
    entry.memory_bytes = plan.value().total();
    entry.loadable = true;
}

void App::scan()
{
    auto listed = list_candidates(m_platform, m_files);
    if (!listed.ok()) {
        m_note = listed.error().message;
    }
    for (size_t i = 0; i < m_files.count; ++i) {
        describe(m_files.items[i], m_entries[i]);
    }
    if (m_files.left_out > 0) {
        m_note =
            Text<480>("{} more files were left out: the menu shows {}", m_files.left_out, CandidateList::kCapacity);
    }
}

bool App::load(std::string_view path)
{
    LoadBar bar(m_platform, m_keys, gguf::model_name(path));
    const std::string_view expected = m_engine.kernels().gemm.name;
    auto loaded = m_engine.load(path, m_options.tokenizer, m_config.context.value_or(0), bar.observer());
    bar.finish(loaded.ok());
    if (!loaded.ok()) {
        m_note = loaded.error().message;
        m_platform.console_style(Style::error);
        say("error: {}", m_note);
        m_platform.console_style(Style::normal);
        return false;
    }
    if (m_engine.kernels().gemm.name != expected) {
        say("[DJIBLAS] SGEMM kernel: {}, faster with this model", m_engine.kernels().gemm.title);
    }
    if (const size_t most = m_engine.calibration().processors[0].count; most > m_platform.processor_count()) {
        say("[CPU] {} of {} processors work: faster with this model", m_platform.processor_count(), most);
    }
    return true;
}

void App::apply_config()
{
    m_repl->show_stats(m_config.stats.value_or(true));
    Chat& chat = m_engine.chat();
    SamplerSettings& sampler = chat.settings.sampler;
    sampler.temperature = m_config.temp.value_or(sampler.temperature);
    sampler.min_p = m_config.min_p.value_or(sampler.min_p);
    sampler.top_p = m_config.top_p.value_or(sampler.top_p);
    sampler.top_k = static_cast<uint32_t>(m_config.top_k.value_or(sampler.top_k));
    sampler.no_repeat_ngram = static_cast<uint32_t>(m_config.norepeat.value_or(sampler.no_repeat_ngram));
    sampler.repeat_penalty = m_config.repeat.value_or(sampler.repeat_penalty);
    sampler.repeat_window = static_cast<uint32_t>(m_config.repeat_window.value_or(sampler.repeat_window));
    chat.settings.max_tokens = static_cast<uint32_t>(m_config.max_tokens.value_or(chat.settings.max_tokens));
    chat.settings.lookup = static_cast<uint32_t>(m_config.lookup.value_or(chat.settings.lookup));
    if (m_config.seed) {
        chat.reseed(*m_config.seed);
    }
    for (size_t i = 0; i < m_config.stop_count; ++i) {
        chat.settings.stops[i] = m_config.stops[i];
    }
    if (!m_options.chat_template.empty() || m_config.chat_template) {
        apply_template(m_options.chat_template.empty() ? m_config.chat_template->view() : m_options.chat_template);
    }
    if (!m_options.system.empty() || m_config.system) {
        auto set = chat.set_system(m_options.system.empty() ? m_config.system->view() : m_options.system, {});
        if (!set.ok()) {
            say("[config] system: {}", set.error().message);
        }
    }
}

void App::apply_template(std::string_view name)
{
    auto how = m_engine.find_chat_template(name);
    if (!how.ok()) {
        say("[config] template: {}", how.error().message);
        return;
    }
    auto used = m_engine.chat().use_template(how.value(), {});
    if (!used.ok()) {
        say("[config] template: {}", used.error().message);
    }
}

void App::go_on()
{
    if (!m_carries) {
        return;
    }
    m_carries = false;
    Chat& chat = m_engine.chat();
    const TurnSink sink = m_repl->sink();
    if (m_carried_system.size() > 0) {
        auto set = chat.set_system(m_carried_system, sink);
        if (!set.ok()) {
            say("[load] the system prompt stays behind: {}", set.error().message);
        }
    }
    if (m_carried.count() > 0) {
        auto put = chat.replay(m_carried, sink);
        if (put.ok()) {
            say("[load] {} of {} turns go on with this model", put.value(), m_carried.count());
        } else {
            say("[load] the conversation starts anew: {}", put.error().message);
        }
    }
    m_carried = Transcript(m_platform);
}

void App::greet()
{
    const ModelDesc& desc = m_engine.model().desc;
    const size_t context = m_engine.session().context();
    const uint64_t wanted = std::min(m_config.context.value_or(desc.context_length), desc.context_length);
    say("{}: {}, {} parameters, {}, context {}, {} of memory", gguf::model_name(desc.path), desc.architecture,
        human_count(desc.parameters), desc.type, context, human_bytes(m_engine.session().plan().total()));
    if (context < wanted) {
        say("[memory] the context was shrunk from {} to {} positions to fit", wanted, context);
    }
    const ChatTemplate& how = m_engine.chat().chat_template();
    if (how.origin == TemplateOrigin::fallback) {
        say("[template] the chat template in the file is not known; {} is used. /template NAME chooses another",
            how.family->name);
    }
    m_platform.console_style(Style::dim);
    say(desc.kind == ModelKind::story ? "Type the start of a story; the model goes on. /help lists commands, Esc stops."
                                      : "Type a message. /help lists commands, Esc stops an answer.");
    const auto demos = demo_prompts(model_kind_name(desc.kind));
    for (size_t i = 0; i < demos.size() && i < 3; ++i) {
        say("  {} {}", i == 0 ? "Try:" : "    ", demos[i]);
    }
    m_platform.console_style(Style::normal);
}

bool App::chat()
{
    for (;;) {
        greet();
        Repl repl(m_engine, m_keys, m_editor, m_script, *this);
        m_repl = &repl;
        apply_config();
        go_on();
        const ReplExit exit = repl.run();
        m_repl = nullptr;
        if (exit == ReplExit::leave) {
            return false;
        }
        const Text<384> wanted(repl.requested_model());
        m_carries = exit == ReplExit::load && repl.keeps_conversation();
        if (m_carries) {
            m_carried_system = m_engine.chat().system();
            m_carried = m_engine.chat().take_transcript();
        }
        m_engine.unload();
        if (exit == ReplExit::menu || !load(wanted)) {
            m_carries = false;
            return true;
        }
    }
}

void App::list(LineSink& out)
{
    for (const MenuEntry& entry : std::span<const MenuEntry>(m_entries, m_files.count)) {
        if (entry.loadable) {
            Text<32> files;
            if (entry.file_count > 1) {
                format(files, " in {} files", entry.file_count);
            }
            out.line("[+] {:<32} {:<8} {:>8} {:<8} {:>10}{}", Text<400>("{}{}", folder_of(entry.path), entry.name),
                     entry.architecture, human_count(entry.parameters), entry.type, human_bytes(entry.size_bytes),
                     files);
        } else {
            out.line("[!] {}", entry.reason);
        }
    }
    if (m_files.count == 0) {
        out.line("no models on this volume");
    }
}

Result<Text<384>> App::find(std::string_view name)
{
    const MenuEntry* nearest = nullptr;
    size_t distance = SIZE_MAX;
    for (const MenuEntry& entry : std::span<const MenuEntry>(m_entries, m_files.count)) {
        if (is_meant(name, entry.path)) {
            return entry.path;
        }
        const size_t here = edit_distance(entry.name, name);
        if (here < distance) {
            distance = here;
            nearest = &entry;
        }
    }
    return fail(Status::not_found, "{} is not on this volume{}{}; /models lists what is", name,
                nearest == nullptr ? "" : ", did you mean ",
                nearest == nullptr ? std::string_view() : nearest->name.view());
}

void App::run()
{
    start();
    bool first = true;
    for (;;) {
        scan();
        MenuOptions options;
        options.title = "LLM Bare-Metal " LLMK_VERSION;
        options.note = m_note;
        options.default_name = m_config.default_model ? m_config.default_model->view() : std::string_view();
        // After /exit or a failed load the person wants to choose: no countdown, no choosing by itself.
        options.timeout_seconds = first ? m_config.timeout_seconds : std::nullopt;
        options.start_only_one = first;
        const MenuChoice choice = run_menu(m_platform, m_keys, {m_entries, m_files.count}, options);
        first = false;
        m_note.clear();
        if (choice.action == MenuAction::leave) {
            return;
        }
        if (choice.action == MenuAction::start && load(m_entries[choice.index].path) && !chat()) {
            return;
        }
        m_engine.unload();
    }
}

} // namespace

void run_app(Platform& platform, const AppOptions& options)
{
    constexpr uint64_t kBytes = (sizeof(App) + 4095) / 4096 * 4096;
    auto pages = platform.pages_alloc(kBytes);
    if (!pages.ok()) {
        platform.console_write(pages.error().message);
        platform.console_write("\n");
        return;
    }
    App* const app = new (pages.value()) App(platform, options);
    app->run();
    app->~App();
    platform.pages_free(pages.value(), kBytes);
}

} // namespace llmk
