// SPDX-License-Identifier: MIT
//
// A whole small file in memory: scripts, settings, vocabularies. Weights are read by src/model/loader.h.
#pragma once

#include "mem/vec.h"

namespace llmk {

/// The content of a file of at most `most` bytes. `what` is the file's kind, for the sentence that refuses a larger
/// one.
Result<Vec<uint8_t>> read_file(Platform& platform, std::string_view path, uint64_t most, std::string_view what);

/// Bytes as text; no check of what they are.
inline std::string_view as_text(const Vec<uint8_t>& bytes)
{
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace llmk
