// SPDX-License-Identifier: MIT
#include "repl/empty_context.h"
#include "repl/tools.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr size_t kMostRuns = 101;
/// Larger than any last-level cache in use; less where memory is short.
constexpr uint64_t kReadBytes = 256u << 20;
constexpr uint64_t kReadPart = 1u << 20;

/// 16 bytes a load is enough to be bound by memory, and every x86-64 has it.
using Vector = uint64_t __attribute__((vector_size(16)));

struct ReadJob {
    const uint8_t* data;
    uint64_t* sums;
};

void read_part(void* context, size_t part)
{
    const auto& job = *static_cast<const ReadJob*>(context);
    const auto* from = reinterpret_cast<const Vector*>(job.data + part * kReadPart);
    Vector sums[8] = {};
    for (size_t i = 0; i < kReadPart / sizeof(Vector); i += 8) {
        for (size_t j = 0; j < 8; ++j) {
            sums[j] ^= from[i + j];
        }
    }
    for (size_t j = 1; j < 8; ++j) {
        sums[0] ^= sums[j];
    }
    job.sums[part] = sums[0][0] ^ sums[0][1];
}

double seconds_between(Platform& platform, uint64_t from, uint64_t to)
{
    return static_cast<double>(to - from) / static_cast<double>(platform.ticks_per_second());
}

/// Bytes a second that the processors read together from memory: the best of `runs`.
Result<double> read_bandwidth(Platform& platform, uint64_t runs)
{
    uint64_t bytes = kReadBytes;
    uint64_t extents[4];
    if (platform.memory_extents(extents) > 0) {
        bytes = std::clamp<uint64_t>(extents[0] / 4, 4 * kReadPart, kReadBytes) / kReadPart * kReadPart;
    }
    auto* data = static_cast<uint8_t*>(TRY(platform.pages_alloc(bytes)));
    uint64_t sums[kReadBytes / kReadPart];
    __builtin_memset(data, 1, bytes);
    ReadJob job{data, sums};
    double best = 0.0;
    for (uint64_t run = 0; run < runs + 1; ++run) {
        const uint64_t started = platform.ticks();
        platform.parallel(read_part, &job, bytes / kReadPart);
        const double seconds = seconds_between(platform, started, platform.ticks());
        best = seconds > 0.0 ? std::max(best, static_cast<double>(bytes) / seconds) : best;
    }
    platform.pages_free(data, bytes);
    return best;
}

double median(std::span<double> values)
{
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[values.size() / 2];
}

uint64_t embedding_bytes(const ModelDesc& desc)
{
    for (const TensorDesc& tensor : desc.tensors) {
        if (tensor.role == TensorRole::token_embd) {
            return tensor.size_bytes;
        }
    }
    return 0;
}

/// A prompt that visits the vocabulary: the same for every run.
Token bench_token(size_t i, uint64_t vocab) { return static_cast<Token>(3 + (i * 7919) % (vocab - 3)); }

} // namespace

