// SPDX-License-Identifier: MIT
#include "repl/empty_context.h"
#include "repl/tools.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr size_t kMostRuns = 101;
/// Pieces of a bare read: small ones, so that no processor waits for the last, but only so many.
constexpr uint64_t kSmallestPiece = 1u << 20;
constexpr uint64_t kMostPieces = 4096;
constexpr size_t kLine = 64;
/// How far ahead lines are asked for: as far as gives the most of one stream. Several do as well without.
constexpr size_t kAhead = 8192;

/// Some bytes of the weights, one part of a job.
struct Piece {
    const uint8_t* data;
    size_t bytes;
};

double seconds_between(Platform& platform, uint64_t from, uint64_t to)
{
    return static_cast<double>(to - from) / static_cast<double>(platform.ticks_per_second());
}

/// An untied embedding table: of this a token reads one row.
bool is_looked_up(const ModelDesc& desc, const TensorDesc& tensor)
{
    return tensor.role == TensorRole::token_embd && !desc.tied_head;
}

/// The bare loop that decode is held against: reads what a token reads of the weights, where it lies, on the processors
/// that decode, and does nothing with it; from one place or from several at a time, whichever memory likes better.
class BareRead {
public:
    static Result<BareRead> create(Platform& platform, Arena& scratch, const ModelDesc& desc)
    {
        const uint64_t most = std::max(kSmallestPiece, align_up(desc.weight_bytes / kMostPieces, kLine));
        size_t count = 0;
        BareRead read(platform);
        for (const TensorDesc& tensor : desc.tensors) {
            if (!is_looked_up(desc, tensor)) {
                count += (tensor.size_bytes + most - 1) / most;
                read.m_bytes += tensor.size_bytes;
            }
        }
        auto* pieces = TRY(scratch.alloc_array<Piece>(count));
        read.m_pieces = {pieces, count};
        for (const TensorDesc& tensor : desc.tensors) {
            for (uint64_t at = 0; !is_looked_up(desc, tensor) && at < tensor.size_bytes; at += most) {
                *pieces++ = {tensor.data + at, std::min(most, tensor.size_bytes - at)};
            }
        }
        read.choose_streams();
        return read;
    }

    uint64_t bytes() const { return m_bytes; }

    /// Ticks that it took.
    uint64_t run()
    {
        const uint64_t started = m_platform.ticks();
        m_platform.parallel(m_read_piece, m_pieces.data(), m_pieces.size());
        return m_platform.ticks() - started;
    }

private:
    explicit BareRead(Platform& platform) : m_platform(platform) {}

    void choose_streams()
    {
        constexpr size_t kRounds = 3;
        uint64_t one = UINT64_MAX;
        uint64_t several = UINT64_MAX;
        for (size_t round = 0; round < kRounds; ++round) {
            m_read_piece = read_piece<1>;
            one = std::min(one, run());
            m_read_piece = read_piece<8>;
            several = std::min(several, run());
        }
        m_read_piece = one < several ? read_piece<1> : read_piece<8>;
    }

    /// One load of a line brings all of it into the cache; more would only be work.
    template <size_t kStreams> static void read_piece(void* pieces, size_t part)
    {
        using Vector [[gnu::vector_size(16), gnu::aligned(1)]] = uint64_t;
        constexpr size_t kSums = 8;
        constexpr size_t kLines = kSums / kStreams; // of a stream at a time
        const Piece& piece = static_cast<const Piece*>(pieces)[part];
        const size_t stride = piece.bytes / kStreams / kLine * kLine;
        Vector sums[kSums] = {};
        const uint8_t* at = piece.data;
        for (size_t left = stride; left >= kLines * kLine; left -= kLines * kLine, at += kLines * kLine) {
            for (size_t j = 0; j < kSums; ++j) {
                const uint8_t* const line = at + j / kLines * stride + j % kLines * kLine;
                if constexpr (kStreams == 1) {
                    __builtin_prefetch(line + kAhead);
                }
                sums[j] ^= *reinterpret_cast<const Vector*>(line);
            }
        }
        for (size_t j = 1; j < kSums; ++j) {
            sums[0] ^= sums[j];
        }
        asm volatile("" : : "x"(sums[0]));
    }

    Platform& m_platform;
    void (*m_read_piece)(void* pieces, size_t part) = read_piece<1>;
    std::span<Piece> m_pieces;
    uint64_t m_bytes = 0;
};

