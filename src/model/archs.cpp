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

void KvCache::copy(size_t from, size_t to, size_t count) const
{
    for (size_t layer = 0; layer < layers; ++layer) {
        for (float* const rows : {key(layer), value(layer)}) {
            __builtin_memmove(rows + to * kv_dim, rows + from * kv_dim, count * kv_dim * sizeof(float));
        }
    }
}

CheckedSize KvCache::bytes(const ModelDesc& desc, uint64_t context)
{
    return CheckedSize(desc.block_count) * context * desc.head_count_kv * desc.head_dim * (2 * sizeof(float));
}

Tensor Model::tensor(TensorRole role, uint32_t layer) const
{
    for (const TensorDesc& entry : desc.tensors) {
        if (entry.role == role && entry.layer == layer) {
            return {entry.data, entry.type, entry.rows, entry.cols, desc.group_size};
        }
    }
    return {};
}

} // namespace llmk
