// SPDX-License-Identifier: MIT
#include "fake/tiny_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>

namespace llmk {

namespace {

template <class T> void put(std::string& out, T value)
{
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T)); // the hosts are little-endian, as the files are
    out.append(bytes, sizeof(T));
}

class Weights {
public:
    Weights(std::string& out, uint64_t seed, int group) : m_out(out), m_state(seed * 2 + 1), m_group(group) {}

    /// rows x cols values, about as large as keeps activations near one; the first `quiet` rows far smaller.
    void matrix(int rows, int cols, int quiet = 0)
    {
        std::vector<float> values;
        const float scale = 2.0f / std::sqrt(static_cast<float>(cols));
        for (int r = 0; r < rows; ++r) {
            for (int c = 0; c < cols; ++c) {
                values.push_back(next() * scale * (r < quiet ? 0.001f : 1.0f));
            }
        }
        m_group == 0 ? floats(values) : groups(values);
    }
    void norms(int count)
    {
        for (int i = 0; i < count; ++i) {
            put(m_out, 1.0f + 0.2f * next());
        }
    }
    void zeros(int count) { m_out.append(static_cast<size_t>(count) * 4, '\0'); }

private:
    float next() // -1 .. 1
    {
        m_state = m_state * 6364136223846793005u + 1442695040888963407u; // Knuth's MMIX generator
        return static_cast<float>(m_state >> 40) * 0x1p-23f - 1.0f;
    }
    void floats(const std::vector<float>& values)
    {
        for (const float value : values) {
            put(m_out, value);
        }
    }
    void groups(const std::vector<float>& values)
    {
        std::vector<float> scales;
        const auto group = static_cast<size_t>(m_group);
        for (size_t at = 0; at < values.size(); at += group) {
            float most = 0.0f;
            for (size_t i = at; i < at + group; ++i) {
                most = std::fmax(most, std::fabs(values[i]));
            }
            scales.push_back(most / 127.0f);
            for (size_t i = at; i < at + group; ++i) {
                put(m_out, static_cast<int8_t>(std::lround(values[i] / scales.back())));
            }
        }
        floats(scales);
    }

    std::string& m_out;
    uint64_t m_state;
    int m_group;
};

} // namespace

size_t tiny_header_bytes(int version) { return version == 0 ? 28 : 256; }

void patch_i32(std::string& file, size_t offset, int32_t value) { std::memcpy(file.data() + offset, &value, 4); }

std::string tiny_model(const TinyShape& shape)
{
    constexpr int kQuiet = 3; // <unk>, <s>, </s>
    const int kv_dim = shape.dim / shape.heads * shape.kv_heads;
    std::string out;
    if (shape.version != 0) {
        put(out, uint32_t{0x616b3432});
        put(out, int32_t{shape.version});
    }
    const bool negative = shape.version == 0 && !shape.shared;
    for (const int field : {shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads,
                            negative ? -shape.vocab : shape.vocab, shape.context}) {
        put(out, int32_t{field});
    }
    if (shape.version != 0) {
        put(out, static_cast<uint8_t>(shape.shared));
        if (shape.version == 2) {
            put(out, int32_t{shape.group});
        }
        out.resize(256, '\0');
    }
    Weights weights(out, shape.seed, shape.version == 2 ? shape.group : 0);
    const auto each_layer = [&](int rows, int cols) {
        for (int i = 0; i < shape.layers; ++i) {
            weights.matrix(rows, cols);
        }
    };
    const auto attention = [&] {
        each_layer(shape.dim, shape.dim);
        each_layer(kv_dim, shape.dim);
        each_layer(kv_dim, shape.dim);
        each_layer(shape.dim, shape.dim);
    };
    const auto feed_forward = [&] {
        each_layer(shape.hidden, shape.dim);
        each_layer(shape.dim, shape.hidden);
        each_layer(shape.hidden, shape.dim);
    };
    if (shape.version == 0) {
        weights.matrix(shape.vocab, shape.dim, kQuiet);
        weights.norms(shape.layers * shape.dim);
        attention();
        weights.norms(shape.layers * shape.dim);
        feed_forward();
        weights.norms(shape.dim);
        weights.zeros(shape.context * (shape.dim / shape.heads));
    } else {
        weights.norms((2 * shape.layers + 1) * shape.dim);
        weights.matrix(shape.vocab, shape.dim, kQuiet);
        attention();
        feed_forward();
    }
    if (!shape.shared) {
        weights.matrix(shape.vocab, shape.dim, kQuiet);
    }
    return out;
}

TinyVocabulary tiny_vocabulary(int size)
{
    TinyVocabulary entries = {{"<unk>", 0.0f}, {"\n<s>\n", 0.0f}, {"\n</s>\n", 0.0f}};
    for (int byte = 0; byte < 256; ++byte) {
        char name[8];
        (void)std::snprintf(name, sizeof name, "<0x%02X>", byte);
        entries.emplace_back(name, 0.0f);
    }
    float score = -1.0f;
    for (const char* piece : {" t", "he", " the", "in", "er", " a", "on", "re"}) {
        entries.emplace_back(piece, score--);
    }
    for (const char c : std::string(" etaonirshldcumfpgwybvkxqjz.,")) {
        entries.emplace_back(std::string(1, c), score--);
    }
    for (int i = 0; static_cast<int>(entries.size()) < size; ++i) {
        entries.emplace_back(" w" + std::to_string(i), score--);
    }
    entries.resize(static_cast<size_t>(size));
    return entries;
}

std::string tokenizer_file(const TinyVocabulary& vocabulary)
{
    size_t longest = 1;
    std::string body;
    for (const auto& [piece, score] : vocabulary) {
        put(body, score);
        put(body, static_cast<int32_t>(piece.size()));
        body += piece;
        longest = std::max(longest, piece.size());
    }
    std::string out;
    put(out, static_cast<int32_t>(longest));
    return out + body;
}

void add_tiny_model(FakePlatform& platform, std::string_view path, const TinyShape& shape, size_t volume)
{
    const std::string name(path);
    platform.add_file(name, tiny_model(shape), volume);
    platform.add_file(name.substr(0, name.rfind('.')) + ".tok.bin", tokenizer_file(tiny_vocabulary(shape.vocab)),
                      volume);
}

std::string repository_file(const std::string& path)
{
    std::string content;
    FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        ADD_FAILURE() << path << " is not there; the tests run in the repository's root";
        return content;
    }
    char buffer[65536];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
        content.append(buffer, got);
    }
    (void)std::fclose(file);
    return content;
}

} // namespace llmk
