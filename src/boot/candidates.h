// SPDX-License-Identifier: MIT
//
// Which files of a volume may be models, by name and place alone, and which of them a person means. Opens nothing:
// whether one can be loaded, and the sentence why not, is src/format's.
#pragma once

#include "llmk/platform.h"

namespace llmk {

inline constexpr std::string_view kModelFolder = "models";

struct Candidate {
    /// From the volume's root, as spelled there; the name is what follows the last '/'. Of a model in several files (as
    /// gguf-split names them) the first one's, be it there or not.
    Text<384> path;
    uint64_t size_bytes = 0;   ///< of all its files that are there
    bool is_directory = false; ///< named like a model: cannot be loaded, but a person should be told
    bool first_found = true;   ///< false while only other files of a split model were seen

    std::string_view name() const
    {
        const auto slash = path.view().rfind('/');
        return slash == std::string_view::npos ? path.view() : tail(path.view(), slash + 1);
    }
};

/// About 27 KiB: not for the stack.
struct CandidateList {
    static constexpr size_t kCapacity = 64;

    Candidate items[kCapacity];
    size_t count = 0;
    size_t left_out = 0; ///< found, but there was no room: the last ones by name, or a path longer than fits

    std::span<const Candidate> view() const { return {items, count}; }
};

/// True for names that models have: `*.gguf` and `*.bin` in any letter case, but not tokenizers (`tokenizer.bin`,
/// `tok512.bin`, `NAME.tok.bin`) and not dot-files (macOS leaves a `._model.gguf` beside each copy).
bool is_model_name(std::string_view name);

/// Lists the root and `models` of the volume in use, sorted by name without regard to letter case; hidden and system
/// files are passed over, and the files of a split model are one candidate. That there is no `models` is well.
Result<void> list_candidates(Platform& platform, CandidateList& list);

/// True when a person means the model at `path` by `wanted`: its path or its name, with or without the ending; letter
/// case and the kind of slash do not matter. A split model is named by any of its files, and by their name without the
/// numbers.
bool is_meant(std::string_view wanted, std::string_view path);

} // namespace llmk
