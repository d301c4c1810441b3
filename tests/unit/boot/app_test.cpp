// SPDX-License-Identifier: MIT
//
// The application from banner to goodbye, on a fake machine.
#include "boot/app.h"

#include "fake/chat_model.h"
#include "fake/gguf_file.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

struct Machine {
    explicit Machine(const std::string& config = "", size_t volume = 0)
    {
        platform.add_file("llmk.cfg",
                          "kernels = scalar\ntemp = 0\ntop_p = 0\nrepeat = 1\nnorepeat = 0\nmax_tokens = 8\n" + config,
                          volume);
    }
    /// Runs until the person leaves; returns all that was written.
    const std::string& run(std::string_view typed = "")
    {
        platform.type(typed);
        run_app(platform);
        EXPECT_EQ(platform.pages_in_use(), 0u);
        EXPECT_EQ(platform.open_files(), 0u);
        EXPECT_EQ(platform.screen.invalid_bytes, 0u);
        return platform.screen.transcript;
    }
    bool shown(std::string_view part) const { return platform.screen.transcript.find(part) != std::string::npos; }
    size_t times(std::string_view part) const
    {
        size_t count = 0;
        for (size_t at = 0; (at = platform.screen.transcript.find(part, at)) != std::string::npos; ++at) {
            ++count;
        }
        return count;
    }

    FakePlatform platform;
};