double median(std::span<double> values)
{
    std::sort(values.begin(), values.end());
    return values.empty() ? 0.0 : values[values.size() / 2];
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
    BareRead read = TRY(BareRead::create(platform, session.scratch(), desc));
    // Half of the tokens of decode see less of the context than this, half see more. A window is not looked at.
    const uint64_t cache_bytes = session.cache_bytes(args.depth + *prompt + decode / 2);
    const auto token_bytes = static_cast<double>(read.bytes() + cache_bytes);
    double prefill_speeds[kMostRuns];
    double decode_speeds[kMostRuns];
    double read_speeds[kMostRuns];
    double shares[kMostRuns];
    // One run more than counted: the first warms caches and translates under an emulator.
    for (uint64_t run = 0; run <= args.runs; ++run) {
        session.rewind(args.depth);
        const uint64_t started = platform.ticks();
        TRY(session.prefill({tokens, static_cast<size_t>(*prompt)}, tool.interrupt()));
        const double prefill_seconds = seconds_between(platform, started, platform.ticks());
        // A token, a bare read, a token, ...: whoever shares the machine's memory shares it with both.
        uint64_t decode_ticks = 0;
        uint64_t read_ticks = 0;
        for (size_t i = 0; i < decode; ++i) {
            if (tool.interrupt().pending()) {
                return fail(Status::cancelled, "the benchmark was stopped");
            }
            const uint64_t before = platform.ticks();
            TRY(session.decode(bench_token(*prompt + i, desc.vocab_size)));
            decode_ticks += platform.ticks() - before;
            read_ticks += read.run();
        }
        if (run == 0) {
            continue;
        }
        prefill_speeds[run - 1] = *prompt == 0 ? 0.0 : static_cast<double>(*prompt) / prefill_seconds;
        decode_speeds[run - 1] = read_speeds[run - 1] = shares[run - 1] = 0.0;
        if (decode != 0) {
            const auto count = static_cast<double>(decode);
            decode_speeds[run - 1] = count / seconds_between(platform, 0, decode_ticks);
            read_speeds[run - 1] = count * static_cast<double>(read.bytes()) / seconds_between(platform, 0, read_ticks);
            shares[run - 1] = decode_speeds[run - 1] * token_bytes / read_speeds[run - 1];
        }
    }
    const auto runs = static_cast<size_t>(args.runs);
    const double prefill_speed = median({prefill_speeds, runs});
    const double decode_speed = median({decode_speeds, runs});
    const double bandwidth = median({read_speeds, runs});
    const double share = median({shares, runs});
    // Prefill runs the head for the last token only: what counts are the blocks.
    const uint64_t table = desc.vocab_size * desc.embedding_length;
    const uint64_t block_parameters = desc.parameters - table * (desc.tied_head ? 1 : 2);
    Text<640> out;
    if (args.json) {
        format(out,
               "{{\"model\": \"{}\", \"type\": \"{}\", \"kernels\": \"{}\", \"threads\": {}, \"prefill_tok_s\": {:.3}, "
               "\"decode_tok_s\": {:.3}, \"model_bytes\": {}, \"context\": {}, \"cache_bytes\": {}, \"read_gb_s\": "
               "{:.3}, \"read_share\": {:.4}}}\n",
               file_name(desc.path), desc.type, engine.kernels().gemm.name, platform.processor_count(), prefill_speed,
               decode_speed, read.bytes(), args.depth, cache_bytes, bandwidth / 1e9, share);
    } else {
        format(out,
               "{} {} kernels={} threads={}{}: prefill {} {:.1} tok/s ({:.1} GFLOP/s), decode {} {:.2} tok/s, {} x "
               "tok/s is {:.0} % of {:.1} GB/s that a bare loop reads\n",
               file_name(desc.path), desc.type, engine.kernels().gemm.name, platform.processor_count(),
               args.depth == 0 ? Text<40>() : Text<40>(" context={}", args.depth), *prompt, prefill_speed,
               prefill_speed * 2.0 * static_cast<double>(block_parameters) / 1e9, decode, decode_speed,
               human_bytes(read.bytes() + cache_bytes), share * 100.0, bandwidth / 1e9);
    }
    platform.console_write(out);
    return success();
}

} // namespace llmk
