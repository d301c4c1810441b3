// SPDX-License-Identifier: MIT
#include "engine/sampler.h"

#include <algorithm>

namespace llmk {

namespace {

// Minus infinity.
constexpr float kBanned = -__builtin_inff();

struct Probability {
    float p;
    Token token;
};

/// Falling probability; of equals the lower id first, as a stable sort leaves them.
bool more_likely(const Probability& a, const Probability& b) { return a.p > b.p || (a.p == b.p && a.token < b.token); }

void penalize_repeats(const SamplerSettings& settings, std::span<float> logits, std::span<const Token> history,
                      std::span<uint8_t> seen)
{
    const size_t window = std::min<size_t>(settings.repeat_window, history.size());
    const auto recent = history.subspan(history.size() - window);
    std::fill(seen.begin(), seen.end(), uint8_t{0});
    for (const Token token : recent) {
        if (token >= logits.size() || seen[token] != 0) {
            continue;
        }
        seen[token] = 1;
        float& logit = logits[token];
        logit = logit > 0.0f ? logit / settings.repeat_penalty : logit * settings.repeat_penalty;
    }
}

void ban_repeated_ngrams(uint32_t n, std::span<float> logits, std::span<const Token> history)
{
    const size_t prefix = n - 1;
    if (history.size() < n) {
        return;
    }
    const auto current = history.subspan(history.size() - prefix);
    for (size_t at = 0; at + prefix < history.size(); ++at) {
        if (std::equal(current.begin(), current.end(), history.begin() + static_cast<ptrdiff_t>(at))) {
            const Token next = history[at + prefix];
            if (next < logits.size()) {
                logits[next] = kBanned;
            }
        }
    }
}

Token argmax(std::span<const float> values)
{
    size_t best = 0;
    for (size_t i = 1; i < values.size(); ++i) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return static_cast<Token>(best);
}

/// The ids.size() largest logits come to the front, in the order of their ids.
void keep_top_k(std::span<float> logits, std::span<Token> ids, std::span<Probability> work)
{
    const std::span<Probability> top = work.first(ids.size());
    for (size_t i = 0; i < top.size(); ++i) {
        top[i] = {logits[i], static_cast<Token>(i)};
    }
    // A heap with the least likely of them in front: with the usual k few of a vocabulary's tokens ever come into it.
    std::make_heap(top.begin(), top.end(), more_likely);
    for (size_t i = top.size(); i < logits.size(); ++i) {
        if (logits[i] > top.front().p) {
            std::pop_heap(top.begin(), top.end(), more_likely);
            top.back() = {logits[i], static_cast<Token>(i)};
            std::push_heap(top.begin(), top.end(), more_likely);
        }
    }
    std::sort(top.begin(), top.end(), [](const auto& a, const auto& b) { return a.token < b.token; });
    for (size_t i = 0; i < top.size(); ++i) {
        logits[i] = top[i].p;
        ids[i] = top[i].token;
    }
}

/// Draws by the cumulative sum in the order of ids.
Token draw_in_order(std::span<const float> probabilities, float target)
{
    float sum = 0.0f;
    Token last = static_cast<Token>(probabilities.size() - 1);
    for (size_t i = 0; i < probabilities.size(); ++i) {
        sum += probabilities[i];
        if (target < sum) {
            return static_cast<Token>(i);
        }
    }
    // Rounding left the sum below the target: the last token that can be drawn at all.
    while (last > 0 && probabilities[last] == 0.0f) {
        --last;
    }
    return last;
}

Token draw_top_p(const SamplerSettings& settings, std::span<const float> probabilities, float coin,
                 std::span<Probability> work)
{
    // What is below this cannot be in the nucleus: leave it out before sorting.
    const float cutoff = (1.0f - settings.top_p) / static_cast<float>(probabilities.size() - 1);
    size_t count = 0;
    for (size_t i = 0; i < probabilities.size(); ++i) {
        if (probabilities[i] >= cutoff) {
            work[count++] = {probabilities[i], static_cast<Token>(i)};
        }
    }
    if (count == 0) { // a nucleus smaller than any one token of a flat distribution
        return argmax(probabilities);
    }
    std::sort(work.begin(), work.begin() + static_cast<ptrdiff_t>(count), more_likely);
    float sum = 0.0f;
    size_t last = count - 1;
    for (size_t i = 0; i < count; ++i) {
        sum += work[i].p;
        if (sum > settings.top_p) {
            last = i;
            break;
        }
    }
    if (settings.min_p > 0.0f) {
        const float least = settings.min_p * work[0].p;
        while (last > 0 && work[last].p < least) {
            sum -= work[last].p;
            --last;
        }
    }
    const float target = coin * sum;
    float reached = 0.0f;
    for (size_t i = 0; i <= last; ++i) {
        reached += work[i].p;
        if (target < reached) {
            return work[i].token;
        }
    }
    return work[last].token;
}

Token draw_min_p(float min_p, std::span<float> probabilities, float coin)
{
    const float least = min_p * probabilities[argmax(probabilities)];
    float sum = 0.0f;
    for (float& p : probabilities) {
        p = p < least ? 0.0f : p;
        sum += p;
    }
    return draw_in_order(probabilities, coin * sum);
}

/// Temperature to draw: which of these logits.
Token draw(const SamplerSettings& settings, std::span<float> logits, const KernelSet& kernels, RandomStream& random,
           std::span<Probability> work)
{
    for (float& logit : logits) {
        logit /= settings.temperature;
    }
    kernels.softmax(logits.data(), logits.size());
    const float coin = random.next_f32();
    if (settings.top_p > 0.0f && settings.top_p < 1.0f && logits.size() > 1) {
        return draw_top_p(settings, logits, coin, work);
    }
    return settings.min_p > 0.0f ? draw_min_p(settings.min_p, logits, coin) : draw_in_order(logits, coin);
}

/// Where the chain needs room.
struct WorkArea {
    std::span<Probability> work; ///< (vocab_size)
    std::span<Token> ids;        ///< (top_k), none where that leaves all
};

/// Top-k to draw, on logits that penalties and bans have been through.
Token choose(const SamplerSettings& settings, std::span<float> logits, const KernelSet& kernels, RandomStream& random,
             const WorkArea& area)
{
    if (settings.temperature == 0.0f) {
        return argmax(logits);
    }
    if (area.ids.empty()) {
        return draw(settings, logits, kernels, random, area.work);
    }
    keep_top_k(logits, area.ids, area.work);
    return area.ids[draw(settings, logits.first(area.ids.size()), kernels, random, area.work)];
}

} // namespace

SamplerSettings story_sampler()
{
    return {.temperature = 0.85f,
            .top_k = 80,
            .top_p = 0.95f,
            .min_p = 0.05f,
            .repeat_penalty = 1.15f,
            .repeat_window = 64,
            .no_repeat_ngram = 4,
            .loop_escape = true};
}

SamplerSettings chat_sampler()
{
    return {.temperature = 0.8f,
            .top_k = 40,
            .top_p = 0.95f,
            .min_p = 0.05f,
            .repeat_penalty = 1.0f,
            .repeat_window = 64,
            .no_repeat_ngram = 0,
            .loop_escape = true};
}

uint32_t RandomStream::next_u32()
{
    m_state ^= m_state >> 12;
    m_state ^= m_state << 25;
    m_state ^= m_state >> 27;
    return static_cast<uint32_t>((m_state * 0x2545F4914F6CDD1Dull) >> 32);
}

bool closes_a_loop(std::span<const Token> history, Token next)
{
    constexpr size_t kLongestPeriod = 64;
    constexpr size_t kFewestTimes = 3;
    constexpr size_t kFewestTokens = 12;
    const size_t length = history.size() + 1;
    const auto at = [&](size_t i) { return i == history.size() ? next : history[i]; };
    for (size_t period = 1; period <= kLongestPeriod; ++period) {
        const size_t times = std::max(kFewestTimes, (kFewestTokens + period - 1) / period);
        const size_t span = period * times;
        if (span > length) {
            continue;
        }
        size_t i = length - span;
        while (i + period < length && at(i) == at(i + period)) {
            ++i;
        }
        if (i + period == length) {
            return true;
        }
    }
    return false;
}

Result<Token> sample(const SamplerSettings& settings, const SampleInput& input, const KernelSet& kernels,
                     RandomStream& random, Arena& scratch)
{
    const ArenaScope scope(scratch);
    const size_t vocab = input.logits.size();
    WorkArea area = {{TRY(scratch.alloc_array<Probability>(vocab)), vocab}, {}};
    if (settings.top_k < vocab && settings.top_k > 0) {
        area.ids = {TRY(scratch.alloc_array<Token>(settings.top_k)), settings.top_k};
    }
    if (settings.repeat_penalty != 1.0f) {
        // The work area has room for the marks: it is not in use yet.
        penalize_repeats(settings, input.logits, input.history, {reinterpret_cast<uint8_t*>(area.work.data()), vocab});
    }
    if (settings.no_repeat_ngram > 0) {
        ban_repeated_ngrams(settings.no_repeat_ngram, input.logits, input.history);
    }
    std::span<float> kept;
    if (settings.loop_escape) {
        kept = {TRY(scratch.alloc_array<float>(vocab)), vocab};
        std::copy(input.logits.begin(), input.logits.end(), kept.begin());
    }
    Token token = choose(settings, input.logits, kernels, random, area);
    if (settings.loop_escape && closes_a_loop(input.answer, token)) {
        kept[token] = kBanned;
        token = choose(settings, kept, kernels, random, area);
    }
    return token;
}

} // namespace llmk
