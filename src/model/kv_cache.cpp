// SPDX-License-Identifier: MIT
#include "model/kv_cache.h"

namespace llmk {

namespace {

void copy_f32(float* out, const uint8_t* blocks, size_t n) { __builtin_memcpy(out, blocks, n * sizeof(float)); }
void copy_f32(uint8_t* out, const float* x, size_t n) { __builtin_memcpy(out, x, n * sizeof(float)); }

struct KvTypeRow {
    KvType type;
    std::string_view name;
    djiblas::BlockShape block;
    djiblas::Attention KernelSet::*attention;
    djiblas::Dequantize KernelSet::*unpack; ///< null: as it is
    djiblas::PackValues KernelSet::*pack;   ///< likewise
};

/// In the order of KvType.
constexpr KvTypeRow kTypes[kKvTypes] = {
    {KvType::f16, "f16", djiblas::kBlockF16, &KernelSet::attention_f16, &KernelSet::dequantize_f16,
     &KernelSet::pack_f16},
    {KvType::f32, "f32", {1, sizeof(float)}, &KernelSet::attention_f32, nullptr, nullptr},
    {KvType::q8_0, "q8_0", djiblas::kBlockQ80, &KernelSet::attention_q8_0, &KernelSet::dequantize_q8_0,
     &KernelSet::pack_q8_0},
};

constexpr bool in_order()
{
    for (size_t i = 0; i < kKvTypes; ++i) {
        if (static_cast<size_t>(kTypes[i].type) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order());

const KvTypeRow& row_of(KvType type) { return kTypes[static_cast<size_t>(type)]; }

} // namespace

std::string_view kv_type_name(KvType type) { return row_of(type).name; }

std::optional<KvType> parse_kv_type(std::string_view name)
{
    for (const KvTypeRow& row : kTypes) {
        if (equal_ignore_case(name, row.name)) {
            return row.type;
        }
    }
    return {};
}

KvType usable_kv_type(const ModelDesc& desc, KvType wanted)
{
    return desc.head_dim % row_of(wanted).block.values == 0 ? wanted : KvType::f16;
}

CheckedSize KvCache::bytes(const ModelDesc& desc, KvType type, uint64_t context)
{
    const djiblas::BlockShape block = row_of(type).block;
    return CheckedSize(desc.block_count) * context * desc.head_count_kv * (desc.head_dim / block.values) *
           (2 * block.bytes);
}

KvCache KvCache::shaped(const ModelDesc& desc, KvType type, uint64_t context)
{
    const djiblas::BlockShape block = row_of(type).block;
    KvCache cache;
    cache.type = type;
    cache.layers = desc.block_count;
    cache.heads = desc.head_count_kv;
    cache.head_dim = desc.head_dim;
    cache.context = context;
    cache.row_bytes = desc.head_dim / block.values * block.bytes;
    return cache;
}

void KvCache::store(const KernelSet& kernels, size_t layer, size_t position, size_t count, const float* new_keys,
                    const float* new_values) const
{
    for (size_t head = 0; head < heads; ++head) {
        uint8_t* const key_rows = key(layer, head) + position * row_bytes;
        uint8_t* const value_rows = value(layer, head) + position * row_bytes;
        for (size_t i = 0; i < count; ++i) {
            const size_t at = (i * heads + head) * head_dim;
            pack(kernels, key_rows + i * row_bytes, new_keys + at);
            pack(kernels, value_rows + i * row_bytes, new_values + at);
        }
    }
}

void KvCache::unpack(const KernelSet& kernels, float* out, const uint8_t* row) const
{
    const auto unpack = row_of(type).unpack;
    (unpack == nullptr ? static_cast<djiblas::Dequantize>(copy_f32) : kernels.*unpack)(out, row, head_dim);
}

void KvCache::pack(const KernelSet& kernels, uint8_t* row, const float* in) const
{
    const auto pack = row_of(type).pack;
    (pack == nullptr ? static_cast<djiblas::PackValues>(copy_f32) : kernels.*pack)(row, in, head_dim);
}

djiblas::Attention KvCache::attention(const KernelSet& kernels) const { return kernels.*row_of(type).attention; }

void KvCache::copy(size_t layer, size_t from, size_t to, size_t count) const
{
    for (size_t head = 0; head < heads; ++head) {
        for (uint8_t* const rows : {key(layer, head), value(layer, head)}) {
            __builtin_memmove(rows + to * row_bytes, rows + from * row_bytes, count * row_bytes);
        }
    }
}

void KvCache::copy(size_t from, size_t to, size_t count) const
{
    for (size_t layer = 0; layer < layers; ++layer) {
        copy(layer, from, to, count);
    }
}

} // namespace llmk
