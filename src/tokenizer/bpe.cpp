// SPDX-License-Identifier: MIT
#include "tokenizer/bpe.h"

#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

#include <algorithm>
#include <bit>

namespace llmk {

namespace {

constexpr uint32_t kNobody = 0xffffffffu;
constexpr uint32_t kFree = 0xffffffffu;
/// Texts past this are refused: form C may be three times as long, and positions have 32 bits.
constexpr uint64_t kMaxTextBytes = 512u << 20;

/// A stretch of a word that is one piece so far. It begins at the byte that is its index, so its right neighbour is
/// the one that is `length` further.
struct Symbol {
    uint32_t length; ///< 0 once merged away
    uint32_t previous;
    uint32_t rank; ///< of the merge with the right neighbour
};

/// A merge that was possible when it was found; stale when the symbol's rank is another by now.
struct Candidate {
    uint32_t rank;
    uint32_t left;
};

/// Heap order: the lowest rank first, then the leftmost.
bool later(const Candidate& a, const Candidate& b) { return a.rank > b.rank || (a.rank == b.rank && a.left > b.left); }

/// Symbols, one a byte, and candidates: one a neighbouring pair at first, and each merge takes one and adds two.
constexpr uint64_t work_bytes(uint64_t word_bytes)
{
    return word_bytes * (sizeof(Symbol) + 2 * sizeof(Candidate)) + 2 * Arena::kAlignment;
}

uint64_t scratch_for(uint64_t text_bytes, Normalization normalization)
{
    if (normalization == Normalization::none) {
        return work_bytes(text_bytes);
    }
    const uint64_t longest = nfc_max_bytes(text_bytes);
    return longest + Arena::kAlignment + std::max(nfc_scratch_bytes(text_bytes), work_bytes(longest));
}

uint32_t hash(std::string_view text, size_t left = 0)
{
    uint32_t h = 2166136261u ^ static_cast<uint32_t>(left * 0x9E3779B1u); // FNV-1a
    for (const char c : text) {
        h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
    }
    return h ^ (h >> 15);
}

uint64_t index_slots(uint64_t count) { return std::bit_ceil(count + count / 2 + 2); }

/// The byte that a character of GPT-2's alphabet stands for, or -1. Bytes that print are themselves; the others are
/// U+0100 and on, in their order.
int alphabet_byte(char32_t value)
{
    if ((value >= 0x21 && value <= 0x7E) || (value >= 0xA1 && value <= 0xAC) || (value >= 0xAE && value <= 0xFF)) {
        return static_cast<int>(value);
    }
    const uint32_t index = value - 0x100;
    if (index <= 0x20) {
        return static_cast<int>(index);
    }
    if (index <= 0x20 + 34) {
        return static_cast<int>(index - 0x21 + 0x7F);
    }
    return index == 67 ? 0xAD : -1;
}

/// Writes the bytes that a spelling stands for, and returns how many, at most as many as it has. A spelling with
/// anything but the alphabet in it is text that somebody added, and stands for itself.
uint32_t decode_spelling(std::string_view spelling, char* out)
{
    uint32_t count = 0;
    for (std::string_view rest = spelling; !rest.empty();) {
        const Utf8Char c = utf8_decode(rest);
        const int byte = c.valid ? alphabet_byte(c.value) : -1;
        if (byte < 0) {
            std::copy(spelling.begin(), spelling.end(), out);
            return static_cast<uint32_t>(spelling.size());
        }
        out[count++] = static_cast<char>(byte);
        rest.remove_prefix(c.length);
    }
    return count;
}

/// Pieces that merges can end in. The others are found by SpecialIndex or never.
bool is_text(TokenType type)
{
    return type == TokenType::normal || type == TokenType::undefined || type == TokenType::byte;
}

} // namespace

/// What one call of encode works with.
struct BpeTokenizer::Work {
    const BpeTokenizer* tokenizer;
    std::span<Token> out;
    size_t count;
    Symbol* symbols;
    Candidate* heap;
    size_t heap_size;

