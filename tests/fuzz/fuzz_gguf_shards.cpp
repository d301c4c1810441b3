// SPDX-License-Identifier: MIT
//
// Two GGUF files from anywhere as the parts of one model: describing it never breaks, what is accepted lies within the
// files, and what is loaded from them is what they hold there.
#include "fake/fake_platform.h"
#include "fuzz/require.h"
#include "model/loader.h"

#include <cstring>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace llmk;

constexpr const char* kPaths[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"};
constexpr std::string_view kBoth = "m-0000";
/// More is not read into memory here.
constexpr uint64_t kMostWeights = 1u << 20;

std::string gguf_of(std::string_view rest)
{
    // The fuzzer need not find the magic and the version.
    std::string file = {'G', 'G', 'U', 'F', 3, 0, 0, 0};
    return file.append(rest);
}

void load(FakePlatform& platform, ModelDesc& desc, const std::string (&files)[2])
{
    Arena weights;
    if (tensor_bytes(desc) <= kMostWeights && accepted(read_weights(platform, weights, desc, 4096, {}), kBoth)) {
        for (const TensorDesc& tensor : desc.tensors) {
            require(std::memcmp(tensor.data, files[tensor.shard].data() + tensor.offset_bytes, tensor.size_bytes) == 0);
        }
        require(weights.broken_guard() == nullptr);
    }
    weights.release(platform);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    // Two bytes say how much of the rest is the first file.
    if (size < 2) {
        return 0;
    }
    const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
    const size_t cut = std::min<size_t>(data[0] + 256u * data[1], rest.size());
    const std::string files[2] = {gguf_of(rest.substr(0, cut)), gguf_of(rest.substr(cut))};
    FakePlatform platform;
    for (size_t i = 0; i < 2; ++i) {
        platform.add_file(kPaths[i], files[i]);
    }
    auto described = describe_model(platform, kPaths[1]);
    require(platform.open_files() == 0);
    if (!accepted(described, kBoth)) {
        return 0;
    }
    ModelDesc& desc = described.value();
    require(desc.shard_count == 2 && desc.file_size_bytes == files[0].size() + files[1].size());
    for (const TensorDesc& tensor : desc.tensors) {
        require(tensor.shard < 2 && tensor.offset_bytes <= files[tensor.shard].size() &&
                tensor.size_bytes <= files[tensor.shard].size() - tensor.offset_bytes);
    }
    if (!desc.tensors.empty()) {
        load(platform, desc, files);
    }
    auto inspected = inspect_model(platform, kPaths[0], {});
    if (accepted(inspected, kBoth)) {
        (void)fit_memory(platform, inspected.value(), 0).ok();
    }
    return 0;
}
