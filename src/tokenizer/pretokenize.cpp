// SPDX-License-Identifier: MIT
#include "tokenizer/pretokenize.h"

#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

struct Char {
    char32_t value = 0;
    CharClass cls = CharClass::whitespace;
    size_t length = 0; ///< 0 past the end

    explicit operator bool() const { return length != 0; }
    bool letter() const { return length != 0 && is_letter(cls); }
    bool number() const { return length != 0 && cls == CharClass::number; }
    bool blank() const { return length != 0 && cls == CharClass::whitespace; }
    bool line_end() const { return length != 0 && (value == '\r' || value == '\n'); }
    /// [^\s\p{L}\p{N}]
    bool sign() const { return length != 0 && !letter() && !number() && !blank(); }
};

Char char_at(std::string_view text, size_t at)
{
    if (at >= text.size()) {
        return {};
    }
    const Utf8Char c = utf8_decode(tail(text, at));
    return {c.value, char_class(c.value), c.length};
}

using Is = bool (*)(const Char&);

/// Where a run of such characters ends.
template <class Predicate> size_t skip(std::string_view text, size_t at, Predicate is)
{
    for (Char c = char_at(text, at); c && is(c); c = char_at(text, at)) {
        at += c.length;
    }
    return at;
}

bool letter(const Char& c) { return c.letter(); }
bool number(const Char& c) { return c.number(); }
bool sign(const Char& c) { return c.sign(); }
bool line_end(const Char& c) { return c.line_end(); }
bool line_end_or_slash(const Char& c) { return c.line_end() || c.value == '/'; }
bool punctuation(const Char& c) { return c.cls == CharClass::punctuation; }

/// HF's Punctuation: Unicode's, and what ASCII calls so besides.
bool any_punctuation(const Char& c) { return punctuation(c) || (c.value < 0x80 && c.cls == CharClass::symbol); }

/// As any_punctuation, but for the backtick: llama.cpp's default has it in no class.
bool default_punctuation(const Char& c) { return any_punctuation(c) && c.value != '`'; }

struct CodeRange {
    char32_t first;
    char32_t last;
};

bool within(std::span<const CodeRange> ranges, char32_t value)
{
    const auto after = std::upper_bound(ranges.begin(), ranges.end(), value,
                                        [](char32_t v, const CodeRange& range) { return v < range.first; });
    return after != ranges.begin() && value <= (after - 1)->last;
}

/// [一-龥ࠀ-一가-퟿], the deepseek expressions' own idea of Asian scripts.
bool deepseek_asian(const Char& c)
{
    constexpr CodeRange kRanges[] = {{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}};
    return within(kRanges, c.value);
}