TEST(App, TheOnlyModelStartsByItself)
{
    Machine machine;
    add_tiny_model(machine.platform);
    machine.platform.type("the hat\r/exit\r");
    machine.platform.type_at(100'000, "\x1b"); // at the menu: Esc typed ahead would cancel the loading
    (void)machine.run();
    EXPECT_TRUE(machine.shown("LLM Bare-Metal "));
    EXPECT_TRUE(machine.shown("[DJIBLAS] SGEMM kernel: Scalar\n"));
    EXPECT_TRUE(machine.shown("[ATTN] SIMD path: Scalar\n"));
    EXPECT_TRUE(machine.shown("tiny.bin [####################]"));
    EXPECT_TRUE(machine.shown("tiny.bin: llama, "));
    EXPECT_TRUE(machine.shown("Once upon a time")) << "a demo prompt for a story model";
    EXPECT_TRUE(machine.shown("[stats] tokens=8 "));
    EXPECT_TRUE(machine.platform.resets.empty());
    EXPECT_EQ(machine.platform.keys_left(), 0u);
}

TEST(App, TwoModelsAreAMenu)
{
    Machine machine;
    add_tiny_model(machine.platform, "models/alpha.bin");
    TinyShape other;
    other.version = 2;
    add_tiny_model(machine.platform, "beta.bin", other);
    (void)machine.run("2/model\r/exit\r"
                      "1/model\r/exit\rq");
    EXPECT_TRUE(machine.shown("beta.bin: llama, "));
    EXPECT_TRUE(machine.shown("alpha.bin: llama, "));
    EXPECT_TRUE(machine.shown("file: models/alpha.bin"));
    EXPECT_TRUE(machine.shown("type: Q8 g8")) << machine.platform.screen.transcript;
}

TEST(App, DefaultAndTimeoutStartWithoutAPerson)
{
    Machine machine("default = beta\ntimeout = 3\n");
    add_tiny_model(machine.platform, "alpha.bin");
    add_tiny_model(machine.platform, "beta.bin");
    machine.platform.type_at(10'000, "/exit\r");
    machine.platform.type_at(60'000, "q"); // no second countdown
    (void)machine.run();
    EXPECT_EQ(machine.times("beta.bin: llama, "), 1u);
    EXPECT_FALSE(machine.shown("alpha.bin: llama, "));
}

TEST(App, ABadModelIsListedWithItsReason)
{
    Machine machine;
    machine.platform.add_file("bad.bin", tiny_model({}).substr(0, 5000));
    machine.platform.add_file("other.gguf", "GGUF and so on");
    machine.platform.add_directory("folder.bin");
    add_tiny_model(machine.platform, "good1.bin");
    add_tiny_model(machine.platform, "good2.bin");
    (void)machine.run("1\r3/models\r/load bad\r/exit\rq");
    EXPECT_TRUE(machine.shown("bad.bin: the file ends inside"));
    EXPECT_TRUE(machine.shown("This one cannot be started"));
    EXPECT_TRUE(machine.shown("good1.bin: llama, ")) << "the menu was still there";
    EXPECT_TRUE(machine.shown("[!] other.gguf: GGUF"));
    EXPECT_TRUE(machine.shown("[!] folder.bin: is a folder"));
    EXPECT_TRUE(machine.shown("error: bad.bin: the file ends inside")) << "/load says so and the chat goes on";
}

TEST(App, AFileThatBreaksWhileLoadingBringsTheMenuBack)
{
    Machine machine;
    add_tiny_model(machine.platform, "one.bin");
    add_tiny_model(machine.platform, "two.bin");
    size_t step = 0;
    machine.platform.on_idle = [&] {
        ++step;
        if (step == 1) {
            machine.platform.fail_read_in = 3; // head, tokenizer, then the weights
            machine.platform.type("1");
        } else if (step == 2) {
            machine.platform.fail_read_in = 0;
            EXPECT_TRUE(machine.shown("error: one.bin: cannot be read")) << machine.platform.screen.transcript;
            EXPECT_NE(machine.platform.screen.text().find("cannot be read"), std::string::npos)
                << "as a note above the menu";
            machine.platform.type("2/exit\rq");
        }
    };
    (void)machine.run();
    EXPECT_TRUE(machine.shown("two.bin: llama, "));
    EXPECT_FALSE(machine.shown("one.bin: llama, "));
}

TEST(App, TheBounceBufferIsOnUnlessTheFileSaysOff)
{
    for (const bool off : {false, true}) {
        Machine machine(off ? "bounce = off\n" : "");
        machine.platform.bounces = off; // the other way round
        add_tiny_model(machine.platform);
        (void)machine.run("/shutdown\r");
        EXPECT_EQ(machine.platform.bounces, !off);
    }
}

/// The person is in the menu then, with the reason above it, and can start what was cancelled.
TEST(App, EscCancelsLoadingBackToTheMenu)
{
    Machine machine;
    add_tiny_model(machine.platform);
    machine.platform.type("\x1b");
    size_t step = 0;
    machine.platform.on_idle = [&] {
        if (++step == 1) {
            EXPECT_NE(machine.platform.screen.text().find("tiny.bin: loading was cancelled"), std::string::npos);
            EXPECT_NE(machine.platform.screen.text().find("Enter"), std::string::npos) << "the menu's keys";
            machine.platform.type("\r");
            machine.platform.type("/shutdown\r");
        }
    };
    (void)machine.run();
    EXPECT_TRUE(machine.shown("tiny.bin: llama, "));
    EXPECT_EQ(machine.platform.resets.size(), 1u);
}

TEST(App, EscCancelsLoading)
{
    Machine machine;
    add_tiny_model(machine.platform);
    size_t step = 0;
    machine.platform.type("\x1b"); // waits already when the first bytes are read
    machine.platform.on_idle = [&] {
        if (++step == 1) {
            machine.platform.type("q");
        }
    };
    run_app(machine.platform);
    EXPECT_TRUE(machine.shown("loading was cancelled"));
    EXPECT_FALSE(machine.shown("tiny.bin: llama, "));
}

TEST(App, AutorunTypesAFileAndShutdownResets)
{
    Machine machine("autorun = auto.txt\n");
    add_tiny_model(machine.platform);
    machine.platform.add_file("auto.txt", "the hat\r\n/save_log\r\n/shutdown\r\nnever said\r\n");
    (void)machine.run();
    EXPECT_TRUE(machine.shown("> the hat\n"));
    EXPECT_TRUE(machine.shown("[stats] tokens=8 "));
    EXPECT_FALSE(machine.shown("never said"));
    EXPECT_EQ(machine.platform.resets, std::vector{ResetKind::shutdown});
    EXPECT_NE(machine.platform.content("llmk-log.txt"), nullptr);
}

TEST(App, AutorunThatEndsLeavesThePrompt)
{
    Machine machine("autorun = auto.txt\n");
    add_tiny_model(machine.platform);
    machine.platform.add_file("auto.txt", "/version");
    (void)machine.run("/exit\rq");
    EXPECT_EQ(machine.times("> /version\n"), 1u) << "once, not again after the menu";
    Machine missing("autorun = away.txt\n");
    add_tiny_model(missing.platform);
    (void)missing.run("/exit\rq");
    EXPECT_TRUE(missing.shown("[autorun] away.txt: there is no such file"));
    Machine empty("autorun = empty.txt\n");
    add_tiny_model(empty.platform);
    empty.platform.add_file("empty.txt", "");
    (void)empty.run("/exit\rq");
    EXPECT_TRUE(empty.shown("tiny.bin: llama, "));
}

TEST(App, AModelThatDoesNotFitIsRefusedWithTheNumbers)
{
    Machine machine;
    TinyShape large;
    large.dim = 64;
    large.vocab = 34'000;
    add_tiny_model(machine.platform, "large.bin", large);
    add_tiny_model(machine.platform, "small.bin");
    machine.platform.extents = {13 << 20};
    (void)machine.run("/models\r/exit\rq"); // the small one is the only one that can be started
    EXPECT_TRUE(machine.shown("small.bin: llama, "));
    EXPECT_TRUE(machine.shown("[!] large.bin: needs "));
    EXPECT_TRUE(machine.shown("are free; a model file of about "));
    EXPECT_FALSE(machine.shown("large.bin: llama, "));
}

TEST(App, AShrunkContextIsSaid)
{
    Machine machine;
    TinyShape shape;
    shape.context = 100'000;
    add_tiny_model(machine.platform, "long.bin", shape);
    machine.platform.extents = {14 << 20};
    (void)machine.run("/exit\rq");
    EXPECT_TRUE(machine.shown("[memory] the context was shrunk from 100000 to "));
}

TEST(App, ConfigErrorsAreNamedWithTheirLines)
{
    Machine machine("temp = hot\nunknown = 1\nsystem = be brief\nctx = 32\nstats = off\nseed = 7\nstop = xyz\n");
    add_tiny_model(machine.platform);
    (void)machine.run("/system\r/ctx\r/stats\r/stop\r/temp\r/exit\rq");
    EXPECT_TRUE(machine.shown("[config] llmk.cfg line 7")) << machine.platform.screen.transcript;
    EXPECT_TRUE(machine.shown("[config] llmk.cfg line 8"));
    EXPECT_EQ(machine.times("[config] "), 2u);
    EXPECT_TRUE(machine.shown("system: be brief"));
    EXPECT_TRUE(machine.shown(" of 32 positions"));
    EXPECT_TRUE(machine.shown("stats off"));
    EXPECT_TRUE(machine.shown("stop \"xyz\""));
    EXPECT_TRUE(machine.shown("temp 0.000")) << "the bad line was skipped, the good one before it counts";
}

TEST(App, KernelsThatAreNotThereAreMeasuredInstead)
{
    FakePlatform platform;
    platform.add_file("llmk.cfg", "kernels = avx9\nstrict_budget = on\n");
    add_tiny_model(platform);
    platform.type("/budget\r/exit\rq");
    run_app(platform);
    EXPECT_NE(platform.screen.transcript.find("there is no kernel set \"avx9\""), std::string::npos);
    EXPECT_NE(platform.screen.transcript.find("measuring instead"), std::string::npos);
    EXPECT_NE(platform.screen.transcript.find("strict_budget: 1"), std::string::npos);
}

TEST(App, ModelsOnASecondVolume)
{
    FakePlatform platform;
    const size_t second = platform.add_volume();
    add_tiny_model(platform, "models/tiny.bin", {}, second);
    platform.add_file("readme.txt", "nothing here");
    platform.type("/models\r/save\r/exit\rq");
    run_app(platform);
    const std::string& shown = platform.screen.transcript;
    EXPECT_NE(shown.find("models were found on volume 1"), std::string::npos);
    EXPECT_NE(shown.find("tiny.bin: llama, "), std::string::npos);
    EXPECT_NE(shown.find("error: llmk-chat.txt"), std::string::npos) << "a volume without our marker is not written";
}

TEST(App, AConfigurationKeepsTheBootVolume)
{
    Machine machine("stats = off\n");
    const size_t second = machine.platform.add_volume();
    add_tiny_model(machine.platform, "tiny.bin", {}, second);
    (void)machine.run("q");
    EXPECT_TRUE(machine.shown("No model was found."));
    EXPECT_FALSE(machine.shown("on volume 1"));
}

TEST(App, NoModelsAtAll)
{
    Machine machine;
    size_t step = 0;
    machine.platform.on_idle = [&] {
        if (++step == 1) {
            EXPECT_NE(machine.platform.screen.text().find("No model was found."), std::string::npos);
            add_tiny_model(machine.platform, "late.bin");
            machine.platform.type("r");
        } else if (step == 2) {
            EXPECT_NE(machine.platform.screen.text().find("late.bin"), std::string::npos);
            machine.platform.type("\r/exit\rq");
        }
    };
    (void)machine.run();
    EXPECT_TRUE(machine.shown("late.bin: llama, "));
}

TEST(App, LoadPutsAnotherInPlace)
{
    Machine machine;
    add_tiny_model(machine.platform, "alpha.bin");
    add_tiny_model(machine.platform, "beta.bin");
    (void)machine.run("1/load BETA\r/model\r/load alpah\r/exit\rq");
    EXPECT_TRUE(machine.shown("file: beta.bin"));
    EXPECT_TRUE(machine.shown("did you mean alpha.bin"));
}

TEST(App, ASplitModelIsOneModel)
{
    Machine machine("default = big\ntimeout = 3\n");
    const auto shards = split_gguf(tiny_gguf(), {7, 5, 8});
    add_shards(machine.platform, "models/Big-F32", shards);
    add_tiny_model(machine.platform, "small.bin");
    add_shards(machine.platform, "gap", shards);
    machine.platform.volume().nodes.erase("gap-00002-of-00003.gguf");
    std::string menu;
    machine.platform.on_idle = [&] {
        if (menu.empty()) {
            menu = machine.platform.screen.text();
            machine.platform.type(
                "1/models\r/load small\r/load big-f32-00003-of-00003.gguf\r/model\r/load gap\r/exit\rq");
        }
    };
    (void)machine.run();
    EXPECT_NE(menu.find("[+]   1 Big-F32.gguf "), std::string::npos) << menu;
    EXPECT_NE(menu.find("[!]   2 gap.gguf "), std::string::npos) << menu;
    EXPECT_NE(menu.find("[+]   3 small.bin "), std::string::npos) << menu;
    EXPECT_NE(menu.find("models/Big-F32-00001-of-00003.gguf"), std::string::npos) << menu;
    EXPECT_NE(menu.find("llama, 3 files, "), std::string::npos) << menu;
    const std::string total(
        human_bytes(shards[0].bytes().size() + shards[1].bytes().size() + shards[2].bytes().size()).view());
    EXPECT_NE(menu.find(total), std::string::npos) << menu;
    EXPECT_TRUE(machine.shown("Big-F32.gguf [####################]"));
    EXPECT_TRUE(machine.shown("Big-F32.gguf: llama, "));
    EXPECT_TRUE(machine.shown("[+] models/Big-F32.gguf "));
    EXPECT_TRUE(machine.shown(total + " in 3 files\n"));
    EXPECT_TRUE(machine.shown("[!] gap-00002-of-00003.gguf: this file is missing; the model is in 3 files"));
    EXPECT_TRUE(machine.shown("error: gap-00002-of-00003.gguf: this file is missing"));
    EXPECT_EQ(machine.times("Big-F32.gguf: llama, "), 2u) << "loaded again by the name of its third file";
    EXPECT_TRUE(machine.shown("files: 3\n"));
}

TEST(App, LoadTakesTheConversationAlong)
{
    Machine machine("system = be brief\n");
    add_tiny_model(machine.platform, "story.bin", {.context = 400});
    machine.platform.add_file("chat.gguf", chat_model());
    (void)machine.run("2the hat\r/load chat\r/template\r/ctx\r/load story\r/ctx\r/load chat drop\r/ctx\r/exit\rq");
    EXPECT_TRUE(machine.shown("template: chatml (recognised in the file)")) << machine.platform.screen.transcript;
    EXPECT_EQ(machine.times("[load] 1 of 1 turns go on with this model"), 2u) << machine.platform.screen.transcript;
    EXPECT_EQ(machine.times("positions in use, 1 turns"), 2u);
    EXPECT_EQ(machine.times("positions in use, 0 turns"), 1u);
}

TEST(App, TheSystemPromptGoesAlongToo)
{
    Machine machine;
    add_tiny_model(machine.platform, "one.bin");
    add_tiny_model(machine.platform, "two.bin");
    (void)machine.run("1/system be kind\r/load two\r/system\r/load one drop\r/system\r/exit\rq");
    EXPECT_EQ(machine.times("system: be kind"), 2u) << machine.platform.screen.transcript;
    EXPECT_EQ(machine.times("system: (none)"), 1u);
    EXPECT_FALSE(machine.shown("turns go on")) << "there were none";
}

TEST(App, TheTemplateOfTheConfiguration)
{
    Machine machine("template = gemma\n");
    machine.platform.add_file("chat.gguf", chat_model());
    (void)machine.run("/template\r/exit\rq");
    EXPECT_TRUE(machine.shown("template: gemma (set by you)")) << machine.platform.screen.transcript;
    EXPECT_FALSE(machine.shown("no effect"));
    Machine wrong("template = gamma\n");
    wrong.platform.add_file("chat.gguf", chat_model());
    (void)wrong.run("/template\r/exit\rq");
    EXPECT_TRUE(wrong.shown("[config] template: there is no template 'gamma'"));
    EXPECT_TRUE(wrong.shown("template: chatml (recognised in the file)"));
    Machine option("template = gamma\n");
    option.platform.add_file("chat.gguf", chat_model());
    option.platform.type("/template\r/system\r/exit\rq");
    run_app(option.platform, {.kernels = {}, .tokenizer = {}, .chat_template = "phi3", .system = "be brief"});
    EXPECT_TRUE(option.shown("template: phi3 (set by you)")) << "what the command line says goes first";
    EXPECT_TRUE(option.shown("system: be brief"));
}

TEST(App, AnUnknownTemplateIsSaid)
{
    Machine machine;
    ChatShape shape;
    shape.jinja = "who knows";
    machine.platform.add_file("chat.gguf", chat_model(shape));
    (void)machine.run("/exit\rq");
    EXPECT_TRUE(machine.shown("[template] the chat template in the file is not known; chatml is used. /template NAME"))
        << machine.platform.screen.transcript;
}

TEST(App, NoMemoryForItself)
{
    FakePlatform platform;
    platform.extents = {4096};
    run_app(platform);
    EXPECT_NE(platform.screen.transcript, "");
    FakePlatform little;
    little.extents = {600'000};
    little.type("q");
    add_tiny_model(little);
    run_app(little);
    EXPECT_NE(little.screen.transcript.find("LLM Bare-Metal"), std::string::npos);
}

TEST(App, CtrlDLeaves)
{
    Machine machine;
    add_tiny_model(machine.platform);
    machine.platform.ctrl('d');
    (void)machine.run();
    EXPECT_TRUE(machine.shown("tiny.bin: llama, "));
}

} // namespace
} // namespace llmk
