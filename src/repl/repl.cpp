// SPDX-License-Identifier: MIT
#include "repl/repl.h"

#include "repl/commands.h"

namespace llmk {

namespace {

constexpr std::string_view kPrompt = "> ";

Repl& repl_of(void* context) { return *static_cast<Repl*>(context); }

} // namespace

bool Script::next(std::string_view& line)
{
    if (m_rest.empty()) {
        return false;
    }
    const size_t end = m_rest.find('\n');
    line = head(m_rest, end);
    m_rest = end == std::string_view::npos ? std::string_view() : tail(m_rest, end + 1);
    if (!line.empty() && line.back() == '\r') {
        line.remove_suffix(1);
    }
    return true;
}

Repl::Repl(Engine& engine, KeyQueue& keys, LineEditor& editor, Script& script, ModelShelf& shelf)
    : m_engine(engine), m_keys(keys), m_editor(editor), m_script(script), m_shelf(shelf)
{
    reset_settings();
}

void Repl::reset_settings()
{
    Chat& chat = m_engine.chat();
    const bool story = m_engine.model().desc.kind == ModelKind::story;
    chat.settings = {};
    chat.settings.sampler = story ? story_sampler() : chat_sampler();
    chat.settings.max_tokens = default_max_tokens(m_engine.model().desc.kind);
    chat.reseed(platform().ticks());
}

void Repl::line(std::string_view text)
{
    end_line();
    platform().console_write(text);
    platform().console_write("\n");
}

void Repl::end_line()
{
    if (!m_at_line_start) {
        platform().console_write("\n");
        m_at_line_start = true;
    }
}

void Repl::print_error(std::string_view message)
{
    platform().console_style(Style::error);
    line("error: {}", message);
    platform().console_style(Style::normal);
}

TurnSink Repl::sink()
{
    TurnSink sink;
    sink.context = this;
    sink.text = [](void* context, std::string_view utf8) {
        Repl& repl = repl_of(context);
        repl.platform().console_write(utf8);
        repl.m_at_line_start = utf8.back() == '\n';
    };
    sink.notice = [](void* context, std::string_view notice) {
        Repl& repl = repl_of(context);
        repl.platform().console_style(Style::dim);
        repl.line(notice);
        repl.platform().console_style(Style::normal);
    };
    sink.interrupted = [](void* context) {
        Repl& repl = repl_of(context);
        const bool interrupted = repl.m_keys.interrupt_pending();
        if (interrupted) {
            repl.m_script.stop(); // the person takes over
        }
        return interrupted;
    };
    return sink;
}

void Repl::report_trip(const Error& trip)
{
    m_last_trip = trip;
    auto dumped = save_dump(m_engine, trip.message);
    if (dumped.ok()) {
        line("[failsafe] what happened is in {}", kDumpPath);
    } else {
        line("[failsafe] no dump was written: {}", dumped.error().message);
    }
}

void Repl::finish_turn(Result<TurnStats> result)
{
    m_last_trip.reset();
    end_line();
    if (!result.ok()) {
        print_error(result.error().message);
        if (result.error().status == Status::tripped) {
            line("[failsafe] the turn was taken back, the KV cache holds {} positions", m_engine.session().length());
            report_trip(result.error());
        }
        return;
    }
    const TurnStats& stats = result.value();
    if (stats.end == TurnEnd::interrupted) {
        line("[stopped]");
    } else if (stats.end == TurnEnd::context_full) {
        line("[context] full: this turn alone fills all {} positions; /clear starts anew",
             m_engine.session().context());
    }
    if (m_show_stats) {
        platform().console_style(Style::dim);
        Text<240> figures("[stats] tokens={} time_ms={} tok_s={:.3} prefill_tokens={} prefill_ms={}", stats.tokens,
                          stats.time_ms, stats.tokens_per_second, stats.prefill_tokens, stats.prefill_ms);
        put_lookups(figures, stats.lookups);
        line(figures.view());
        platform().console_style(Style::normal);
    }
}

void Repl::say(std::string_view text) { finish_turn(m_engine.chat().say(text, sink())); }

void Repl::regenerate() { finish_turn(m_engine.chat().regenerate(sink())); }

/// What the platform says of them changes when one is lost, at work or in the rest at the prompt.
void Repl::watch_processors()
{
    if (m_engine.note_processors()) {
        line("[CPU] {}", platform().processors_note());
    }
}

LineEvent Repl::read(std::string_view& input)
{
    if (m_script.next(input)) {
        platform().console_write(kPrompt);
        line(input);
        return LineEvent::line;
    }
    const LineEvent event = m_editor.read_line(kPrompt);
    input = m_editor.line();
    if (event == LineEvent::line && m_editor.truncated()) {
        line("[input] the line is longer than what is kept; its first {} bytes are used, /read FILE takes more",
             input.size());
    }
    return event;
}

void Repl::handle(std::string_view input)
{
    watch_processors();
    const auto text = trim(input);
    if (text.empty()) {
        return;
    }
    if (text[0] == '/') {
        auto result = run_command(*this, text);
        if (!result.ok()) {
            print_error(result.error().message);
            if (result.error().status == Status::tripped) {
                report_trip(result.error());
            }
        }
        return;
    }
    say(input);
}

ReplExit Repl::run()
{
    m_editor.set_completer(complete_command, nullptr);
    m_keys.meanwhile([](void* engine) { return static_cast<Engine*>(engine)->work_off(); }, &m_engine);
    m_exit.reset();
    while (!m_exit) {
        std::string_view input;
        switch (read(input)) {
        case LineEvent::line:
            handle(input);
            break;
        case LineEvent::interrupt:
            line("Ctrl-C stops an answer; /exit leaves the chat.");
            break;
        case LineEvent::end:
            m_exit = ReplExit::leave;
            break;
        }
    }
    m_keys.meanwhile(nullptr, nullptr);
    return *m_exit;
}

} // namespace llmk