bool deepseek_punctuation(const Char& c)
{
    constexpr CodeRange kRanges[] = {{'!', '/'},       {':', '~'},       {0x2018, 0x201F},
                                     {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
    return within(kRanges, c.value);
}

/// The letters with case that deepseek-llm's expression lists.
bool deepseek_letter(const Char& c)
{
    constexpr CodeRange kRanges[] = {
        {'A', 'Z'},         {'a', 'z'},         {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
        {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
        {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
        {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
        {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
        {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
        {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
        {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
        {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
        {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
        {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
        {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
        {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
        {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
        {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
        {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
        {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};
    return within(kRanges, c.value);
}

enum class Case : uint8_t { exact, ignored };

/// Bytes of 's 't 're 've 'm 'll 'd at `at`, or 0.
size_t contraction(std::string_view text, size_t at, Case rule)
{
    if (char_at(text, at).value != '\'') {
        return 0;
    }
    const auto folded = [rule](const Char& c) -> char32_t {
        if (rule == Case::exact) {
            return c.value;
        }
        if (c.value == 0x17F) { // long s: the one other character that Unicode takes for one of these letters
            return U's';
        }
        return c.value >= 'A' && c.value <= 'Z' ? c.value + 0x20 : c.value;
    };
    const Char first = char_at(text, at + 1);
    const char32_t a = folded(first);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return 1 + first.length;
    }
    const char32_t b = folded(char_at(text, at + 2));
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/// \s+(?!\S)|\s+ : a run of blanks but for the last, which belongs to the word behind; all at the end of the segment.
size_t blanks(std::string_view text, size_t at)
{
    size_t last = at;
    size_t end = at;
    for (Char c = char_at(text, end); c.blank(); c = char_at(text, end)) {
        last = end;
        end += c.length;
    }
    return end < text.size() && last > at ? last : end;
}

/// \s*[\r\n]+ : blanks up to the last line end among them; `at` when there is none.
size_t blank_lines(std::string_view text, size_t at)
{
    size_t end = at;
    size_t lines_end = at;
    for (Char c = char_at(text, end); c.blank(); c = char_at(text, end)) {
        end += c.length;
        lines_end = c.line_end() ? end : lines_end;
    }
    return lines_end;
}

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
Cut gpt2_words(std::string_view text, size_t from)
{
    if (const size_t length = contraction(text, from, Case::exact); length != 0) {
        return {from, from + length};
    }
    const size_t start = from + (char_at(text, from).value == ' ' ? 1 : 0);
    const Char first = char_at(text, start);
    if (!first || first.blank()) {
        return {from, blanks(text, from)};
    }
    const Is is = first.letter() ? letter : first.number() ? number : sign;
    return {from, skip(text, start, is)};
}

/// \p{N}{1,most}
size_t numbers(std::string_view text, size_t at, int most)
{
    for (Char c = char_at(text, at); c.number() && most > 0; c = char_at(text, at), --most) {
        at += c.length;
    }
    return at;
}

/// What all later expressions end in: \p{N}{1,most}| ?[^\s\p{L}\p{N}]+[behind]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t numbers_signs_blanks(std::string_view text, size_t from, int most, Is behind)
{
    const Char first = char_at(text, from);
    if (first.number()) {
        return numbers(text, from, most);
    }
    const size_t start = from + (first.value == ' ' ? 1 : 0);
    if (char_at(text, start).sign()) {
        return skip(text, skip(text, start, sign), behind);
    }
    const size_t lines = blank_lines(text, from);
    return lines != from ? lines : blanks(text, from);
}

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|... with numbers of up to kDigits digits: tiktoken's cl100k.
template <int kDigits> Cut cl100k_words(std::string_view text, size_t from)
{
    if (const size_t length = contraction(text, from, Case::ignored); length != 0) {
        return {from, from + length};
    }
    const Char first = char_at(text, from);
    const bool leads = !first.letter() && !first.number() && !first.line_end();
    const size_t letters = from + (leads ? first.length : 0);
    if (char_at(text, letters).letter()) {
        return {from, skip(text, letters, letter)};
    }
    return {from, numbers_signs_blanks(text, from, kDigits, line_end)};
}

bool upper_part(const Char& c)
{
    return c.cls == CharClass::upper || c.cls == CharClass::letter || c.cls == CharClass::mark;
}
bool lower_part(const Char& c)
{
    return c.cls == CharClass::lower || c.cls == CharClass::letter || c.cls == CharClass::mark;
}

/// [upper]*[lower]+ at `at`, or `at`. Greedy: where no lower letter follows the upper ones, the last of them that may
/// be either ends the word.
size_t mixed_case_word(std::string_view text, size_t at)
{
    size_t end = at;
    size_t after_either = at;
    for (Char c = char_at(text, end); c && upper_part(c); c = char_at(text, end)) {
        end += c.length;
        after_either = lower_part(c) ? end : after_either;
    }
    const size_t lower_end = skip(text, end, lower_part);
    return lower_end != end ? lower_end : after_either;
}

/// P?[upper]*[lower]+(?i:'s|...)?|P?[upper]+[lower]*(?i:'s|...)?|... where P is [^\r\n\p{L}\p{N}]: tiktoken's o200k.
template <int kDigits, bool kContractions> Cut o200k_words(std::string_view text, size_t from)
{
    const Char first = char_at(text, from);
    const bool leads = !first.letter() && !first.number() && !first.line_end();
    const size_t starts[] = {from + (leads ? first.length : 0), from};
    size_t end = from;
    for (const bool capitals : {false, true}) {
        for (const size_t start : starts) {
            if (end == from) {
                const size_t word_end = capitals ? skip(text, start, upper_part) : mixed_case_word(text, start);
                end = word_end == start ? from : word_end;
            }
        }
    }
    if (end != from) {
        return {from, end + (kContractions ? contraction(text, end, Case::ignored) : 0)};
    }
    return {from, numbers_signs_blanks(text, from, kDigits, line_end_or_slash)};
}

/// [class]+
template <Is kIs> Cut runs(std::string_view text, size_t from)
{
    const size_t begin = skip(text, from, [](const Char& c) { return !kIs(c); });
    return {begin, skip(text, begin, kIs)};
}

/// [class]
template <Is kIs> Cut singles(std::string_view text, size_t from)
{
    const size_t begin = skip(text, from, [](const Char& c) { return !kIs(c); });
    return {begin, begin + char_at(text, begin).length};
}

/// \s?[class]+ ; the class may hold blanks.
template <Is kIs> Cut runs_with_blank(std::string_view text, size_t from)
{
    for (size_t at = from;;) {
        const Char c = char_at(text, at);
        const Char next = char_at(text, at + c.length);
        if (c.blank() && next && kIs(next)) {
            return {at, skip(text, at + c.length, kIs)};
        }
        if (!c || kIs(c)) {
            return {at, skip(text, at, kIs)};
        }
        at += c.length;
    }
}

/// [0-9][0-9][0-9]
Cut three_digits(std::string_view text, size_t from)
{
    size_t digits = 0;
    for (size_t at = from; at < text.size(); ++at) {
        digits = text[at] >= '0' && text[at] <= '9' ? digits + 1 : 0;
        if (digits == 3) {
            return {at - 2, at + 1};
        }
    }
    return {text.size(), text.size()};
}

/// \s+$
Cut last_blanks(std::string_view text, size_t from)
{
    size_t begin = from;
    for (size_t at = from; at < text.size();) {
        const Char c = char_at(text, at);
        at += c.length;
        begin = c.blank() ? begin : at;
    }
    return {begin, text.size()};
}

constexpr FindCut kGpt2[] = {gpt2_words};
constexpr FindCut kLlama3[] = {cl100k_words<3>};
constexpr FindCut kQwen2[] = {cl100k_words<1>};
constexpr FindCut kGpt4o[] = {o200k_words<3, true>};
constexpr FindCut kTekken[] = {o200k_words<1, false>};
constexpr FindCut kStarcoder[] = {singles<number>, gpt2_words};
constexpr FindCut kFalcon[] = {runs<any_punctuation>, gpt2_words, three_digits};
constexpr FindCut kDefault[] = {runs<default_punctuation>, gpt2_words, runs<number>, three_digits};
constexpr FindCut kDeepseekCoder[] = {singles<line_end>, runs_with_blank<letter>, runs_with_blank<punctuation>,
                                      runs<deepseek_asian>, singles<number>};
constexpr FindCut kDeepseekLlm[] = {singles<line_end>,
                                    runs_with_blank<deepseek_letter>,
                                    runs_with_blank<deepseek_punctuation>,
                                    last_blanks,
                                    runs<deepseek_asian>,
                                    runs<number>};

// Names, and what a file that is silent means by them, as llama.cpp has them; but for the normalization, which some
// models were trained with (Qwen's, those of GPT-NeoX's tokenizer, Cohere's) and llama.cpp leaves out.
constexpr PreTokenizer kPreTokenizers[] = {
    {"default", kDefault, Normalization::none, false, false},
    {"gpt-2", kGpt2, Normalization::none, false, false},
    {"phi-2", kGpt2, Normalization::none, false, false},
    {"mpt", kGpt2, Normalization::nfc, false, false},
    {"olmo", kGpt2, Normalization::nfc, false, false},
    {"llama3", kLlama3, Normalization::none, true, true},
    {"llama-v3", kLlama3, Normalization::none, true, true},
    {"llama-bpe", kLlama3, Normalization::none, true, true},
    {"falcon3", kLlama3, Normalization::none, true, true},
    {"dbrx", kLlama3, Normalization::none, false, false},
    {"smaug-bpe", kLlama3, Normalization::none, false, false},
    {"qwen2", kQwen2, Normalization::nfc, false, false},
    {"deepseek-r1-qwen", kQwen2, Normalization::nfc, false, false},
    {"stablelm2", kQwen2, Normalization::none, false, false},
    {"gpt-4o", kGpt4o, Normalization::none, false, false},
    {"tekken", kTekken, Normalization::none, true, true},
    {"starcoder", kStarcoder, Normalization::none, false, false},
    {"refact", kStarcoder, Normalization::none, false, false},
    {"smollm", kStarcoder, Normalization::none, false, false},
    {"command-r", kStarcoder, Normalization::nfc, false, false},
    {"codeshell", kStarcoder, Normalization::none, false, false},
    {"falcon", kFalcon, Normalization::none, false, false},
    {"deepseek-coder", kDeepseekCoder, Normalization::none, false, false},
    {"deepseek-llm", kDeepseekLlm, Normalization::none, false, false},
};

/// Where words go, and what is left to do.
struct Splitter {
    std::span<const FindCut> passes;
    void* context;
    void (*word)(void* context, std::string_view word);

    void split(std::string_view segment, size_t pass) const
    {
        if (segment.empty()) {
            return;
        }
        if (pass == passes.size()) {
            word(context, segment);
            return;
        }
        for (size_t at = 0; at < segment.size();) {
            const Cut cut = passes[pass](segment, at);
            split(head(tail(segment, at), cut.begin - at), pass + 1);
            split(head(tail(segment, cut.begin), cut.end - cut.begin), pass + 1);
            at = cut.end;
        }
    }
};

} // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name)
{
    for (const PreTokenizer& row : kPreTokenizers) {
        if (row.name == (name.empty() ? std::string_view("default") : name)) {
            return &row;
        }
    }
    return nullptr;
}

std::span<const PreTokenizer> pre_tokenizers() { return kPreTokenizers; }

void pre_tokenize(const PreTokenizer& pre, std::string_view text, void* context,
                  void (*word)(void* context, std::string_view word))
{
    Splitter{pre.passes, context, word}.split(text, 0);
}

} // namespace llmk