    void put(Token token) { out[count++] = token; }
};

uint64_t BpeTokenizer::index_bytes(uint64_t entries, uint64_t text_bytes, uint64_t merges, uint64_t merge_text_bytes)
{
    return entries * (sizeof(VocabularyEntry) + sizeof(TokenType)) + text_bytes +
           index_slots(entries) * sizeof(uint32_t) + SpecialIndex::index_bytes(entries) + merges * sizeof(Merge) +
           merge_text_bytes + index_slots(merges) * sizeof(uint32_t) + 7 * Arena::kAlignment;
}

Result<void> BpeTokenizer::build(const BpeVocabulary& vocabulary, std::string_view pre, Arena& arena)
{
    m_pre = find_pre_tokenizer(pre);
    if (m_pre == nullptr) {
        return fail(Status::unsupported,
                    "the pre-tokenizer \"{:.40}\" is not known (llama-bpe, qwen2, gpt-2 and {} "
                    "others are)",
                    pre, pre_tokenizers().size() - 3);
    }
    TRY(build_pieces(vocabulary, arena));
    TRY(build_merges(vocabulary, arena));
    TRY(m_special.build(m_pieces, arena));
    m_ends.build(m_pieces);
    const auto known = [&](std::optional<uint32_t> id) {
        return id && *id < vocabulary.entries.size() ? *id : kNoToken;
    };
    m_bos = known(vocabulary.special.bos);
    m_eos = known(vocabulary.special.eos);
    m_unknown = known(vocabulary.special.unk);
    m_add_bos = vocabulary.flags.add_bos.value_or(m_pre->add_bos) && m_bos != kNoToken;
    m_add_eos = vocabulary.flags.add_eos.value_or(false) && m_eos != kNoToken;
    m_ignore_merges = vocabulary.flags.ignore_merges.value_or(m_pre->ignore_merges);
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        m_byte_tokens[byte] = find({&c, 1});
    }
    return success();
}

Result<void> BpeTokenizer::build_pieces(const Vocabulary& vocabulary, Arena& arena)
{
    const size_t count = vocabulary.entries.size();
    if (!vocabulary.types.empty() && vocabulary.types.size() != count) {
        return fail(Status::bad_format, "the vocabulary has {} tokens, but {} token types", count,
                    vocabulary.types.size());
    }
    uint64_t text_bytes = 0;
    for (const VocabularyEntry& entry : vocabulary.entries) {
        text_bytes += entry.length;
    }
    if (text_bytes > kMaxTextBytes || count >= kNoToken / 4) {
        return fail(Status::unsupported, "the vocabulary has {} tokens of {} bytes", count, text_bytes);
    }
    auto* const entries = TRY(arena.alloc_array<VocabularyEntry>(count));
    auto* const types = TRY(arena.alloc_array<TokenType>(count));
    auto* const text = TRY(arena.alloc_array<char>(text_bytes));
    const uint64_t slots = index_slots(count);
    m_index = TRY(arena.alloc_array<uint32_t>(slots));
    m_index_mask = static_cast<uint32_t>(slots - 1);
    std::fill_n(m_index, slots, kFree);
    m_pieces = {{entries, count}, {text, text_bytes}, {types, count}, vocabulary.special, vocabulary.flags};
    uint32_t used = 0;
    for (Token token = 0; token < count; ++token) {
        const auto spelling = vocabulary.entry_text(token);
        types[token] = effective_type(vocabulary, token);
        entries[token] = {used, static_cast<uint32_t>(spelling.size()), 0};
        if (!is_text(types[token])) {
            std::copy(spelling.begin(), spelling.end(), text + used);
        } else {
            entries[token].length = decode_spelling(spelling, text + used);
        }
        used += entries[token].length;
        if (!is_text(types[token]) || entries[token].length == 0) {
            continue;
        }
        const auto piece = m_pieces.entry_text(token);
        uint32_t slot = hash(piece) & m_index_mask;
        while (m_index[slot] != kFree && m_pieces.entry_text(m_index[slot]) != piece) {
            slot = (slot + 1) & m_index_mask;
        }
        if (m_index[slot] == kFree) { // of equal pieces the first counts
            m_index[slot] = token;
        }
    }
    return success();
}

