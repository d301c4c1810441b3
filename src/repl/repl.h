// SPDX-License-Identifier: MIT
//
// The chat with one loaded model: reads inputs (from a person or a script), runs commands, says everything else to the
// model and prints the answer as it is made. Commands are in commands.h.
#pragma once

#include "repl/line_editor.h"
#include "repl/report.h"
#include "repl/tools.h"

namespace llmk {

enum class ReplExit : uint8_t {
    menu,  ///< /exit
    leave, ///< end of input: back to firmware or shell
    load,  ///< /load: Repl::requested_model() says which
};

/// What the volume holds, for /models and /load. The application implements it: finding models is src/boot's.
class ModelShelf {
public:
    virtual void list(LineSink& out) = 0;
    /// The path of the model of that name (letter case and ending may differ). Status::not_found names the nearest.
    virtual Result<Text<384>> find(std::string_view name) = 0;
    /// Puts the settings of llmk.cfg over the defaults of the model's kind.
    virtual void apply_config() {}

protected:
    ~ModelShelf() = default;
};

/// Lines that are typed by a file instead of a person (autorun).
class Script {
public:
    /// `text` must outlive the script.
    void set(std::string_view text) { m_rest = text; }
    bool next(std::string_view& line);
    void stop() { m_rest = {}; }
    bool done() const { return m_rest.empty(); }

private:
    std::string_view m_rest;
};

class Repl final : public LineSink {
public:
    /// All must outlive the REPL; the engine has a model loaded.
    Repl(Engine& engine, KeyQueue& keys, LineEditor& editor, Script& script, ModelShelf& shelf);

    /// Until the person leaves this model.
    ReplExit run();

    // --- for commands ------------------------------------------------------------------------------------------------
    using LineSink::line;
    /// A line of output.
    void line(std::string_view text) override;
    /// Says a text to the model, prints the answer and [stats]; a trip is reported and leaves the prompt alive.
    void say(std::string_view text);
    /// Makes the last answer anew.
    void regenerate();
    void print_error(std::string_view message);
    /// Writes the dump of what the sentinel stopped.
    void report_trip(const Error& trip);
    /// Ends run() after this command.
    void leave(ReplExit exit) { m_exit = exit; }
    /// `keep`: the conversation goes on with it.
    void request_model(std::string_view path, bool keep)
    {
        m_requested = path;
        m_keeps_conversation = keep;
        m_exit = ReplExit::load;
    }
    std::string_view requested_model() const { return m_requested; }
    bool keeps_conversation() const { return m_keeps_conversation; }
    void show_stats(bool show) { m_show_stats = show; }
    bool stats_shown() const { return m_show_stats; }
    /// Sampler and limits as the model's kind has them, a fresh seed.
    void reset_settings();
    /// Where an answer goes: the screen, watched by the keys.
    TurnSink sink();

    Engine& engine() { return m_engine; }
    Platform& platform() { return m_engine.platform(); }
    KeyQueue& keys() { return m_keys; }
    ModelShelf& shelf() { return m_shelf; }
    /// What the last turn ended in, if the sentinel tripped.
    const std::optional<Error>& last_trip() const { return m_last_trip; }

private:
    LineEvent read(std::string_view& input);
    void handle(std::string_view input);
    void finish_turn(Result<TurnStats> result);
    void watch_processors();
    void end_line();

    Engine& m_engine;
    KeyQueue& m_keys;
    LineEditor& m_editor;
    Script& m_script;
    ModelShelf& m_shelf;
    std::optional<ReplExit> m_exit;
    Text<384> m_requested;
    bool m_keeps_conversation = false;
    std::optional<Error> m_last_trip;
    bool m_show_stats = true;
    bool m_at_line_start = true;
};

} // namespace llmk
