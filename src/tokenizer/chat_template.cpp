// SPDX-License-Identifier: MIT
#include "tokenizer/chat_template.h"

#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

constexpr std::string_view kDate = "26 Jul 2024"; // what Llama 3.1 takes where nobody says the day

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool file_wants_bos(const Tokenizer& tokenizer, Arena& scratch)
{
    Token ids[8];
    if (tokenizer.bos() == kNoToken || tokenizer.max_tokens(0) > std::size(ids)) {
        return false;
    }
    auto count = tokenizer.encode({}, BosRule::add, ids, scratch);
    return count.ok() && count.value() > 0 && ids[0] == tokenizer.bos();
}

bool is_blank(char32_t value, TrimRule rule)
{
    // str.strip() also takes the separators U+001C to U+001F, which Unicode does not count as White_Space.
    return char_class(value) == CharClass::whitespace || (rule != TrimRule::left && value >= 0x1C && value <= 0x1F);
}

std::string_view trimmed(std::string_view text, TrimRule rule)
{
    while (!text.empty() && (rule == TrimRule::both || rule == TrimRule::left)) {
        const auto first = utf8_decode(text);
        if (!first.valid || !is_blank(first.value, rule)) {
            break;
        }
        text.remove_prefix(first.length);
    }
    while (!text.empty() && (rule == TrimRule::both || rule == TrimRule::right)) {
        size_t start = text.size() - 1;
        while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) {
            --start;
        }
        const auto last = utf8_decode(tail(text, start));
        if (!last.valid || start + last.length != text.size() || !is_blank(last.value, rule)) {
            break;
        }
        text.remove_suffix(last.length);
    }
    return text;
}

std::string_view system_of(const ChatTemplate& how, std::string_view system)
{
    return system.empty() ? how.default_system.view() : system;
}

} // namespace

Token special_token(const Tokenizer& tokenizer, std::string_view name, Arena& scratch)
{
    const ArenaScope scope(scratch);
    const size_t room = tokenizer.max_tokens(name.size());
    auto ids = scratch.alloc_array<Token>(room);
    if (!ids.ok()) {
        return kNoToken;
    }
    auto count = tokenizer.encode(name, BosRule::omit, {ids.value(), room}, scratch, SpecialText::parse);
    const bool found = count.ok() && count.value() == 1 && tokenizer.name(ids.value()[0]) == name;
    return found ? ids.value()[0] : kNoToken;
}

ChatTemplate template_of(const TemplateFamily& family, TemplateOrigin origin, const Tokenizer& tokenizer,
                         Arena& scratch)
{
    ChatTemplate how;
    how.family = &family;
    how.origin = origin;
    how.default_system = family.default_system;
    how.date = kDate;
    if (family.name == "llama2" && tokenizer.bos() != kNoToken) {
        how.bos = BosPlace::each_turn;
    } else if (file_wants_bos(tokenizer, scratch)) {
        how.bos = BosPlace::front;
    }
    return how;
}

ChatTemplate recognise_template(std::string_view jinja, std::string_view today, const Tokenizer& tokenizer,
                                Arena& scratch)
{
    const TemplateFamily* family = recognise_family(jinja);
    if (family == nullptr) {
        const bool chatml = special_token(tokenizer, "<|im_start|>", scratch) != kNoToken;
        return template_of(chatml ? *find_template_family("chatml") : raw_family(), TemplateOrigin::fallback, tokenizer,
                           scratch);
    }
    ChatTemplate how = template_of(*family, TemplateOrigin::recognised, tokenizer, scratch);
    const auto bos = tokenizer.name(tokenizer.bos());
    how.bos = BosPlace::none;
    if (has(jinja, "bos_token + '[INST]") || has(jinja, "bos_token + \"[INST]")) {
        how.bos = BosPlace::each_turn;
    } else if (has(jinja, "bos_token") || (!bos.empty() && has(jinja, bos))) {
        how.bos = BosPlace::front;
    }
    if (!family->default_system.empty()) {
        how.default_system = default_system_of(jinja);
    }
    if (has(jinja, "strftime_now") && !today.empty()) {
        how.date = today;
    }
    return how;
}

std::string_view without_thoughts(const TemplateFamily& family, std::string_view answer)
{
    constexpr std::string_view kEnd = "</think>";
    const size_t end = answer.rfind(kEnd);
    if (end == std::string_view::npos) {
        return answer;
    }
    answer = tail(answer, end + kEnd.size());
    return family.keeps_breaks ? answer : tail(answer, std::min(answer.find_first_not_of('\n'), answer.size()));
}

// --- prompts ---------------------------------------------------------------------------------------------------------

void Prompt::clear()
{
    m_text.clear();
    m_typed.clear();
    m_breaks.clear();
}

Result<void> Prompt::put(std::string_view structure)
{
    const size_t at = m_text.size();
    // Doubled: Vec reserves what it is asked for, and prompts are put together from little pieces.
    if (at + structure.size() > m_text.capacity()) {
        TRY(m_text.reserve(std::max(2 * m_text.capacity(), at + structure.size())));
    }
    TRY(m_text.resize(at + structure.size()));
    std::copy(structure.begin(), structure.end(), m_text.data() + at);
    return success();
}

