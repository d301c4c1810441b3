// SPDX-License-Identifier: MIT
//
// A running model: KV cache, the tokens in it, prefill in batches and decode one by one, under the sentinel's eyes.
// Owns KV, ACTS and SCRATCH. Knows tokens only: turns, templates and text are src/engine/chat.h.
#pragma once

#include "engine/lookup.h"
#include "model/loader.h"
#include "model/ops.h"
#include "sentinel/sentinel.h"

#include <algorithm>

namespace llmk {

class Session {
public:
    /// All must outlive the session.
    Session(Platform& platform, Zones& zones, Sentinel& sentinel, const Model& model, const KernelChoice& kernels);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Reserves the arenas of the plan. On failure they are given back.
    Result<void> open(const MemoryPlan& plan);
    /// Gives KV, ACTS and SCRATCH back; open() may follow with another plan.
    void close();

    /// Runs `tokens` in batches behind what is there; afterwards logits() are those after the last. Status::tripped
    /// when the sentinel trips, Status::cancelled when `interrupt` said so between layers: either way the length is
    /// what it was before. Status::invalid_argument when they do not fit.
    Result<void> prefill(std::span<const Token> tokens, const Interrupt& interrupt);
    /// Runs one token. Same errors, same state after one.
    Result<void> decode(Token token);
    /// The same, but may run up to `most` tokens that are guessed to follow in the same pass (engine/lookup.h). Of
    /// those nothing is seen: a call with the token that was guessed finds its logits there, any other call forgets
    /// them. Cache and logits are bit by bit those of decode().
    Result<void> decode_ahead(Token token, size_t most);
    /// Tokens that were guessed and run, and how many of them came true.
    struct LookupCount {
        uint64_t drafted = 0;
        uint64_t accepted = 0;
        LookupCount since(const LookupCount& before) const
        {
            return {drafted - before.drafted, accepted - before.accepted};
        }
    };
    const LookupCount& lookups() const { return m_lookups; }
    /// Odds and times are learned anew. When kernels change.
    void reset_lookup() { m_lookup.reset(); }
    /// As Lookup's.
    void guess_always(bool always) { m_lookup.guess_always(always); }
    /// Runs `tokens`, at most batch_limit() of them, and writes vocab_size logits a token to `rows`. For /logits.
    Result<void> run_all_logits(std::span<const Token> tokens, float* rows);

    /// vocab_size values after the last token.
    std::span<float> logits() { return {logits_row(m_row), static_cast<size_t>(m_model.desc.vocab_size)}; }
    /// Those of them that have a token, for the sampler, which uses them up: a model's table may be padded beyond its
    /// vocabulary, and such an id must not be drawn.
    std::span<float> drawable_logits()
    {
        return logits().first(std::min<uint64_t>(m_model.desc.vocabulary.entries, m_model.desc.vocab_size));
    }

    size_t length() const { return m_length; }
    size_t context() const { return m_cache.context; }
    size_t batch_limit() const { return m_workspace.batch; }
    /// What a token reads of the cache behind so many positions, where no layer has a window.
    uint64_t cache_bytes(size_t positions) const;
    std::span<const Token> tokens() const { return {m_tokens, m_length}; }
    const MemoryPlan& plan() const { return m_plan; }

    /// For benchmarks: an empty context becomes one of `length` positions, at the price of one batch: a first batch of
    /// `token` is run, and the cache of the others is copies of it. Status::invalid_argument when they do not fit.
    Result<void> pretend(size_t length, Token token);
    /// Ticks that a pass of so many tokens takes, behind what is there, through `layers` layers from `first_layer` on.
    /// They must fit, and nothing of them stays but what was guessed is forgotten. For calibration.
    uint64_t time_pass(size_t tokens, uint64_t layers, uint64_t first_layer = 0);
    /// Forgets everything from `length` on.
    void rewind(size_t length);
    /// Takes positions [from, from + count) out and moves the rest up: keys are turned back where positions are
    /// relative (RoPE), else the rest is run again.
    void drop(size_t from, size_t count);

    /// The next logits hold a NaN. For /test_failsafe.
    void poison_next_logits() { m_poison = true; }
    /// Takes that back, where no logits were computed since.
    void unpoison_logits() { m_poison = false; }
    Arena& scratch() { return m_zones[ZoneId::scratch]; }
    const KernelSet& kernels() const { return m_ops.kernels(); }
    /// Lines the sentinel has for a person since the last take.
    Text<320> take_notice();

private:
    Result<void> check_tokens(std::span<const Token> tokens) const;
    Result<void> check_trips(Phase phase, uint64_t cycles, uint64_t tokens, std::span<const float> logits);
    /// False when it was interrupted: the length is as it was.
    bool run(std::span<const Token> tokens, LogitsWanted wanted, float* logits, const Interrupt& interrupt = {});
    /// Runs `token` and what is guessed to follow it, and looks at the former's logits. Leaves the length behind it.
    Result<void> run_ahead(Token token, size_t most);
    float* logits_row(size_t row) { return m_workspace.logits + row * m_model.desc.vocab_size; }
    void spoil(float* logits);

    Platform& m_platform;
    Zones& m_zones;
    Sentinel& m_sentinel;
    const Model& m_model;
    Ops m_ops;
    MemoryPlan m_plan;
    KvCache m_cache;
    Workspace m_workspace;
    Token* m_tokens = nullptr; ///< (context)
    size_t m_length = 0;
    size_t m_guessed = 0; ///< tokens behind them that were run, but not said yet
    size_t m_row = 0;     ///< of the workspace's logits: that of the last token
    Lookup m_lookup;
    LookupCount m_lookups;
    bool m_poison = false;
    Text<320> m_notice;
};

} // namespace llmk
