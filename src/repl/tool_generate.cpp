// SPDX-License-Identifier: MIT
#include "repl/empty_context.h"
#include "repl/report.h"
#include "repl/tools.h"

#include <algorithm>

namespace llmk {

namespace {

/// Output goes out in pieces of this size with --ids; text goes out token by token.
constexpr size_t kLineBytes = 1024;

/// Prints pieces or ids as run.c does.
class Printer {
public:
    Printer(Platform& platform, const Tokenizer& tokenizer, bool ids)
        : m_platform(platform), m_tokenizer(tokenizer), m_ids(ids)
    {
    }
    void first(Token token)
    {
        // As text, BOS is nothing; what stands in its place where there is none is part of the text.
        if (m_ids || token != m_tokenizer.bos()) {
            next(kNoToken, token);
        }
    }
    void next(Token previous, Token token)
    {
        if (m_ids) {
            put_id(token);
            return;
        }
        const auto piece = m_tokenizer.piece(previous, token);
        // run.c's safe_printf drops a piece of one byte that is neither printable nor a blank.
        if (piece.size() == 1) {
            const auto byte = static_cast<uint8_t>(piece[0]);
            if (!((byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13))) {
                return;
            }
        }
        m_platform.console_write(piece);
    }
    void finish()
    {
        m_line.put('\n');
        flush();
    }

private:
    void put_id(Token token)
    {
        if (m_line.size() + 16 > m_line.capacity()) {
            flush();
        }
        format(m_line, "{}{}", m_some ? " " : "", token);
        m_some = true;
    }
    void flush()
    {
        m_platform.console_write(m_line);
        m_line.clear();
    }

