// SPDX-License-Identifier: MIT
//
// Models in several GGUF files, as gguf-split (llama.cpp, tools/gguf-split) writes them: NAME-00001-of-00003.gguf holds
// the metadata, and each file its part of the tensors, which are described there and lie there. Owns the names, what
// the keys split.no (from 0), split.count and split.tensors.count must say, and the reading of all files but the first.
// Any part stands for the whole model; the first is its path.
#pragma once

#include "format/gguf_metadata.h"
#include "format/model_desc.h"

namespace llmk::gguf {

/// Which part a file is, by its name.
struct ShardName {
    uint32_t number = 1; ///< from 1
    uint32_t count = 1;
};

/// That of "NAME-00002-of-00003.gguf", in any letter case; nothing for other names and for numbers out of range.
std::optional<ShardName> shard_of(std::string_view path);
/// The path of another part: `path` with its number exchanged, letter case kept. `path` is that of a part.
Text<384> shard_path(std::string_view path, uint32_t number);
/// What a model is called: the file's name without its folder, and for a part without "-00001-of-00003".
Text<384> model_name(std::string_view path);

/// The sentence for a part that is not there (Status::not_found).
Error missing_shard(std::string_view path, ShardName shard);

/// Sees that split.no and split.count are those of the file's name. A file that is whole need not have them.
Result<void> check_split(const Metadata& metadata, std::string_view path);

/// Reads the tensors of parts 2 and up into `desc`, whose path is the first part's. `names` are those of the tensors of
/// the first part, of which there are `tensor_count`. Sees that the parts belong together: split.tensors.count is that
/// of all of them, and no tensor is in two. Adds the sizes to `desc.file_size_bytes`.
Result<void> read_shards(Platform& platform, const Metadata& metadata, uint64_t tensor_count, NameTable& names,
                         ModelDesc& desc);

} // namespace llmk::gguf
