// SPDX-License-Identifier: MIT
//
// The Unicode data, as scripts/make_unicode_tables.py packs them; the .cpp files it writes say of which version.
// src/tokenizer/unicode.h looks things up in them; nobody else does.
#pragma once

#include <cstdint>
#include <span>

namespace llmk {

/// By code point, `start << 4 | class`: a run goes up to the next one's start. Classes are CharClass.
extern const std::span<const uint32_t> kClassRuns;
/// By code point, `start << 8 | canonical combining class`, runs likewise.
extern const std::span<const uint32_t> kCombiningRuns;
/// By code point, `code << 42 | first << 21 | second`: canonical decompositions, one step deep, without Hangul
/// syllables; `second` is 0 where there is one part only.
extern const std::span<const uint64_t> kDecompositions;
/// Indices of kDecompositions, by (first, second): the pairs that compose.
extern const std::span<const uint16_t> kCompositions;

} // namespace llmk
