// SPDX-License-Identifier: MIT
#include "tokenizer/special.h"

#include <algorithm>

namespace llmk {

namespace {

bool less_bytes(std::string_view a, std::string_view b)
{
    // Not string_view's <=>: char is signed, and the search goes by bytes.
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return static_cast<uint8_t>(x) < static_cast<uint8_t>(y);
    });
}

/// Names of tokens that end an answer.
bool is_end_name(std::string_view name)
{
    constexpr std::string_view kNames[] = {
        "<|eot_id|>", "<|eom_id|>", "<|im_end|>",        "<|end|>", "<|endoftext|>", "<|end_of_text|>",
        "<EOT>",      "<|return|>", "<end_of_turn>",     "</s>",    "<eos>",         "<｜end▁of▁sentence｜>",
        "[EOS]",      "[EOT]",      "<end_of_utterance>"};
    return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

/// Names that no merging of text makes: "</s>" may well be a piece of code.
bool is_unlike_text(std::string_view name)
{
    return head(name, 2) == "<|" || head(name, 8) == "<end_of_" || head(name, 4) == "<｜";
}

} // namespace

TokenType effective_type(const Vocabulary& vocabulary, Token token)
{
    const auto name = vocabulary.entry_text(token);
    return is_unlike_text(name) && is_end_name(name) ? TokenType::control : vocabulary.type(token);
}

void EndTokens::add(Token token)
{
    if (m_count < kMost && !contains(token)) {
        m_tokens[m_count++] = token;
    }
}

bool EndTokens::contains(Token token) const
{
    return std::find(m_tokens, m_tokens + m_count, token) != m_tokens + m_count;
}

void EndTokens::build(const Vocabulary& vocabulary)
{
    m_count = 0;
    const SpecialTokens& special = vocabulary.special;
    for (const auto& id : {special.eos, special.eot, special.eom}) {
        if (id && *id < vocabulary.entries.size()) {
            add(*id);
        }
    }
    for (Token token = 0; token < vocabulary.entries.size(); ++token) {
        if (is_end_name(vocabulary.entry_text(token)) && is_structure(effective_type(vocabulary, token))) {
            add(token);
        }
    }
}

uint64_t SpecialIndex::index_bytes(uint64_t vocab_size) { return vocab_size * sizeof(Token) + Arena::kAlignment; }

Result<void> SpecialIndex::build(const Vocabulary& vocabulary, Arena& arena)
{
    m_vocabulary = vocabulary;
    std::fill(std::begin(m_first_bytes), std::end(m_first_bytes), false);
    const auto wanted = [&](Token token) {
        const auto name = vocabulary.entry_text(token);
        const TokenType type = effective_type(vocabulary, token);
        return (is_structure(type) || type == TokenType::user_defined) && !name.empty();
    };
    size_t count = 0;
    for (Token token = 0; token < vocabulary.entries.size(); ++token) {
        count += wanted(token) ? 1 : 0;
    }
    auto* const tokens = TRY(arena.alloc_array<Token>(count));
    count = 0;
    for (Token token = 0; token < vocabulary.entries.size(); ++token) {
        if (wanted(token)) {
            tokens[count++] = token;
            m_first_bytes[static_cast<uint8_t>(vocabulary.entry_text(token)[0])] = true;
        }
    }
    std::sort(tokens, tokens + count, [&](Token a, Token b) {
        const auto left = vocabulary.entry_text(a);
        const auto right = vocabulary.entry_text(b);
        return left == right ? a < b : less_bytes(left, right);
    });
    m_sorted = {tokens, count};
    return success();
}

Token SpecialIndex::longest_at(std::string_view text, size_t structure_bytes) const
{
    Token longest = kNoToken;
    const Token* low = m_sorted.data();
    const Token* high = low + m_sorted.size();
    for (size_t depth = 0;; ++depth) {
        // All of low..high begin with the first `depth` bytes of the text; those that are no longer stand in front.
        for (bool found = false; low != high && m_vocabulary.entries[*low].length == depth; ++low) {
            const bool allowed = depth <= structure_bytes || !is_structure(effective_type(m_vocabulary, *low));
            if (allowed && !found) { // of equals the first counts
                longest = *low;
                found = true;
            }
        }
        if (low == high || depth == text.size()) {
            return longest;
        }
        const auto byte = static_cast<uint8_t>(text[depth]);
        const auto byte_of = [&](Token token) { return static_cast<uint8_t>(m_vocabulary.entry_text(token)[depth]); };
        low = std::partition_point(low, high, [&](Token token) { return byte_of(token) < byte; });
        high = std::partition_point(low, high, [&](Token token) { return byte_of(token) == byte; });
    }
}

SpecialIndex::Match SpecialIndex::find(const MarkedText& marked, size_t from) const
{
    const std::string_view text = marked.text;
    for (size_t at = from; !m_sorted.empty() && at < text.size(); ++at) {
        if (!m_first_bytes[static_cast<uint8_t>(text[at])]) {
            continue;
        }
        const Token token = longest_at(tail(text, at), marked.structure_bytes(at));
        if (token != kNoToken) {
            return {at, at + m_vocabulary.entries[token].length, token};
        }
    }
    return {text.size(), text.size(), kNoToken};
}

} // namespace llmk
