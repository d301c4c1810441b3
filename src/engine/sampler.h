// SPDX-License-Identifier: MIT
//
// From logits to the next token: one chain, in this order: repetition penalty, no-repeat n-gram ban, top-k, temperature
// (which changes no order, so that what top-k leaves out needs none), top-p, min-p, draw; then loop escape, once. What
// is off is skipped. With the extras off, the order of operations and the random stream are llama2.c's (run.c:
// xorshift64*, argmax, multinomial, top-p), so that its published seeded texts come out.
#pragma once

#include "cpu/kernels.h"
#include "mem/zones.h"
#include "tokenizer/tokenizer.h"

namespace llmk {

struct SamplerSettings {
    float temperature = 1.0f;     ///< 0 is greedy
    uint32_t top_k = 0;           ///< 0 is off
    float top_p = 0.9f;           ///< 0 or 1 is off (Holtzman et al. 2020, arXiv:1904.09751)
    float min_p = 0.0f;           ///< 0 is off (Nguyen et al. 2024, arXiv:2407.01082)
    float repeat_penalty = 1.0f;  ///< 1 is off (Keskar et al. 2019, arXiv:1909.05858)
    uint32_t repeat_window = 64;  ///< tokens that the penalty looks back
    uint32_t no_repeat_ngram = 0; ///< 0 is off: no n tokens in a row may occur twice
    bool loop_escape = false;     ///< a token that closes a repeating suffix is banned and the draw repeated, once
};

/// What each kind of model starts with; docs/REPL.md says why.
SamplerSettings story_sampler();
SamplerSettings chat_sampler();

/// xorshift64* (Vigna 2016, arXiv:1402.6246), as run.c uses it.
class RandomStream {
public:
    explicit RandomStream(uint64_t seed) { reseed(seed); }
    /// 0 would be a fixed point of the generator: it becomes 1.
    void reseed(uint64_t seed) { m_state = seed == 0 ? 1 : seed; }
    uint32_t next_u32();
    float next_f32() { return static_cast<float>(next_u32() >> 8) / 16777216.0f; }

private:
    uint64_t m_state;
};

/// True when `history` followed by `next` ends in a block of 1..64 tokens said at least three times in a row, and at
/// least 12 tokens long in all.
bool closes_a_loop(std::span<const Token> history, Token next);

struct SampleInput {
    std::span<float> logits;        ///< (vocab_size), used up
    std::span<const Token> history; ///< everything so far, for penalties and bans
    std::span<const Token> answer;  ///< the part of it that this answer made, for loop escape
};

/// Working memory comes from `scratch` and goes back; fails only when that is full.
Result<Token> sample(const SamplerSettings& settings, const SampleInput& input, const KernelSet& kernels,
                     RandomStream& random, Arena& scratch);

} // namespace llmk