Result<void> BpeTokenizer::build_merges(const BpeVocabulary& vocabulary, Arena& arena)
{
    const size_t count = vocabulary.merges.size();
    uint64_t text_bytes = 0;
    for (const MergeSpelling& merge : vocabulary.merges) {
        text_bytes += merge.length;
    }
    if (text_bytes > kMaxTextBytes || count >= kNoRank / 4) {
        return fail(Status::unsupported, "the vocabulary has {} merges of {} bytes", count, text_bytes);
    }
    auto* const merges = TRY(arena.alloc_array<Merge>(count));
    auto* const text = TRY(arena.alloc_array<char>(text_bytes));
    const uint64_t slots = index_slots(count);
    m_ranks = TRY(arena.alloc_array<uint32_t>(slots));
    m_rank_mask = static_cast<uint32_t>(slots - 1);
    std::fill_n(m_ranks, slots, kFree);
    m_merges = {merges, count};
    m_merge_text = text;
    m_longest_merge = 0;
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const auto spelling = vocabulary.merge(i);
        const size_t blank = spelling.find(' ', 1); // not the first byte: a side is never empty
        if (blank == std::string_view::npos || blank + 1 == spelling.size()) {
            return fail(Status::bad_format, "merge {} of the vocabulary is \"{:.40}\", expected two parts", i,
                        spelling);
        }
        const uint32_t left = decode_spelling(head(spelling, blank), text + used);
        const uint32_t right = decode_spelling(tail(spelling, blank + 1), text + used + left);
        merges[i] = {used, left + right, left};
        const std::string_view joined(text + used, left + right);
        used += left + right;
        m_longest_merge = std::max(m_longest_merge, left + right);
        uint32_t slot = hash(joined, left) & m_rank_mask;
        bool known = false;
        for (; m_ranks[slot] != kFree && !known; slot = (slot + 1) & m_rank_mask) {
            const Merge& other = merges[m_ranks[slot]];
            known = other.left == left && std::string_view(text + other.offset, other.length) == joined;
        }
        if (!known) { // of equal merges the first counts
            m_ranks[slot] = i;
        }
    }
    return success();
}

Token BpeTokenizer::find(std::string_view piece) const
{
    for (uint32_t slot = hash(piece) & m_index_mask; m_index[slot] != kFree; slot = (slot + 1) & m_index_mask) {
        if (m_pieces.entry_text(m_index[slot]) == piece) {
            return m_index[slot];
        }
    }
    return kNoToken;
}

uint32_t BpeTokenizer::rank(std::string_view joined, size_t left) const
{
    if (joined.size() > m_longest_merge) {
        return kNoRank;
    }
    for (uint32_t slot = hash(joined, left) & m_rank_mask; m_ranks[slot] != kFree; slot = (slot + 1) & m_rank_mask) {
        const Merge& merge = m_merges[m_ranks[slot]];
        if (merge.left == left && std::string_view(m_merge_text + merge.offset, merge.length) == joined) {
            return m_ranks[slot];
        }
    }
    return kNoRank;
}

uint64_t BpeTokenizer::word_bytes(uint64_t text_bytes) const
{
    return m_pre->normalization == Normalization::nfc ? nfc_max_bytes(text_bytes) : text_bytes;
}

uint64_t BpeTokenizer::scratch_bytes(uint64_t text_bytes) const
{
    return scratch_for(text_bytes, m_pre->normalization);
}

uint64_t BpeTokenizer::encode_bytes(uint64_t text_bytes) { return scratch_for(text_bytes, Normalization::nfc); }

Result<size_t> BpeTokenizer::encode_text(const MarkedText& marked, BosRule bos, TextStart, std::span<Token> out,
                                         Arena& scratch) const
{
    const std::string_view text = marked.text;
    LLMK_ASSERT(out.size() >= max_tokens(text.size()));
    if (text.size() > kMaxTextBytes) {
        return fail(Status::invalid_argument, "the text is {} bytes long, at most {} can be tokenized", text.size(),
                    kMaxTextBytes);
    }
    Work work = {this, out, 0, nullptr, nullptr, 0};
    if (bos == BosRule::add && m_add_bos) {
        work.put(m_bos);
    }
    for (size_t at = 0; at < text.size();) {
        const SpecialIndex::Match match = m_special.find(marked, at);
        TRY(encode_fragment(head(tail(text, at), match.begin - at), work, scratch));
        if (match.token != kNoToken) {
            work.put(match.token);
        }
        at = match.end;
    }
    if (bos == BosRule::add && m_add_eos) {
        work.put(m_eos);
    }
    return work.count;
}

