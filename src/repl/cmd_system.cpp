// SPDX-License-Identifier: MIT
//
// Commands about the machine, the memory and the watchers; and the ways out.
#include "repl/commands.h"

namespace llmk {

namespace {

Result<void> cpu(Repl& repl, std::string_view)
{
    report_cpu(repl.engine(), repl);
    return success();
}

Result<void> kernels(Repl& repl, std::string_view args)
{
    if (!args.empty()) {
        TRY(repl.engine().use_kernels(args));
    }
    report_kernels(repl.engine(), repl);
    return success();
}

Result<void> attn(Repl& repl, std::string_view args)
{
    if (!args.empty()) {
        TRY(repl.engine().use_attention(args));
    }
    repl.line("[ATTN] SIMD path: {}", repl.engine().kernels().attention.title);
    return success();
}

Result<void> zones(Repl& repl, std::string_view)
{
    report_zones(repl.engine(), repl);
    return success();
}

Result<void> budget(Repl& repl, std::string_view args)
{
    Sentinel& sentinel = repl.engine().sentinel();
    if (!args.empty()) {
        const auto what = next_word(args);
        const auto value = trim(args);
        const auto cycles = parse_u64(value);
        if (what == "strict" && (value == "on" || value == "off")) {
            sentinel.set_strict(value == "on");
        } else if (what == "prefill" && cycles) {
            sentinel.set_budget(Phase::prefill, *cycles);
        } else if (what == "decode" && cycles) {
            sentinel.set_budget(Phase::decode, *cycles);
        } else {
            return fail(Status::invalid_argument,
                        "/budget prefill CYCLES, /budget decode CYCLES (0 learns it anew) or /budget strict on|off");
        }
    }
    report_budgets(repl.engine(), repl);
    return success();
}

Result<void> log(Repl& repl, std::string_view args)
{
    const auto count = args.empty() ? std::optional<uint64_t>(20) : parse_u64(args);
    if (!count) {
        return fail(Status::invalid_argument, "/log: '{}' is not a number of lines", args);
    }
    report_log(repl.engine(), static_cast<size_t>(*count), repl);
    return success();
}

Result<void> save_log_file(Repl& repl, std::string_view)
{
    TRY(save_log(repl.engine()));
    repl.line("{}: {} records", kLogPath, repl.engine().log().count());
    return success();
}

Result<void> save_dump_file(Repl& repl, std::string_view)
{
    TRY(save_dump(repl.engine(), "asked for by /save_dump"));
    repl.line("{} was written", kDumpPath);
    return success();
}

Result<void> verify(Repl& repl, std::string_view)
{
    const WeightReport report = TRY(repl.engine().verify());
    const double seconds = static_cast<double>(report.ticks) / static_cast<double>(repl.platform().ticks_per_second());
    repl.line("{} of WEIGHTS are as they were loaded, checked in {:.0} ms", human_bytes(report.bytes), seconds * 1e3);
    return success();
}

/// Flips a bit of a weight, and puts it back: /verify must see both.
Result<void> test_changed_weight(Repl& repl)
{
    TRY(repl.engine().verify());
    const TensorDesc& tensor = repl.engine().model().desc.tensors[0];
    auto* const byte = const_cast<uint8_t*>(tensor.data + tensor.size_bytes / 2);
    *byte ^= 0x10;
    auto seen = repl.engine().verify();
    *byte ^= 0x10;
    if (seen.ok()) {
        return fail(Status::unsupported, "weights: the sentinel did not trip");
    }
    repl.print_error(seen.error().message);
    repl.report_trip(seen.error());
    TRY(repl.engine().verify());
    repl.line("[failsafe] weights: passed, the prompt lives");
    return success();
}

/// Breaks one thing on purpose, in the middle of a turn, and shows that the sentinel saw it.
Result<void> test_failsafe(Repl& repl, std::string_view args)
{
    const struct {
        std::string_view name;
        Failure failure;
    } failures[] = {{"prefill", Failure::prefill},
                    {"decode", Failure::decode},
                    {"alloc", Failure::alloc},
                    {"guard", Failure::guard},
                    {"nan", Failure::nan}};
    if (args == "weights") {
        return test_changed_weight(repl);
    }
    for (const auto& row : failures) {
        if (row.name != args) {
            continue;
        }
        Chat& chat = repl.engine().chat();
        const size_t before = repl.engine().session().length();
        // The turn must live long enough for what is broken in its middle, whatever a person has set.
        const ChatSettings kept = chat.settings;
        chat.settings.max_tokens = 16;
        chat.inject(row.failure);
        repl.say("Once upon a time");
        chat.settings = kept;
        if (!repl.last_trip()) {
            chat.inject(Failure::none);
            return fail(Status::unsupported, "{}: the sentinel did not trip", row.name);
        }
        if (repl.engine().session().length() != before) {
            return fail(Status::unsupported, "{}: the KV cache holds {} positions, {} before", row.name,
                        repl.engine().session().length(), before);
        }
        repl.line("[failsafe] {}: passed, the prompt lives", row.name);
        return success();
    }
    return fail(Status::invalid_argument, "/test_failsafe prefill|decode|alloc|guard|nan|weights");
}

Result<void> reboot(Repl& repl, std::string_view)
{
    repl.line("Rebooting.");
    repl.platform().reset(ResetKind::reboot);
    repl.leave(ReplExit::leave); // where a reset comes back, there is nothing to stay for
    return success();
}

Result<void> shutdown(Repl& repl, std::string_view)
{
    repl.line("Shutting down.");
    repl.platform().reset(ResetKind::shutdown);
    repl.leave(ReplExit::leave);
    return success();
}

Result<void> exit_to_menu(Repl& repl, std::string_view)
{
    repl.leave(ReplExit::menu);
    return success();
}

constexpr Command kCommands[] = {
    {"cpu", "", "the processor and its features", cpu},
    {"kernels", "[NAME|auto]", "kernel sets: which run, what calibration measured; or force one", kernels},
    {"attn", "[NAME|auto]", "the kernel set of attention; or force one", attn},
    {"zones", "", "memory: base, size, used, high-water, flags", zones},
    {"verify", "", "compare the checksums of the weights in memory with those of the load", verify},
    {"budget", "[WHAT VALUE]", "the sentinel's budgets; prefill N, decode N, strict on|off", budget},
    {"log", "[N]", "the newest N records of the log", log},
    {"save_log", "", "the log to llmk-log.txt", save_log_file},
    {"save_dump", "", "everything about the state to llmk-dump.txt", save_dump_file},
    {"test_failsafe", "KIND", "break prefill, decode, alloc, guard, nan or weights on purpose", test_failsafe},
    {"reboot", "", "restart the machine", reboot},
    {"shutdown", "", "power off", shutdown},
    {"exit", "", "back to the menu", exit_to_menu},
};

} // namespace

std::span<const Command> system_commands() { return kCommands; }

} // namespace llmk