    Platform& m_platform;
    const Tokenizer& m_tokenizer;
    bool m_ids;
    bool m_some = false;
    Text<kLineBytes> m_line;
};

/// For one command.
class GuessAlways {
public:
    GuessAlways(Session& session, bool always) : m_session(session) { session.guess_always(always); }
    ~GuessAlways() { m_session.guess_always(false); }
    GuessAlways(const GuessAlways&) = delete;
    GuessAlways& operator=(const GuessAlways&) = delete;

private:
    Session& m_session;
};

uint64_t clock_seed(Platform& platform)
{
    auto clock = platform.wall_clock();
    uint64_t seed = platform.ticks();
    if (clock.ok()) {
        const WallClock& now = clock.value();
        seed ^= static_cast<uint64_t>(((now.day * 24u + now.hour) * 60u + now.minute) * 60u + now.second) << 32;
    }
    return seed;
}

void remark(const ToolContext& tool, std::string_view line)
{
    if (tool.remark != nullptr) {
        tool.remark(tool.context, line);
    }
}

} // namespace

Result<void> tool_generate(ToolContext& tool, const ToolArgs& args)
{
    Engine& engine = tool.engine;
    Platform& platform = engine.platform();
    Session& session = engine.session();
    const Tokenizer& tokenizer = *engine.model().tokenizer;
    const EmptyContext empty(engine);

    const std::string_view text = args.prompt.value_or(std::string_view());
    if (text.size() > kMaxPromptBytes) {
        return fail(Status::invalid_argument, "-p: the prompt is {} bytes long, at most {} are read", text.size(),
                    kMaxPromptBytes);
    }
    const size_t room = tokenizer.max_tokens(text.size());
    const std::span<Token> buffer{TRY(session.scratch().alloc_array<Token>(room)), room};
    size_t length = TRY(tokenizer.encode(text, BosRule::add, buffer, session.scratch()));
    if (length == 0) { // something must stand in front of the first token
        if (tokenizer.bos() == kNoToken) {
            return fail(Status::invalid_argument,
                        "-p: the prompt is empty, and this vocabulary has no BOS to begin with");
        }
        buffer[length++] = tokenizer.bos();
    }
    const auto prompt = buffer.first(length);
    // run.c stops at BOS only, and so do texts with its vocabularies.
    const bool stops_at_ends = engine.model().desc.vocabulary.kind != VocabularyKind::llama2c;

    size_t steps = static_cast<size_t>(args.count.value_or(256));
    if (steps == 0 || steps > session.context()) {
        steps = session.context();
    }
    RandomStream random(args.seed.value_or(clock_seed(platform)));
    Printer printer(platform, tokenizer, args.ids);

    // A step feeds one token. Those of the prompt go as one batch; only the last one's logits are looked at.
    const size_t fed = std::min(prompt.size(), steps);
    const GuessAlways always(session, args.lookup_always);
    const Session::LookupCount before = session.lookups();
    const uint64_t started = platform.ticks();
    TRY(session.prefill(prompt.first(fed), tool.interrupt()));
    const uint64_t prefilled = platform.ticks();
    printer.first(prompt[0]);
    const size_t shown = std::min(prompt.size(), fed + 1);
    for (size_t i = 1; i < shown; ++i) {
        printer.next(prompt[i - 1], prompt[i]);
    }
    Token token = prompt[fed - 1];
    uint64_t made = 0;
    for (size_t position = fed; position <= steps && fed == prompt.size() && !tool.interrupt().pending(); ++position) {
        const SampleInput input = {session.drawable_logits(), session.tokens(), session.tokens().subspan(fed)};
        const Token next = TRY(sample(args.sampler, input, session.kernels(), random, session.scratch()));
        if (next == tokenizer.bos() || (stops_at_ends && tokenizer.is_end(next))) {
            break;
        }
        printer.next(token, next);
        ++made;
        token = next;
        if (position < steps) {
            TRY(session.decode_ahead(token, std::min<size_t>(args.lookup, steps - position)));
        }
    }
    printer.finish();
    const uint64_t ended = platform.ticks();
    const double seconds = static_cast<double>(ended - prefilled) / static_cast<double>(platform.ticks_per_second());
    const double prefill_seconds =
        static_cast<double>(prefilled - started) / static_cast<double>(platform.ticks_per_second());
    Text<240> figures("[stats] tokens={} time_ms={} tok_s={:.3} prefill_tokens={} prefill_ms={}", made,
                      static_cast<uint64_t>(seconds * 1000.0 + 0.5),
                      seconds > 0.0 ? static_cast<double>(made) / seconds : 0.0, fed,
                      static_cast<uint64_t>(prefill_seconds * 1000.0 + 0.5));
    put_lookups(figures, session.lookups().since(before));
    remark(tool, figures);
    return success();
}

namespace {

Result<std::span<Token>> parse_ids(std::string_view list, Session& session)
{
    const size_t most = session.context();
    auto* ids = TRY(session.scratch().alloc_array<Token>(most));
    size_t count = 0;
    while (!list.empty()) {
        const size_t comma = std::min(list.find(','), list.size());
        const auto word = trim(head(list, comma));
        const auto id = parse_u64(word);
        if (!id || *id >= session.logits().size()) {
            return fail(Status::invalid_argument, "--ids: '{}' is not a token id from 0 to {}", word,
                        session.logits().size() - 1);
        }
        if (count == most) {
            return fail(Status::invalid_argument, "--ids: more than the context's {} positions", most);
        }
        ids[count++] = static_cast<Token>(*id);
        list = tail(list, comma + 1);
    }
    if (count == 0) {
        return fail(Status::invalid_argument, "--ids: expected token ids parted by commas, such as 1,2,3");
    }
    return std::span<Token>{ids, count};
}

/// Rows of logits that are computed before they are written.
constexpr size_t kRowsAtOnce = 8;

Result<void> write_logits(Session& session, Platform& platform, PlatformFile* file, std::span<const Token> ids,
                          bool decode)
{
    const size_t vocab = session.logits().size();
    if (decode) {
        for (const Token id : ids) {
            TRY(session.decode(id));
            TRY(platform.file_write(file, session.logits().data(), vocab * sizeof(float)));
        }
        return success();
    }
    const size_t step = std::min(kRowsAtOnce, session.batch_limit());
    void* const pages = TRY(platform.pages_alloc(align_up(step * vocab * sizeof(float), 4096)));
    Result<void> result = success();
    for (size_t at = 0; at < ids.size() && result.ok(); at += step) {
        const auto part = ids.subspan(at, std::min(step, ids.size() - at));
        result = session.run_all_logits(part, static_cast<float*>(pages));
        if (result.ok()) {
            result = platform.file_write(file, pages, part.size() * vocab * sizeof(float));
        }
    }
    platform.pages_free(pages, align_up(step * vocab * sizeof(float), 4096));
    return result;
}

} // namespace

Result<void> tool_logits(ToolContext& tool, const ToolArgs& args)
{
    if (args.output.empty()) {
        return fail(Status::invalid_argument, "-o FILE is needed: the logits go there");
    }
    Engine& engine = tool.engine;
    Platform& platform = engine.platform();
    const EmptyContext empty(engine);
    const auto ids = TRY(parse_ids(args.id_list, engine.session()));
    PlatformFile* file = TRY(platform.file_open(args.output, OpenMode::replace));
    auto result = write_logits(engine.session(), platform, file, ids, args.decode);
    if (result.ok()) {
        result = platform.file_flush(file);
    }
    platform.file_close(file);
    if (result.ok()) {
        remark(tool, Text<400>("{}: {} rows of {} float32", args.output, ids.size(), engine.session().logits().size()));
    }
    return result;
}

} // namespace llmk