Result<void> tool_bench(ToolContext& tool, const ToolArgs& args)
{
    Engine& engine = tool.engine;
    Platform& platform = engine.platform();
    Session& session = engine.session();
    const ModelDesc& desc = engine.model().desc;
    const auto prompt = args.prompt ? parse_u64(*args.prompt) : std::optional<uint64_t>(128);
    const uint64_t decode = args.count.value_or(64);
    if (!prompt || *prompt + decode == 0 || desc.vocab_size < 4) {
        return fail(Status::invalid_argument, "-p N and -n N: numbers of tokens are expected");
    }
    if (args.runs == 0 || args.runs > kMostRuns) {
        return fail(Status::invalid_argument, "-r: {} runs, expected 1 to {}", args.runs, kMostRuns);
    }
    const uint64_t most = session.context();
    if (args.depth > most || *prompt > most || decode > most || args.depth + *prompt + decode > most) {
        return fail(Status::invalid_argument,
                    "--context, -p and -n: {}, {} and {} tokens together do not fit the context of {}", args.depth,
                    *prompt, decode, most);
    }
    const EmptyContext empty(engine);
    auto* tokens = TRY(session.scratch().alloc_array<Token>(*prompt));
    for (size_t i = 0; i < *prompt; ++i) {
        tokens[i] = bench_token(i, desc.vocab_size);
    }
    TRY(session.pretend(args.depth, bench_token(0, desc.vocab_size)));
    double prefill_speeds[kMostRuns];
    double decode_speeds[kMostRuns];
    // One run more than counted: the first warms caches and translates under an emulator.
    for (uint64_t run = 0; run <= args.runs; ++run) {
        session.rewind(args.depth);
        const uint64_t started = platform.ticks();
        TRY(session.prefill({tokens, static_cast<size_t>(*prompt)}, {tool.context, tool.interrupted}));
        const uint64_t prefilled = platform.ticks();
        for (size_t i = 0; i < decode; ++i) {
            if (tool.interrupted != nullptr && tool.interrupted(tool.context)) {
                return fail(Status::cancelled, "the benchmark was stopped");
            }
            TRY(session.decode(bench_token(*prompt + i, desc.vocab_size)));
        }
        const uint64_t ended = platform.ticks();
        if (run > 0) {
            const double prefill_seconds = seconds_between(platform, started, prefilled);
            const double decode_seconds = seconds_between(platform, prefilled, ended);
            prefill_speeds[run - 1] = *prompt == 0 ? 0.0 : static_cast<double>(*prompt) / prefill_seconds;
            decode_speeds[run - 1] = decode == 0 ? 0.0 : static_cast<double>(decode) / decode_seconds;
        }
    }
    const double bandwidth = TRY(read_bandwidth(platform, std::min<uint64_t>(args.runs, 5)));
    const double prefill_speed = median({prefill_speeds, static_cast<size_t>(args.runs)});
    const double decode_speed = median({decode_speeds, static_cast<size_t>(args.runs)});
    // A tied table is read as the head; an untied embedding table is read a row at a time only.
    const uint64_t read_bytes = desc.weight_bytes - (desc.tied_head ? 0 : embedding_bytes(desc));
    // Prefill runs the head for the last token only: what counts are the blocks.
    const uint64_t table = desc.vocab_size * desc.embedding_length;
    const uint64_t block_parameters = desc.parameters - table * (desc.tied_head ? 1 : 2);
    // Half of the tokens of decode see less of the context than this, half see more. A window is not looked at.
    const uint64_t cache_bytes = session.cache_bytes(args.depth + *prompt + decode / 2);
    const double share =
        bandwidth > 0.0 ? static_cast<double>(read_bytes + cache_bytes) * decode_speed / bandwidth : 0.0;
    Text<640> out;
    if (args.json) {
        format(out,
               "{{\"model\": \"{}\", \"type\": \"{}\", \"kernels\": \"{}\", \"threads\": {}, \"prefill_tok_s\": {:.3}, "
               "\"decode_tok_s\": {:.3}, \"model_bytes\": {}, \"context\": {}, \"cache_bytes\": {}, \"read_gb_s\": "
               "{:.3}}}\n",
               file_name(desc.path), desc.type, engine.kernels().gemm.name, platform.processor_count(), prefill_speed,
               decode_speed, read_bytes, args.depth, cache_bytes, bandwidth / 1e9);
    } else {
        format(out,
               "{} {} kernels={} threads={}{}: prefill {} {:.1} tok/s ({:.1} GFLOP/s), decode {} {:.2} tok/s, {} x "
               "tok/s is {:.0} % of {:.1} GB/s read\n",
               file_name(desc.path), desc.type, engine.kernels().gemm.name, platform.processor_count(),
               args.depth == 0 ? Text<40>() : Text<40>(" context={}", args.depth), *prompt, prefill_speed,
               prefill_speed * 2.0 * static_cast<double>(block_parameters) / 1e9, decode, decode_speed,
               human_bytes(read_bytes + cache_bytes), share * 100.0, bandwidth / 1e9);
    }
    platform.console_write(out);
    return success();
}

} // namespace llmk
