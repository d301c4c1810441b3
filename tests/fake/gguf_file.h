// SPDX-License-Identifier: MIT
//
// GGUF files made in memory, well-formed unless a test wants them otherwise. Writes bytes only: knows nothing of the
// code under test.
#pragma once

#include "fake/tiny_model.h"

#include <cstring>

namespace llmk {

/// Numbers of the value types.
enum GgufType : uint32_t {
    kGgufU8,
    kGgufI8,
    kGgufU16,
    kGgufI16,
    kGgufU32,
    kGgufI32,
    kGgufF32,
    kGgufBool,
    kGgufString,
    kGgufArray,
    kGgufU64,
    kGgufI64,
    kGgufF64,
};

template <class T> std::string raw(T value)
{
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T)); // the hosts are little-endian, as the files are
    return bytes;
}
inline std::string gguf_text(const std::string& text) { return raw<uint64_t>(text.size()) + text; }
inline std::string gguf_array(GgufType element, uint64_t count, const std::string& elements)
{
    return raw<uint32_t>(element) + raw(count) + elements;
}

struct GgufFile {
    struct Pair {
        std::string key;
        uint32_t type;
        std::string value;
    };
    struct Tensor {
        std::string name;
        std::vector<uint64_t> dimensions; ///< the row's length first
        uint32_t type = 0;
        std::string data;
    };

    std::string magic = "GGUF";
    uint32_t version = 3;
    uint64_t alignment = 32;   ///< written as general.alignment unless 32
    uint64_t more_tensors = 0; ///< that the header claims
    uint64_t more_pairs = 0;
    std::vector<Pair> pairs;
    std::vector<Tensor> tensors;

    void set(const std::string& key, uint32_t type, const std::string& value)
    {
        for (Pair& pair : pairs) {
            if (pair.key == key) {
                pair = {key, type, value};
                return;
            }
        }
        pairs.push_back({key, type, value});
    }
    void u32(const std::string& key, uint32_t value) { set(key, kGgufU32, raw(value)); }
    void f32(const std::string& key, float value) { set(key, kGgufF32, raw(value)); }
    void boolean(const std::string& key, bool value) { set(key, kGgufBool, raw<uint8_t>(value)); }
    void text(const std::string& key, const std::string& value) { set(key, kGgufString, gguf_text(value)); }
    void remove(const std::string& key)
    {
        std::erase_if(pairs, [&](const Pair& pair) { return pair.key == key; });
    }
    Tensor& tensor(const std::string& name);
    void remove_tensor(const std::string& name)
    {
        std::erase_if(tensors, [&](const Tensor& each) { return each.name == name; });
    }

    /// Everything in front of the tensor data, padding included.
    std::string header() const;
    std::string bytes() const;
};

/// The same model in parts, as gguf-split writes them: the metadata in the first one, so many tensors in each.
std::vector<GgufFile> split_gguf(const GgufFile& whole, const std::vector<size_t>& tensor_counts);
/// "NAME-00001-of-00003.gguf"
std::string shard_name(const std::string& name, size_t number, size_t count);
/// Puts them on a volume under their names; `name` may have a folder in front.
void add_shards(FakePlatform& platform, const std::string& name, const std::vector<GgufFile>& shards);

/// A tiny llama2.c model (version 0 or 1) as GGUF: the same weights in float32, and its tokenizer's vocabulary.
GgufFile tiny_gguf(const TinyShape& shape = {});

} // namespace llmk
