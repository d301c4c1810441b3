// SPDX-License-Identifier: MIT
//
// Model files from anywhere: describing one never breaks, and what is accepted adds up.
#include "fake/fake_platform.h"
#include "format/formats.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    llmk::FakePlatform platform;
    platform.add_file("m.bin", {reinterpret_cast<const char*>(data), size});
    auto described = llmk::describe_model(platform, "m.bin");
    if (!described.ok()) {
        const auto sentence = described.error().message.view();
        if (sentence.empty() || sentence.find("m.bin") == std::string_view::npos) {
            std::abort();
        }
        return 0;
    }
    const llmk::ModelDesc& desc = described.value();
    for (const llmk::TensorDesc& tensor : desc.tensors) {
        if (tensor.offset_bytes > size || tensor.size_bytes > size - tensor.offset_bytes) {
            std::abort();
        }
    }
    return 0;
}
