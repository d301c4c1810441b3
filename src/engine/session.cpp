// SPDX-License-Identifier: MIT
#include "engine/session.h"

#include <algorithm>
#include <bit>

namespace llmk {

Session::Session(Platform& platform, Zones& zones, Sentinel& sentinel, const Model& model, const KernelChoice& kernels)
    : m_platform(platform), m_zones(zones), m_sentinel(sentinel), m_model(model), m_ops(platform, kernels)
{
}

Result<void> Session::open(const MemoryPlan& plan)
{
    const ModelDesc& desc = m_model.desc;
    const auto reserve = [&]() -> Result<void> {
        Arena& kv = m_zones[ZoneId::kv];
        m_cache = KvCache::shaped(desc, plan.kv_type, plan.context);
        const uint64_t half = KvCache::bytes(desc, plan.kv_type, plan.context).value() / 2;
        TRY(kv.add_extent(m_platform, Arena::usable_bytes(plan.kv)));
        m_cache.keys = TRY(kv.alloc_array<uint8_t>(half));
        m_cache.values = TRY(kv.alloc_array<uint8_t>(half));
        m_tokens = TRY(kv.alloc_array<Token>(plan.context));
        m_workspace = TRY(make_workspace(m_platform, m_zones[ZoneId::acts], desc, plan));
        return m_zones[ZoneId::scratch].add_extent(m_platform, Arena::usable_bytes(plan.scratch));
    };
    auto result = reserve();
    if (!result.ok()) {
        close();
        return result;
    }
    m_plan = plan;
    m_length = m_guessed = m_row = 0;
    m_lookup.reset();
    return success();
}

void Session::close()
{
    m_zones[ZoneId::kv].release(m_platform);
    m_zones[ZoneId::acts].release(m_platform);
    m_zones[ZoneId::scratch].release(m_platform);
    m_cache = {};
    m_workspace = {};
    m_tokens = nullptr;
    m_length = m_guessed = m_row = 0;
}

Result<void> Session::check_tokens(std::span<const Token> tokens) const
{
    if (tokens.size() > context() - m_length) {
        return fail(Status::invalid_argument, "{} tokens do not fit: {} of the context's {} are in use", tokens.size(),
                    m_length, context());
    }
    for (const Token token : tokens) {
        if (token >= m_model.desc.vocab_size) {
            return fail(Status::invalid_argument, "token id {} is past the vocabulary of {}", token,
                        m_model.desc.vocab_size);
        }
    }
    return success();
}

bool Session::run(std::span<const Token> tokens, LogitsWanted wanted, float* logits, const Interrupt& interrupt)
{
    if (!m_model.architecture->forward(m_model, m_ops, m_cache, m_workspace, tokens, m_length, wanted, logits,
                                       interrupt)) {
        return false;
    }
    std::copy(tokens.begin(), tokens.end(), m_tokens + m_length);
    m_length += tokens.size();
    m_guessed = m_row = 0;
    if (wanted != LogitsWanted::none) {
        spoil(logits);
    }
    return true;
}

void Session::spoil(float* logits)
{
    if (m_poison) {
        m_poison = false;
        logits[0] = std::bit_cast<float>(0x7fc00000u);
    }
}

Result<void> Session::check_trips(Phase phase, uint64_t cycles, uint64_t tokens, std::span<const float> logits)
{
    Trip trip = m_sentinel.check_finite(phase, logits);
    if (!trip.tripped()) {
        const bool batched = phase == Phase::decode && tokens != 1;
        trip = m_sentinel.account(phase, cycles, tokens, m_notice, batched ? Sample::unusual : Sample::usual);
    }
    return trip.tripped() ? Result<void>(fail(Status::tripped, "{}", trip.what)) : success();
}

Result<void> Session::prefill(std::span<const Token> tokens, const Interrupt& interrupt)
{
    TRY(check_tokens(tokens));
    if (tokens.empty()) {
        return success();
    }
    const size_t before = m_length;
    const uint64_t started = m_platform.ticks();
    for (size_t at = 0; at < tokens.size();) {
        const auto part = tokens.subspan(at, std::min(m_workspace.batch, tokens.size() - at));
        at += part.size();
        const LogitsWanted wanted = at == tokens.size() ? LogitsWanted::last : LogitsWanted::none;
        if (!run(part, wanted, m_workspace.logits, interrupt)) {
            rewind(before);
            return fail(Status::cancelled, "stopped while reading the prompt");
        }
    }
    auto checked = check_trips(Phase::prefill, m_platform.ticks() - started, tokens.size(), logits());
    if (!checked.ok()) {
        rewind(before);
    }
    return checked;
}

Result<void> Session::decode(Token token)
{
    const std::span<const Token> one{&token, 1};
    TRY(check_tokens(one));
    const uint64_t started = m_platform.ticks();
    run(one, LogitsWanted::last, m_workspace.logits);
    auto checked = check_trips(Phase::decode, m_platform.ticks() - started, 1, logits());
    if (!checked.ok()) {
        rewind(m_length - 1);
    }
    return checked;
}

Result<void> Session::decode_ahead(Token token, size_t most)
{
    TRY(check_tokens({&token, 1}));
    const bool guessed = m_guessed > 0 && m_tokens[m_length] == token;
    m_tokens[m_length] = token;
    m_lookup.follow({m_tokens, m_length + 1});
    if (!guessed) {
        return run_ahead(token, most);
    }
    --m_guessed;
    ++m_row;
    ++m_length;
    ++m_lookups.accepted;
    spoil(logits_row(m_row));
    auto checked = check_trips(Phase::decode, 0, 0, logits());
    if (!checked.ok()) {
        rewind(m_length - 1);
    }
    return checked;
}

Result<void> Session::run_ahead(Token token, size_t most)
{
    Token tokens[kLogitRows] = {token};
    const size_t room = std::min({context() - m_length, m_workspace.logit_rows, kLogitRows}) - 1;
    const size_t drafted = m_lookup.draft({m_tokens, m_length + 1}, std::span(tokens).subspan(1, std::min(most, room)));
    const uint64_t started = m_platform.ticks();
    m_workspace.order = drafted == 0 ? SumOrder::fastest : SumOrder::as_single;
    run({tokens, drafted + 1}, LogitsWanted::all, m_workspace.logits);
    m_workspace.order = SumOrder::fastest;
    m_length -= drafted;
    m_guessed = drafted;
    const uint64_t cycles = m_platform.ticks() - started;
    m_lookup.took(drafted, cycles);
    m_lookups.drafted += drafted;
    auto checked = check_trips(Phase::decode, cycles, drafted + 1, logits());
    if (!checked.ok()) {
        rewind(m_length - 1);
    }
    return checked;
}

Result<void> Session::run_all_logits(std::span<const Token> tokens, float* rows)
{
    TRY(check_tokens(tokens));
    LLMK_ASSERT(tokens.size() <= batch_limit());
    run(tokens, LogitsWanted::all, rows);
    return success();
}

uint64_t Session::cache_bytes(size_t positions) const
{
    return KvCache::bytes(m_model.desc, m_cache.type, positions).value(); // fewer than were planned
}

Result<void> Session::pretend(size_t length, Token token)
{
    rewind(0);
    if (length > context()) {
        return fail(Status::invalid_argument, "{} positions do not fit the context of {}", length, context());
    }
    const size_t real = std::min(m_workspace.batch, length);
    std::fill(m_tokens, m_tokens + length, token);
    TRY(prefill({m_tokens, real}, {}));
    for (size_t at = real; at < length; at += real) {
        m_cache.copy(0, at, std::min(real, length - at));
    }
    m_length = length;
    return success();
}

uint64_t Session::time_pass(size_t tokens, uint64_t layers, uint64_t first_layer)
{
    constexpr size_t kMost = 32;
    static constexpr Token kTokens[kMost] = {};
    LLMK_ASSERT(tokens <= std::min({kMost, m_workspace.batch, context() - m_length}));
    m_guessed = 0;
    m_workspace.first_layer = first_layer;
    m_workspace.layers = layers;
    const uint64_t started = m_platform.ticks();
    m_model.architecture->forward(m_model, m_ops, m_cache, m_workspace, {kTokens, tokens}, m_length, LogitsWanted::none,
                                  nullptr, {});
    m_workspace.first_layer = 0;
    m_workspace.layers = UINT64_MAX;
    return m_platform.ticks() - started;
}

void Session::rewind(size_t length)
{
    m_guessed = 0;
    if (length < m_length) {
        m_length = length;
    }
}

void Session::drop(size_t from, size_t count)
{
    LLMK_ASSERT(from + count <= m_length);
    m_guessed = 0;
    const size_t rest = m_length - from - count;
    std::copy(m_tokens + from + count, m_tokens + m_length, m_tokens + from);
    if (m_model.architecture->shift_keys != nullptr) {
        m_model.architecture->shift_keys(m_model, m_ops, m_cache, m_workspace, from + count, rest, count);
        m_length -= count;
        return;
    }
    m_length = from;
    for (size_t at = 0; at < rest;) {
        const size_t part = std::min(m_workspace.batch, rest - at);
        run({m_tokens + from + at, part}, at + part == rest ? LogitsWanted::last : LogitsWanted::none,
            m_workspace.logits);
        at += part;
    }
}

Text<320> Session::take_notice()
{
    Text<320> notice = m_notice;
    m_notice.clear();
    return notice;
}

} // namespace llmk
