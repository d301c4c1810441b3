// SPDX-License-Identifier: MIT
//
// Lookup decoding: guesses the tokens that come next from what followed the last ones when they stood in the
// conversation before (prompt lookup decoding, Saxena 2023; the idea of checking guesses in one pass is speculative
// decoding, Leviathan et al. 2023, arXiv:2211.17192). Owns the search, the odds and the price; running a guess and
// keeping only what the sampler draws are the session's and the chat's.
//
// A guess is made behind every token, but run only when it pays: how often guesses come true is counted whether they
// are run or not, by the length of the match they come from, and a pass is timed by its tokens. So text without
// repetitions costs the search alone.
#pragma once

#include "model/model.h"

namespace llmk {

class Lookup {
public:
    /// Matches are told apart up to this length: a longer one counts as this.
    static constexpr size_t kLongestMatch = 8;
    /// Tokens that a pass may guess.
    static constexpr size_t kMostDrafted = kLogitRows - 1;
    /// Passes of one token that are timed before any guess is run.
    static constexpr uint32_t kFirstPasses = 8;

    /// Takes note of the last token of `history`, which holds everything so far: whether it is the one guessed, and
    /// what may follow it.
    void follow(std::span<const Token> history);
    /// The tokens that are likely to follow `history` (as given to follow()), as many of `out` as pay. Returns how
    /// many.
    size_t draft(std::span<const Token> history, std::span<Token> out) const;
    /// A pass of one token and `drafted` more took `ticks`.
    void took(size_t drafted, uint64_t ticks);
    /// Forgets odds and times: another model, other kernels.
    void reset()
    {
        const bool always = m_always;
        *this = {};
        m_always = always;
    }
    /// Guesses whether it pays or not: for tests of what is said, which must not hang on how fast a machine is.
    void guess_always(bool always) { m_always = always; }

private:
    /// What a pass with so many guessed tokens brings, in tokens.
    double expected(size_t drafted) const;
    /// What it takes, in passes of one token.
    double price(size_t drafted) const { return 1.0 + m_price * static_cast<double>(drafted); }
    void find(std::span<const Token> history);

    /// How likely the token behind a match of this length comes true; [0] is not used. At first a cautious guess.
    double m_odds[kLongestMatch + 1] = {0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7};
    double m_price = 0.25; ///< of one more token in a pass, in passes of one token
    double m_ticks = 0.0;  ///< a pass of one token
    uint32_t m_passes = 0;
    size_t m_most = 1; ///< tokens that a pass may guess: more as they pay, one when they do not

    bool m_always = false;
    size_t m_length = 0; ///< of the history that m_source and m_match belong to
    size_t m_source = 0; ///< where in it the guess stands
    size_t m_match = 0;  ///< tokens in front of it that match the history's end; 0: no guess
};

} // namespace llmk
