// SPDX-License-Identifier: MIT
//
// Keys and values of every position so far, packed. Owns their layout and how a row gets in and out; the arithmetic on
// them is the attention kernels'.
#pragma once

#include "cpu/kernels.h"
#include "format/model_desc.h"

namespace llmk {

/// How a KV cache packs the values of a head at a position.
enum class KvType : uint8_t {
    f16,  ///< IEEE binary16
    f32,  ///< as computed
    q8_0, ///< GGUF's blocks of 32 int8 with a binary16 scale
};
constexpr size_t kKvTypes = 3;

/// "f16", "f32", "q8_0": as typed in `kv=`.
std::string_view kv_type_name(KvType type);
/// In any case of letters; nothing for another word.
std::optional<KvType> parse_kv_type(std::string_view name);
/// `wanted`, or F16 where heads are no multiple of its block.
KvType usable_kv_type(const ModelDesc& desc, KvType wanted);

/// Of each layer and kv head, the keys of all positions lie one behind the other, so that a head's are one stream; so
/// do the values. A view: the session owns the memory.
struct KvCache {
    uint8_t* keys = nullptr;   ///< (layers, heads, context) rows; keys are stored after RoPE
    uint8_t* values = nullptr; ///< (layers, heads, context) rows
    KvType type = KvType::f32;
    size_t layers = 0;
    size_t heads = 0;    ///< of keys and values
    size_t head_dim = 0; ///< values of a row
    size_t context = 0;  ///< positions there is room for
    size_t row_bytes = 0;

    /// The row of position 0; those of the next follow.
    uint8_t* key(size_t layer, size_t head) const { return keys + (layer * heads + head) * context * row_bytes; }
    uint8_t* value(size_t layer, size_t head) const { return values + (layer * heads + head) * context * row_bytes; }

    /// Packs `count` positions from `position` on; `keys` and `values` are (count, heads, head_dim).
    void store(const KernelSet& kernels, size_t layer, size_t position, size_t count, const float* new_keys,
               const float* new_values) const;
    /// One row, unpacked.
    void unpack(const KernelSet& kernels, float* out, const uint8_t* row) const;
    void pack(const KernelSet& kernels, uint8_t* row, const float* in) const;
    /// The kernel that attends over rows of this type.
    djiblas::Attention attention(const KernelSet& kernels) const;
    /// Positions [from, from + count) are written over those at `to`, in one layer or in all.
    void copy(size_t layer, size_t from, size_t to, size_t count) const;
    void copy(size_t from, size_t to, size_t count) const;

    /// Of `keys`, and of `values`; `type` is a usable one.
    static CheckedSize bytes(const ModelDesc& desc, KvType type, uint64_t context);
    /// A cache of that size, still without memory.
    static KvCache shaped(const ModelDesc& desc, KvType type, uint64_t context);
};

} // namespace llmk