Result<void> Prompt::put_typed(std::string_view text, TrimRule trim)
{
    text = trimmed(text, trim);
    const size_t at = m_text.size();
    TRY(put(text));
    return text.empty() ? success() : m_typed.push({at, m_text.size()});
}

Result<void> Prompt::pattern(const ChatTemplate& how, std::string_view pattern, std::string_view system,
                             std::string_view text, TrimRule trim_text)
{
    while (!pattern.empty()) {
        const size_t brace = std::min(pattern.find('{'), pattern.size());
        TRY(put(head(pattern, brace)));
        pattern = tail(pattern, brace);
        const size_t end = pattern.find('}');
        const auto field = head(pattern, end == std::string_view::npos ? 0 : end + 1);
        if (field == "{text}") {
            TRY(put_typed(text, trim_text));
        } else if (field == "{system}") {
            TRY(put_typed(system, how.family->trim_system));
        } else if (field == "{eos}") {
            TRY(put_break(BreakKind::eos));
        } else if (field == "{date}") {
            TRY(put(how.date));
        }
        pattern = tail(pattern, field.size());
    }
    return success();
}

Result<void> Prompt::front(const ChatTemplate& how, std::string_view system)
{
    const TemplateFamily& family = *how.family;
    const auto said = system_of(how, system);
    if (family.is_raw()) {
        if (!said.empty()) {
            TRY(put_break(BreakKind::file_bos));
            TRY(put_typed(said, TrimRule::none));
        }
        return success();
    }
    if (how.bos != BosPlace::none) {
        TRY(put_break(BreakKind::bos));
    }
    return said.empty() && !family.always_system ? success() : pattern(how, family.system, said, {}, TrimRule::none);
}

Result<void> Prompt::user(const ChatTemplate& how, std::string_view text, bool is_first, std::string_view system)
{
    const TemplateFamily& family = *how.family;
    if (family.is_raw()) {
        TRY(put_break(BreakKind::file_bos));
        return put_typed(text, TrimRule::none);
    }
    if (is_first && !family.joined.empty() && !system_of(how, system).empty()) {
        return pattern(how, family.joined, {}, text, family.trim_joined);
    }
    if (!is_first) {
        TRY(put(family.gap));
        if (how.bos == BosPlace::each_turn) {
            TRY(put_break(BreakKind::bos));
        }
    }
    return pattern(how, family.user, {}, text, family.trim_user);
}

Result<void> Prompt::open(const ChatTemplate& how) { return put(how.family->open); }

Result<void> Prompt::thought(const ChatTemplate& how) { return put(how.family->thought); }

Result<void> Prompt::answer(const ChatTemplate& how, std::string_view text)
{
    const TemplateFamily& family = *how.family;
    TRY(put(family.lead));
    return put_typed(family.drops_thoughts ? without_thoughts(family, text) : text, family.trim_answer);
}

Result<void> Prompt::close(const ChatTemplate& how) { return pattern(how, how.family->close, {}, {}, TrimRule::none); }

uint64_t Prompt::max_tokens(const Tokenizer& tokenizer) const
{
    uint64_t sum = m_breaks.size();
    size_t at = 0;
    for (const Break& next : m_breaks) {
        sum += tokenizer.max_tokens(next.at - at);
        at = next.at;
    }
    return sum + tokenizer.max_tokens(m_text.size() - at);
}

void Prompt::print(const Tokenizer& tokenizer, void* context,
                   void (*write)(void* context, std::string_view piece)) const
{
    size_t at = 0;
    for (const Break& next : m_breaks) {
        write(context, head(tail(text(), at), next.at - at));
        if (next.kind != BreakKind::file_bos) {
            write(context, tokenizer.name(next.kind == BreakKind::eos ? tokenizer.eos() : tokenizer.bos()));
        }
        at = next.at;
    }
    write(context, tail(text(), at));
}

Result<size_t> Prompt::encode(const Tokenizer& tokenizer, TextStart start, std::span<Token> out, Arena& scratch) const
{
    const ArenaScope scope(scratch);
    const std::span<TextRange> typed{TRY(scratch.alloc_array<TextRange>(m_typed.size())), m_typed.size()};
    const bool wants_bos = file_wants_bos(tokenizer, scratch);
    size_t count = 0;
    size_t at = 0;
    size_t next_typed = 0;
    for (size_t i = 0; i <= m_breaks.size(); ++i) {
        const size_t end = i < m_breaks.size() ? m_breaks[i].at : m_text.size();
        size_t typed_count = 0;
        for (; next_typed < m_typed.size() && m_typed[next_typed].end <= end; ++next_typed) {
            typed[typed_count++] = {m_typed[next_typed].begin - at, m_typed[next_typed].end - at};
        }
        const MarkedText run{head(tail(text(), at), end - at), typed.first(typed_count)};
        if (end > at) {
            count += TRY(tokenizer.encode_marked(run, start, out.subspan(count), scratch));
        }
        at = end;
        if (i == m_breaks.size()) {
            break;
        }
        const BreakKind kind = m_breaks[i].kind;
        const Token token = kind == BreakKind::eos ? tokenizer.eos() : tokenizer.bos();
        if (token != kNoToken && (kind != BreakKind::file_bos || wants_bos)) {
            out[count++] = token;
        }
        start = TextStart::fresh;
    }
    return count;
}

} // namespace llmk
