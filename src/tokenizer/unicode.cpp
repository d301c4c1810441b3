// SPDX-License-Identifier: MIT
#include "tokenizer/unicode.h"

#include "tokenizer/unicode_tables.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

// Hangul syllables are composed by arithmetic (Unicode standard, section 3.12).
constexpr char32_t kSyllables = 0xAC00;
constexpr char32_t kLeads = 0x1100;
constexpr char32_t kVowels = 0x1161;
constexpr char32_t kTails = 0x11A7;
constexpr uint32_t kLeadCount = 19;
constexpr uint32_t kVowelCount = 21;
constexpr uint32_t kTailCount = 28;
constexpr uint32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

/// No character below composes with anything before it, or is anything but itself in form C.
constexpr char32_t kFirstThatChanges = 0x300;
/// Code points that one byte of a text can become: the three of U+01D5, which takes two.
constexpr uint64_t decomposed_count(uint64_t bytes) { return bytes + bytes / 2 + 1; }

constexpr uint32_t kCodeBits = 21;
constexpr uint32_t kCodeMask = (1u << kCodeBits) - 1;
/// A byte that is no UTF-8, in the place of a code point.
constexpr uint32_t kRawByte = 0x1FFF00;

uint32_t run_value(std::span<const uint32_t> runs, char32_t value, uint32_t bits)
{
    const uint32_t beyond = ((static_cast<uint32_t>(value) + 1) << bits) - 1;
    const auto after = std::upper_bound(runs.begin(), runs.end(), beyond);
    return *(after - 1) & ((1u << bits) - 1);
}

uint32_t code_of(uint64_t row) { return static_cast<uint32_t>(row >> 42); }
uint32_t first_of(uint64_t row) { return static_cast<uint32_t>(row >> 21) & kCodeMask; }
uint32_t second_of(uint64_t row) { return static_cast<uint32_t>(row) & kCodeMask; }

/// A code point with its combining class above kCodeBits, so that neither is looked up twice.
uint32_t with_class(uint32_t code)
{
    return code | static_cast<uint32_t>(code >= kRawByte ? 0 : combining_class(code)) << kCodeBits;
}

/// Appends the full canonical decomposition.
void decompose(uint32_t code, uint32_t* out, size_t& count)
{
    if (code - kSyllables < kSyllableCount) {
        const uint32_t index = code - kSyllables;
        out[count++] = kLeads + index / (kVowelCount * kTailCount);
        out[count++] = kVowels + index % (kVowelCount * kTailCount) / kTailCount;
        if (index % kTailCount != 0) {
            out[count++] = kTails + index % kTailCount;
        }
        return;
    }
    const auto found = std::lower_bound(kDecompositions.begin(), kDecompositions.end(), uint64_t{code} << 42);
    if (found == kDecompositions.end() || code_of(*found) != code) {
        out[count++] = with_class(code);
        return;
    }
    decompose(first_of(*found), out, count); // only the first part decomposes further, three deep at most
    if (second_of(*found) != 0) {
        out[count++] = with_class(second_of(*found));
    }
}

/// The composite of two code points, or 0.
uint32_t compose(uint32_t first, uint32_t second)
{
    if (first - kLeads < kLeadCount && second - kVowels < kVowelCount) {
        return kSyllables + ((first - kLeads) * kVowelCount + second - kVowels) * kTailCount;
    }
    if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTailCount == 0 &&
        second - kTails - 1 < kTailCount - 1) {
        return first + second - kTails;
    }
    constexpr uint64_t kPairMask = (uint64_t{1} << 42) - 1;
    const uint64_t pair = uint64_t{first} << 21 | second;
    const auto found = std::lower_bound(kCompositions.begin(), kCompositions.end(), pair,
                                        [](uint16_t i, uint64_t p) { return (kDecompositions[i] & kPairMask) < p; });
    const bool there = found != kCompositions.end() && (kDecompositions[*found] & kPairMask) == pair;
    return there ? code_of(kDecompositions[*found]) : 0;
}

/// Sorts by combining class, stably. By counting: a text may be one long run of marks.
void order_marks(std::span<uint32_t> marks, uint32_t* spare)
{
    if (marks.size() < 2) {
        return;
    }
    uint32_t counts[256] = {};
    for (const uint32_t mark : marks) {
        ++counts[mark >> kCodeBits];
    }
    uint32_t start = 0;
    for (uint32_t& count : counts) {
        start += count;
        count = start - count;
    }
    for (const uint32_t mark : marks) {
        spare[counts[mark >> kCodeBits]++] = mark;
    }
    std::copy_n(spare, marks.size(), marks.data());
}

/// Composes in place what can be (annex 15's algorithm: a mark combines with the last starter unless something of its
/// class or higher stands between) and returns how many code points are left.
size_t compose_all(std::span<uint32_t> codes)
{
    size_t kept = 0;
    size_t starter = 0;
    bool have_starter = false;
    for (const uint32_t next : codes) {
        const uint32_t next_class = next >> kCodeBits;
        if (have_starter) {
            const uint32_t last_class = codes[kept - 1] >> kCodeBits;
            const bool blocked = starter + 1 < kept && (last_class == 0 || last_class >= next_class);
            const uint32_t composite = blocked ? 0 : compose(codes[starter], next & kCodeMask);
            if (composite != 0) {
                codes[starter] = composite;
                continue;
            }
        }
        if (next_class == 0) {
            starter = kept;
            have_starter = true;
        }
        codes[kept++] = next;
    }
    return kept;
}

} // namespace

CharClass char_class(char32_t value) { return static_cast<CharClass>(run_value(kClassRuns, value, 4)); }

uint8_t combining_class(char32_t value) { return static_cast<uint8_t>(run_value(kCombiningRuns, value, 8)); }

uint64_t nfc_scratch_bytes(uint64_t bytes)
{
    return 2 * decomposed_count(bytes) * sizeof(uint32_t) + 2 * Arena::kAlignment;
}

bool nfc_may_change(std::string_view text)
{
    constexpr uint8_t kLead = 0xC0 | (kFirstThatChanges >> 6);
    return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) >= kLead; });
}

Result<std::string_view> nfc(std::string_view text, char* out, Arena& scratch)
{
    const ArenaScope scope(scratch);
    auto* const codes = TRY(scratch.alloc_array<uint32_t>(decomposed_count(text.size())));
    auto* const spare = TRY(scratch.alloc_array<uint32_t>(decomposed_count(text.size())));
    size_t count = 0;
    for (std::string_view rest = text; !rest.empty();) {
        const Utf8Char c = utf8_decode(rest);
        if (c.valid) {
            decompose(c.value, codes, count);
        }
        for (size_t i = 0; !c.valid && i < c.length; ++i) {
            codes[count++] = kRawByte | static_cast<uint8_t>(rest[i]);
        }
        rest.remove_prefix(c.length);
    }
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && codes[end] >> kCodeBits != 0) {
            ++end;
        }
        order_marks({codes + i, end - i}, spare);
        i = end + 1;
    }
    count = compose_all({codes, count});
    TextWriter writer(out, nfc_max_bytes(text.size()));
    for (size_t i = 0; i < count; ++i) {
        const uint32_t code = codes[i] & kCodeMask;
        if (code >= kRawByte) {
            writer.put(static_cast<char>(code & 0xFF));
        } else {
            utf8_encode(writer, code);
        }
    }
    return writer.view();
}

} // namespace llmk
