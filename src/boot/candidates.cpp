// SPDX-License-Identifier: MIT
#include "boot/candidates.h"

#include <algorithm>

namespace llmk {

namespace {

/// Byte order of the lower-case names; of equal names, of the paths.
bool comes_before(const Candidate& a, const Candidate& b)
{
    const auto left = a.name();
    const auto right = b.name();
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
        const auto x = static_cast<unsigned char>(to_lower(left[i]));
        const auto y = static_cast<unsigned char>(to_lower(right[i]));
        if (x != y) {
            return x < y;
        }
    }
    return left.size() != right.size() ? left.size() < right.size() : a.path.view() < b.path.view();
}

/// Keeps the list sorted; when it is full, the last by name goes.
void insert(CandidateList& list, const Candidate& candidate)
{
    size_t at = list.count;
    while (at > 0 && comes_before(candidate, list.items[at - 1])) {
        --at;
    }
    list.left_out += list.count == CandidateList::kCapacity ? 1 : 0;
    if (at == CandidateList::kCapacity) {
        return;
    }
    list.count = std::min(list.count + 1, CandidateList::kCapacity);
    for (size_t i = list.count - 1; i > at; --i) {
        list.items[i] = list.items[i - 1];
    }
    list.items[at] = candidate;
}

struct Visit {
    CandidateList& list;
    std::string_view folder;
};

void visit(void* context, const FileInfo& info)
{
    auto& [list, folder] = *static_cast<Visit*>(context);
    if (info.is_hidden || !is_model_name(info.name)) {
        return;
    }
    Candidate candidate;
    candidate.path = folder;
    if (!folder.empty()) {
        candidate.path.put('/');
    }
    candidate.path.put(info.name);
    candidate.size_bytes = info.size_bytes;
    candidate.is_directory = info.is_directory;
    if (candidate.path.truncated()) {
        ++list.left_out;
    } else {
        insert(list, candidate);
    }
}

/// "tok" and digits, as llama2.c names the tokenizers it trains.
bool is_numbered_tokenizer(std::string_view stem)
{
    constexpr std::string_view kStart = "tok";
    return stem.size() > kStart.size() && equal_ignore_case(head(stem, kStart.size()), kStart) &&
           tail(stem, kStart.size()).find_first_not_of("0123456789") == std::string_view::npos;
}

} // namespace

bool is_model_name(std::string_view name)
{
    constexpr std::string_view kBin = ".bin";
    if (name.starts_with('.')) {
        return false;
    }
    if (ends_with_ignore_case(name, ".gguf")) {
        return true;
    }
    return ends_with_ignore_case(name, kBin) && !equal_ignore_case(name, "tokenizer.bin") &&
           !ends_with_ignore_case(name, ".tok.bin") && !is_numbered_tokenizer(head(name, name.size() - kBin.size()));
}

Result<void> list_candidates(Platform& platform, CandidateList& list)
{
    list.count = 0;
    list.left_out = 0;
    Visit root{list, ""};
    TRY(platform.directory_list("", visit, &root));
    Visit folder{list, kModelFolder};
    auto result = platform.directory_list(kModelFolder, visit, &folder);
    // A file that is called "models" is as good as no folder of that name.
    const bool no_folder = !result.ok() && (result.error().status == Status::not_found ||
                                            result.error().status == Status::invalid_argument);
    return no_folder ? success() : Result<void>(std::move(result));
}

} // namespace llmk
