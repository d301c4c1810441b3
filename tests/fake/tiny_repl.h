// SPDX-License-Identifier: MIT
//
// A REPL over a tiny model on a fake platform: lines go in, the screen's transcript comes out.
#pragma once

#include "fake/tiny_engine.h"
#include "repl/commands.h"

namespace llmk {

struct TinyRepl {
    explicit TinyRepl(const TinyShape& shape = {})
        : tiny(shape), keys(tiny.platform), history(history_storage), storage(16 * 1024),
          editor(tiny.platform, keys, history, storage), repl(*tiny.engine, keys, editor, script, shelf)
    {
        (void)enter("/temp 0");
        (void)enter("/top_p 0");
        (void)enter("/repeat 1");
        (void)enter("/norepeat 0");
        (void)enter("/max_tokens 12");
        (void)enter("/stats off");
        chat().settings.sampler.loop_escape = false;
    }
    /// Types the lines as a script and leaves; returns what was written, the echo of the lines included.
    std::string run(const std::string& lines)
    {
        const std::string all = lines + "\n/exit\n";
        script.set(all);
        platform().screen.transcript.clear();
        exit = repl.run();
        script.stop();
        return platform().screen.transcript;
    }
    /// One line; what was written behind its echo.
    std::string enter(const std::string& line)
    {
        std::string written = run(line);
        const std::string echo = "> " + line + "\n";
        const std::string end = "> /exit\n";
        EXPECT_EQ(written.find(echo), 0u) << written;
        EXPECT_TRUE(written.ends_with(end)) << written;
        return written.substr(echo.size(), written.size() - echo.size() - end.size());
    }
    Chat& chat() { return tiny.chat(); }
    FakePlatform& platform() { return tiny.platform; }

    struct Shelf final : ModelShelf {
        void list(LineSink& out) override { out.line("a list of models"); }
        Result<Text<384>> find(std::string_view name) override
        {
            if (name == "tiny" || name == "bad") {
                return Text<384>("{}.bin", name);
            }
            return fail(Status::not_found, "{} is not on this volume", name);
        }
    };

    TinyEngine tiny;
    KeyQueue keys;
    char history_storage[1024] = {};
    History history;
    std::vector<char> storage;
    LineEditor editor;
    Script script;
    Shelf shelf;
    Repl repl;
    ReplExit exit = ReplExit::menu;
};

} // namespace llmk
