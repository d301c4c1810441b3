// SPDX-License-Identifier: MIT
//
// Tiny llama2.c models and tokenizers, made in memory with pseudo-random weights, the same in every run. What they say
// makes no sense, but is the same each time. Writes files' bytes only: knows nothing of the code under test.
#pragma once

#include "fake/fake_platform.h"

#include <string>
#include <utility>
#include <vector>

namespace llmk {

struct TinyShape {
    int version = 0; ///< 0, 1 or 2
    int dim = 16;
    int hidden = 24;
    int layers = 2;
    int heads = 4;
    int kv_heads = 2;
    int vocab = 290;
    int context = 64;
    int group = 8;      ///< of version 2
    bool shared = true; ///< one table for embedding and classifier
    uint64_t seed = 1;
};

/// The file. Rows of BOS and EOS in the classifier are small, so that greedy answers do not end by themselves.
std::string tiny_model(const TinyShape& shape);

/// Bytes in front of the weights.
size_t tiny_header_bytes(int version);

/// Writes a header field or a magic, little-endian.
void patch_i32(std::string& file, size_t offset, int32_t value);

using TinyVocabulary = std::vector<std::pair<std::string, float>>;
/// <unk>, <s>, </s>, the 256 bytes, then letters and some joined pieces, up to `size`.
TinyVocabulary tiny_vocabulary(int size);
std::string tokenizer_file(const TinyVocabulary& vocabulary);

/// Puts NAME and its NAME.tok.bin on a volume.
void add_tiny_model(FakePlatform& platform, std::string_view path = "tiny.bin", const TinyShape& shape = {},
                    size_t volume = 0);

/// A file of tests/golden/data, or of any folder beneath the repository; fails the test when it is not there.
std::string repository_file(const std::string& path);

} // namespace llmk
