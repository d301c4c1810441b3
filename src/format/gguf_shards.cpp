// SPDX-License-Identifier: MIT
#include "format/gguf_shards.h"

#include "format/gguf.h"
#include "format/gguf_tensors.h"

namespace llmk::gguf {

namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kEnding = ".gguf";
/// "-00001-of-00003.gguf"
constexpr size_t kSuffix = 1 + kDigits + kOf.size() + kDigits + kEnding.size();

constexpr std::string_view kNumberKey = "split.no";
constexpr std::string_view kCountKey = "split.count";
constexpr std::string_view kTensorsKey = "split.tensors.count";

/// "is 2", or "is missing".
Text<40> said(const std::optional<uint64_t>& value)
{
    return value ? Text<40>("is {}", *value) : Text<40>("is missing");
}

Result<uint64_t> all_tensors(const Metadata& metadata, std::string_view path)
{
    const auto count = TRY(metadata.integer(kTensorsKey));
    if (!count) {
        return fail(Status::bad_format, "{}: '{}' is missing from a part of a split model", path, kTensorsKey);
    }
    return *count;
}

/// Other parts have no keys of the architecture. What they have must be the first one's.
Result<void> check_same_model(const Metadata& metadata, std::string_view path, const ModelDesc& desc, uint64_t tensors)
{
    const auto others = TRY(metadata.integer(kTensorsKey));
    if (others && *others != tensors) {
        return fail(Status::bad_format, "{}: '{}' is {}, that of part 1 {}; it belongs to another model", path,
                    kTensorsKey, *others, tensors);
    }
    const auto architecture = TRY(metadata.text("general.architecture"));
    if (architecture && printable(*architecture).view() != desc.architecture.view()) {
        return fail(Status::bad_format,
                    "{}: 'general.architecture' is '{}', that of part 1 '{}'; it belongs to another "
                    "model",
                    path, printable(*architecture), desc.architecture);
    }
    return success();
}

} // namespace

std::optional<ShardName> shard_of(std::string_view path)
{
    if (file_name(path).size() <= kSuffix || !ends_with_ignore_case(path, kEnding)) {
        return std::nullopt;
    }
    const auto suffix = tail(path, path.size() - kSuffix);
    const auto number = parse_u64(head(tail(suffix, 1), kDigits));
    const auto count = parse_u64(head(tail(suffix, 1 + kDigits + kOf.size()), kDigits));
    const bool parted = suffix[0] == '-' && equal_ignore_case(head(tail(suffix, 1 + kDigits), kOf.size()), kOf);
    if (!parted || !number || !count || *number == 0 || *number > *count) {
        return std::nullopt;
    }
    return ShardName{static_cast<uint32_t>(*number), static_cast<uint32_t>(*count)};
}

Text<384> shard_path(std::string_view path, uint32_t number)
{
    const size_t at = path.size() - kSuffix + 1;
    return Text<384>("{}{:05}{}", head(path, at), number, tail(path, at + kDigits));
}

Text<384> model_name(std::string_view path)
{
    const auto name = file_name(path);
    if (!shard_of(name)) {
        return Text<384>(name);
    }
    return Text<384>("{}{}", head(name, name.size() - kSuffix), tail(name, name.size() - kEnding.size()));
}

Error missing_shard(std::string_view path, ShardName shard)
{
    return fail(Status::not_found, "{}: this file is missing; the model is in {} files, which must lie in one folder",
                path, shard.count);
}

Result<void> check_split(const Metadata& metadata, std::string_view path)
{
    const auto number = TRY(metadata.integer(kNumberKey));
    const auto count = TRY(metadata.integer(kCountKey));
    const auto name = shard_of(path);
    if (!name || name->count == 1) {
        if (count.value_or(0) > 1) {
            return fail(Status::bad_format,
                        "{}: '{}' is {}: this is part {} of a model in {} files, whose names must end in "
                        "-00001-of-{:05}.gguf and so on",
                        path, kCountKey, *count, number.value_or(0) + 1, *count, *count);
        }
        return success();
    }
    if (count != name->count) {
        return fail(Status::bad_format,
                    "{}: '{}' {}, but the name says {} files; it belongs to another model, or was renamed", path,
                    kCountKey, said(count), name->count);
    }
    if (number != name->number - 1) {
        return fail(Status::bad_format, "{}: '{}' {}, expected {} in a file that is named as part {}; it was renamed",
                    path, kNumberKey, said(number), name->number - 1, name->number);
    }
    return success();
}

Result<void> read_shards(Platform& platform, const Metadata& metadata, uint64_t tensor_count, NameTable& names,
                         ModelDesc& desc)
{
    const auto name = shard_of(desc.path);
    if (!name || name->count == 1) {
        return success();
    }
    const uint64_t wanted = TRY(all_tensors(metadata, desc.path));
    for (uint32_t number = 2; number <= name->count; ++number) {
        const auto path = shard_path(desc.path, number);
        auto opened = ModelFile::open(platform, path);
        if (!opened.ok()) {
            const bool missing = opened.error().status == Status::not_found;
            return missing ? missing_shard(path, *name) : opened.error();
        }
        const ModelFile file = opened.take();
        if (!has_magic(file.head(), file.size_bytes())) {
            return fail(Status::bad_format, "{}: not a GGUF file, though its name says that it is part {} of {}", path,
                        number, name->count);
        }
        FileReader reader(file, "GGUF");
        const Header header = TRY(read_header(reader));
        const Metadata own = TRY(Metadata::read(reader, header.pair_count));
        TRY(check_split(own, path));
        TRY(check_same_model(own, path, desc, wanted));
        const uint64_t alignment = TRY(read_alignment(own, path));
        TRY(read_tensors(reader, {number - 1, header.tensor_count, alignment}, names, desc));
        tensor_count += header.tensor_count;
        desc.file_size_bytes += file.size_bytes();
    }
    desc.shard_count = name->count;
    if (tensor_count != wanted) {
        return fail(Status::bad_format,
                    "{}: '{}' is {}, but its {} files hold {} tensors; one of them belongs to another model", desc.path,
                    kTensorsKey, wanted, name->count, tensor_count);
    }
    return success();
}

} // namespace llmk::gguf
