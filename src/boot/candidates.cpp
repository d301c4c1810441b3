// SPDX-License-Identifier: MIT
#include "boot/candidates.h"

#include "format/gguf_shards.h"

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

/// Keeps the list sorted; when it is full, the last by name goes. A split model is counted by its first file.
void insert(CandidateList& list, const Candidate& candidate)
{
    size_t at = list.count;
    while (at > 0 && comes_before(candidate, list.items[at - 1])) {
        --at;
    }
    const bool full = list.count == CandidateList::kCapacity;
    if (at == CandidateList::kCapacity) {
        list.left_out += candidate.first_found ? 1 : 0;
        return;
    }
    list.left_out += full && list.items[CandidateList::kCapacity - 1].first_found ? 1 : 0;
    list.count = std::min(list.count + 1, CandidateList::kCapacity);
    for (size_t i = list.count - 1; i > at; --i) {
        list.items[i] = list.items[i - 1];
    }
    list.items[at] = candidate;
}

/// Adds a file to the split model that it is a part of, if another part was seen.
bool join(CandidateList& list, const Candidate& part)
{
    for (Candidate& item : std::span(list.items, list.count)) {
        if (!item.is_directory && equal_ignore_case(item.path, part.path)) {
            item.size_bytes += part.size_bytes;
            item.first_found |= part.first_found;
            return true;
        }
    }
    return false;
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
        return;
    }
    const auto shard = gguf::shard_of(candidate.path);
    if (shard && shard->count > 1 && !candidate.is_directory) {
        candidate.first_found = shard->number == 1;
        candidate.path = gguf::shard_path(candidate.path, 1);
        if (join(list, candidate)) {
            return;
        }
    }
    insert(list, candidate);
}

/// "tok" and digits, as llama2.c names the tokenizers it trains.
bool is_numbered_tokenizer(std::string_view stem)
{
    constexpr std::string_view kStart = "tok";
    return stem.size() > kStart.size() && equal_ignore_case(head(stem, kStart.size()), kStart) &&
           tail(stem, kStart.size()).find_first_not_of("0123456789") == std::string_view::npos;
}

/// '/' between, none in front; of a split model its first file.
Text<384> plain_path(std::string_view path)
{
    while (path.starts_with('/') || path.starts_with('\\')) {
        path.remove_prefix(1);
    }
    Text<384> plain;
    for (const char c : path) {
        plain.put(c == '\\' ? '/' : c);
    }
    return gguf::shard_of(plain) ? gguf::shard_path(plain, 1) : plain;
}

/// As it is, or without its ending.
bool same_name(std::string_view wanted, std::string_view name)
{
    return equal_ignore_case(wanted, name) || equal_ignore_case(wanted, head(name, name.rfind('.')));
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

bool is_meant(std::string_view wanted, std::string_view path)
{
    const Text<384> meant = plain_path(wanted);
    const Text<384> file = plain_path(path);
    const Text<384> name = gguf::model_name(file);
    const Text<384> model("{}{}", folder_of(file), name);
    return same_name(meant, file) || same_name(meant, file_name(file)) || same_name(meant, name) ||
           same_name(meant, model);
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