Result<void> BpeTokenizer::encode_fragment(std::string_view text, Work& work, Arena& scratch) const
{
    if (text.empty()) {
        return success();
    }
    const ArenaScope scope(scratch);
    if (m_pre->normalization == Normalization::nfc && nfc_may_change(text)) {
        char* const normal = TRY(scratch.alloc_array<char>(nfc_max_bytes(text.size())));
        text = TRY(nfc(text, normal, scratch));
    }
    work.symbols = TRY(scratch.alloc_array<Symbol>(text.size()));
    work.heap = TRY(scratch.alloc_array<Candidate>(2 * text.size()));
    pre_tokenize(*m_pre, text, &work, [](void* context, std::string_view word) {
        auto& at_work = *static_cast<Work*>(context);
        at_work.tokenizer->encode_word(word, at_work);
    });
    return success();
}

void BpeTokenizer::encode_word(std::string_view word, Work& work) const
{
    if (m_ignore_merges) {
        const Token whole = find(word);
        if (whole != kNoToken) {
            work.put(whole);
            return;
        }
    }
    merge_pairs(word, work);
    for (size_t at = 0; at < word.size(); at += work.symbols[at].length) {
        put_piece(head(tail(word, at), work.symbols[at].length), work);
    }
}

void BpeTokenizer::merge_pairs(std::string_view word, Work& work) const
{
    Symbol* const symbols = work.symbols;
    const auto size = static_cast<uint32_t>(word.size());
    for (uint32_t i = 0; i < size; ++i) {
        symbols[i] = {1, i == 0 ? kNobody : i - 1, kNoRank};
    }
    work.heap_size = 0;
    const auto offer = [&](uint32_t left) {
        Symbol& symbol = symbols[left];
        const uint32_t right = left + symbol.length;
        symbol.rank = kNoRank;
        if (right == size) {
            return;
        }
        symbol.rank = rank(head(tail(word, left), symbol.length + symbols[right].length), symbol.length);
        if (symbol.rank != kNoRank) {
            work.heap[work.heap_size++] = {symbol.rank, left};
            std::push_heap(work.heap, work.heap + work.heap_size, later);
        }
    };
    for (uint32_t i = 0; i < size; ++i) {
        offer(i);
    }
    while (work.heap_size > 0) {
        std::pop_heap(work.heap, work.heap + work.heap_size, later);
        const Candidate best = work.heap[--work.heap_size];
        Symbol& left = symbols[best.left];
        if (left.length == 0 || left.rank != best.rank) {
            continue; // one of the two has been merged since
        }
        Symbol& right = symbols[best.left + left.length];
        left.length += right.length;
        right.length = 0;
        if (best.left + left.length < size) {
            symbols[best.left + left.length].previous = best.left;
        }
        offer(best.left);
        if (left.previous != kNobody) {
            offer(left.previous);
        }
    }
}

void BpeTokenizer::put_piece(std::string_view piece, Work& work) const
{
    const Token token = find(piece);
    if (token != kNoToken) {
        work.put(token);
        return;
    }
    for (const char c : piece) {
        const Token byte = m_byte_tokens[static_cast<uint8_t>(c)];
        const Token instead = byte != kNoToken ? byte : m_unknown;
        if (instead != kNoToken) { // else there is nothing that could stand for it
            work.put(instead);
        }
    }
}

bool BpeTokenizer::is_control(Token token) const { return token < vocab_size() && is_structure(m_pieces.types[token]); }

std::string_view BpeTokenizer::piece(Token, Token token) const
{
    return is_control(token) ? std::string_view() : name(token);
}

std::string_view BpeTokenizer::name(Token token) const
{
    return token < vocab_size() ? m_pieces.entry_text(token) : std::string_view();
}

bool BpeTokenizer::is_byte(Token token) const
{
    return token < vocab_size() && m_pieces.types[token] == TokenType::byte;
}

} // namespace llmk
