// SPDX-License-Identifier: MIT
#include "tokenizer/spm.h"

#include "tokenizer/utf8.h"

#include <algorithm>
#include <bit>

namespace llmk {

namespace {

constexpr uint32_t kNobody = 0xffffffffu;

/// A stretch of the text that is one token so far; a doubly linked list, merged into the left neighbour.
struct Symbol {
    uint32_t start;
    uint32_t length; ///< 0 once merged away
    uint32_t previous;
    uint32_t next;
};

/// A pair that could be merged, as it was when it was found; stale when either side has changed since.
struct Candidate {
    float score;
    uint32_t left;
    uint32_t right;
    uint32_t length; ///< of both together
};

/// Heap order: the highest score first, then the leftmost.
bool later(const Candidate& a, const Candidate& b)
{
    return a.score < b.score || (a.score == b.score && a.left > b.left);
}

uint32_t hash(std::string_view text)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (const char c : text) {
        h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
    }
    return h ^ (h >> 15);
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

uint64_t index_slots(uint64_t vocab_size) { return std::bit_ceil(vocab_size * 2 + 2); }

/// Copies a text, U+2581 (SentencePiece's own spelling of a blank) as a blank, and returns where the copy ends.
char* copy_text(std::string_view text, char* out)
{
    constexpr std::string_view kBlock = "\xE2\x96\x81";
    while (!text.empty()) {
        const size_t at = std::min(text.find(kBlock), text.size());
        out = std::copy_n(text.data(), at, out);
        text = tail(text, at);
        if (!text.empty()) {
            *out++ = ' ';
            text = tail(text, kBlock.size());
        }
    }
    return out;
}

} // namespace

uint64_t SpmTokenizer::index_bytes(uint64_t vocab_size)
{
    return index_slots(vocab_size) * sizeof(uint32_t) + Arena::kAlignment + SpecialIndex::index_bytes(vocab_size);
}

bool SpmTokenizer::is_control(Token token) const
{
    if (token >= m_vocabulary.entries.size()) {
        return false;
    }
    return m_vocabulary.types.empty() ? token <= kEos : is_structure(effective_type(m_vocabulary, token));
}

int SpmTokenizer::byte_value(Token token) const
{
    if (!m_vocabulary.types.empty() && m_vocabulary.type(token) != TokenType::byte) {
        return -1;
    }
    const auto text = m_vocabulary.entry_text(token);
    if (text.size() != 6 || head(text, 3) != "<0x" || text[5] != '>') {
        return -1;
    }
    const int high = hex_digit(text[3]);
    const int low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void SpmTokenizer::add_to_index(Token token)
{
    uint32_t slot = hash(m_vocabulary.entry_text(token)) & m_index_mask;
    while (m_index[slot] != kNone && m_vocabulary.entry_text(m_index[slot]) != m_vocabulary.entry_text(token)) {
        slot = (slot + 1) & m_index_mask;
    }
    if (m_index[slot] == kNone) { // of equal pieces the first counts
        m_index[slot] = token;
    }
}

Result<void> SpmTokenizer::build(const Vocabulary& vocabulary, Arena& arena)
{
    const size_t size = vocabulary.entries.size();
    if (!vocabulary.types.empty() && vocabulary.types.size() != size) {
        return fail(Status::bad_format, "the vocabulary has {} tokens, but {} token types", size,
                    vocabulary.types.size());
    }
    m_vocabulary = vocabulary;
    const auto said = [&](std::optional<uint32_t> id, Token otherwise) { return id && *id < size ? *id : otherwise; };
    m_unknown = said(vocabulary.special.unk, kUnknown);
    // What a file leaves unsaid is as in Llama's vocabulary, unless that token is a piece of text: a vocabulary of
    // characters alone has neither.
    const auto control = [&](std::optional<uint32_t> id, Token otherwise) {
        const Token token = said(id, otherwise);
        const bool is_text =
            !vocabulary.types.empty() && !id && token < size && !is_structure(effective_type(vocabulary, token));
        return is_text ? kNoToken : token;
    };
    m_bos = control(vocabulary.special.bos, kBos);
    m_eos = control(vocabulary.special.eos, kEos);
    m_add_bos = vocabulary.flags.add_bos.value_or(true) && m_bos != kNoToken;
    m_add_eos = vocabulary.flags.add_eos.value_or(false) && m_eos != kNoToken;
    m_add_blank = vocabulary.flags.add_space_prefix.value_or(true);
    TRY(m_special.build(vocabulary, arena));
    m_ends.build(vocabulary);
    const uint64_t slots = index_slots(size);
    m_index = TRY(arena.alloc_array<uint32_t>(slots));
    m_index_mask = static_cast<uint32_t>(slots - 1);
    std::fill_n(m_index, slots, kNone);
    for (int byte = 0; byte < 256; ++byte) {
        m_bytes[byte] = static_cast<char>(byte);
        m_byte_tokens[byte] = m_unknown;
    }
    for (Token token = 0; token < size; ++token) {
        const int byte = byte_value(token);
        const TokenType type = m_vocabulary.type(token);
        if (byte >= 0) {
            m_byte_tokens[byte] = token;
            continue;
        }
        // Control tokens and byte tokens are no text: a person who types "<s>" means these three letters.
        if (!is_control(token) && type != TokenType::unused && type != TokenType::byte &&
            vocabulary.entries[token].length != 0) {
            add_to_index(token);
        }
    }
    return success();
}

uint32_t SpmTokenizer::find(std::string_view piece) const
{
    for (uint32_t slot = hash(piece) & m_index_mask; m_index[slot] != kNone; slot = (slot + 1) & m_index_mask) {
        if (m_vocabulary.entry_text(m_index[slot]) == piece) {
            return m_index[slot];
        }
    }
    return kNone;
}

uint64_t SpmTokenizer::encode_bytes(uint64_t text_bytes)
{
    // The text with its blank, a symbol a byte, and candidates: one a neighbouring pair at first, two more a merge.
    const uint64_t n = text_bytes + 1;
    return n + n * sizeof(Symbol) + 3 * n * sizeof(Candidate) + 3 * Arena::kAlignment;
}

Result<size_t> SpmTokenizer::encode_text(const MarkedText& marked, BosRule bos, TextStart start, std::span<Token> out,
                                         Arena& scratch) const
{
    const std::string_view text = marked.text;
    LLMK_ASSERT(out.size() >= max_tokens(text.size()));
    if (text.size() >= kNobody / 4) {
        return fail(Status::invalid_argument, "the text is {} bytes long, at most {} can be tokenized", text.size(),
                    kNobody / 4);
    }
    size_t count = 0;
    if (bos == BosRule::add && m_add_bos) {
        out[count++] = m_bos;
    }
    bool at_start =
        start == TextStart::fresh; // of the text, or behind a special token: there SentencePiece starts anew
    for (size_t at = 0; at < text.size();) {
        const SpecialIndex::Match match = m_special.find(marked, at);
        if (match.begin > at) {
            TRY(encode_fragment(head(tail(text, at), match.begin - at), m_add_blank && at_start, out, count, scratch));
            at_start = false;
        }
        if (match.token != kNoToken) {
            out[count++] = match.token;
            at_start = true;
        }
        at = match.end;
    }
    if (bos == BosRule::add && m_add_eos) {
        out[count++] = m_eos;
    }
    return count;
}

Result<void> SpmTokenizer::encode_fragment(std::string_view text, bool blank_in_front, std::span<Token> out,
                                           size_t& count, Arena& scratch) const
{
    const ArenaScope scope(scratch);
    const size_t blank = blank_in_front ? 1 : 0; // SentencePiece's dummy prefix
    char* const chars = TRY(scratch.alloc_array<char>(text.size() + blank));
    chars[0] = ' ';
    const auto length = static_cast<size_t>(copy_text(text, chars + blank) - chars);
    Symbol* const symbols = TRY(scratch.alloc_array<Symbol>(length));
    Candidate* const heap = TRY(scratch.alloc_array<Candidate>(3 * length));

    uint32_t symbol_count = 0;
    for (uint32_t at = 0; at < length;) {
        const auto bytes =
            static_cast<uint32_t>(std::min<size_t>(utf8_length(static_cast<uint8_t>(chars[at])), length - at));
        symbols[symbol_count] = {at, bytes, symbol_count == 0 ? kNobody : symbol_count - 1, symbol_count + 1};
        ++symbol_count;
        at += bytes;
    }
    symbols[symbol_count - 1].next = kNobody;

    size_t heap_size = 0;
    const auto offer = [&](uint32_t left) {
        const uint32_t right = left == kNobody ? kNobody : symbols[left].next;
        if (right == kNobody) {
            return;
        }
        const uint32_t joined = symbols[left].length + symbols[right].length;
        const uint32_t token = find({chars + symbols[left].start, joined});
        if (token != kNone) {
            heap[heap_size++] = {m_vocabulary.entries[token].score, left, right, joined};
            std::push_heap(heap, heap + heap_size, later);
        }
    };
    for (uint32_t i = 0; i + 1 < symbol_count; ++i) {
        offer(i);
    }
    while (heap_size > 0) {
        std::pop_heap(heap, heap + heap_size, later);
        const Candidate best = heap[--heap_size];
        Symbol& left = symbols[best.left];
        Symbol& right = symbols[best.right];
        if (left.length == 0 || right.length == 0 || left.length + right.length != best.length ||
            left.next != best.right) {
            continue; // one of the two has been merged since
        }
        left.length = best.length;
        right.length = 0;
        left.next = right.next;
        if (left.next != kNobody) {
            symbols[left.next].previous = best.left;
        }
        offer(left.previous);
        offer(best.left);
    }
    for (uint32_t i = 0; i != kNobody; i = symbols[i].next) {
        const std::string_view piece(chars + symbols[i].start, symbols[i].length);
        const uint32_t token = find(piece);
        if (token != kNone) {
            out[count++] = token;
            continue;
        }
        for (const char byte : piece) {
            out[count++] = m_byte_tokens[static_cast<uint8_t>(byte)];
        }
    }
    return success();
}

std::string_view SpmTokenizer::piece(Token previous, Token token) const
{
    if (token >= m_vocabulary.entries.size()) {
        return {};
    }
    const int byte = byte_value(token);
    if (byte >= 0) {
        return {m_bytes + byte, 1};
    }
    if (!m_vocabulary.types.empty() && is_control(token)) {
        return {};
    }
    auto text = m_vocabulary.entry_text(token);
    if (m_add_blank && previous == m_bos && !text.empty() && text[0] == ' ') {
        text.remove_prefix(1);
    }
    return text;
}

std::string_view SpmTokenizer::name(Token token) const
{
    return token < m_vocabulary.entries.size() ? m_vocabulary.entry_text(token) : std::string_view();
}

} // namespace llmk
