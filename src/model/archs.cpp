// SPDX-License-Identifier: MIT
//
// The table of architectures, and what they share.
#include "model/archs.h"

namespace llmk {

namespace {
constexpr const Architecture* kArchitectures[] = {&kGemma2, &kGemma3, &kGpt2, &kLlama, &kPhi3, &kQwen2, &kQwen3};
} // namespace

std::span<const Architecture* const> architectures() { return kArchitectures; }

Result<const Architecture*> find_architecture(std::string_view name)
{
    Text<128> known;
    for (const Architecture* architecture : kArchitectures) {
        if (name == architecture->name) {
            return architecture;
        }
        format(known, "{}{}", known.size() == 0 ? "" : ", ", architecture->name);
    }
    return fail(Status::unsupported, "architecture '{}' is not known; known are: {}", name, known);
}

CheckedSize KvCache::bytes(const ModelDesc& desc, uint64_t context)
{
    return CheckedSize(desc.block_count) * context * desc.head_count_kv * desc.head_dim * (2 * sizeof(float));
}

Tensor Model::tensor(TensorRole role, uint32_t layer) const
{
    for (const TensorDesc& entry : desc.tensors) {
        if (entry.role == role && entry.layer == layer) {
            return {entry.data, entry.type, entry.rows, entry.cols, desc.group_size, entry.panels};
        }
    }
    return {};
}

} // namespace llmk
