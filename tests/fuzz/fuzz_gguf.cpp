// SPDX-License-Identifier: MIT
//
// GGUF files from anywhere: describing one, checking it against its architecture and loading its vocabulary never
// breaks, and what is accepted lies within the file.
#include "fake/fake_platform.h"
#include "fuzz/require.h"
#include "model/loader.h"

#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace llmk;

constexpr const char* kPath = "m.gguf";

void load_tokenizer(FakePlatform& platform, const VocabularyDesc& desc)
{
    Arena arena;
    if (arena.add_extent(platform, LoadedTokenizer::bytes(desc)).ok()) {
        LoadedTokenizer tokenizer;
        (void)accepted(tokenizer.load(platform, desc, arena), kPath);
        require(arena.broken_guard() == nullptr);
    }
    arena.release(platform);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    FakePlatform platform;
    // The fuzzer need not find the magic and the version.
    std::string file = {'G', 'G', 'U', 'F', static_cast<char>(size > 0 && data[0] % 8 == 0 ? 2 : 3), 0, 0, 0};
    file.append(reinterpret_cast<const char*>(data), size);
    platform.add_file(kPath, file);
    auto described = describe_model(platform, kPath);
    if (!accepted(described, kPath)) {
        return 0;
    }
    const ModelDesc& desc = described.value();
    for (const TensorDesc& tensor : desc.tensors) {
        require(tensor.offset_bytes <= file.size() && tensor.size_bytes <= file.size() - tensor.offset_bytes);
    }
    if (desc.vocabulary.kind != VocabularyKind::none) {
        load_tokenizer(platform, desc.vocabulary);
    }
    auto inspected = inspect_model(platform, kPath, {});
    if (accepted(inspected, kPath)) {
        (void)fit_memory(platform, inspected.value(), 0).ok();
    }
    return 0;
}
