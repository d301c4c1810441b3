// SPDX-License-Identifier: MIT
//
// llama.cpp's tokenizer vectors: every text of every vocabulary that is in the assets folder, to the id.
#include "tokenizer/spm.h"
#include "unit/tokenizer/real_vocabulary.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

std::string vector_file(const std::string& name, const char* suffix)
{
    return "gguf/vocab/ggml-vocab-" + name + ".gguf" + suffix;
}

template <class T> void check_vectors(const std::string& name, OwnedVocabulary vocabulary)
{
    const auto vectors =
        read_vectors(asset(vector_file(name, ".inp")).value(), asset(vector_file(name, ".out")).value());
    ASSERT_EQ(vectors.size(), 47u);
    Loaded<T> loaded(std::move(vocabulary));
    size_t passed = 0;
    for (const TokenizerVector& vector : vectors) {
        const auto tokens = loaded.encode(vector.text);
        EXPECT_EQ(tokens, vector.tokens) << name << " \"" << vector.text << '"';
        passed += tokens == vector.tokens ? 1 : 0;
    }
    EXPECT_EQ(passed, 47u) << name;
}

/// Where there are assets, each file is wanted.
class Vectors : public testing::Test {
protected:
    void SetUp() override
    {
        if (!asset("README.md")) {
            GTEST_SKIP() << "no assets: set LLMK_ASSETS to the folder of reference models";
        }
    }
};

class GgufVectors : public Vectors, public testing::WithParamInterface<const char*> {};

TEST_P(GgufVectors, AllOfThem)
{
    const std::string file = asset(vector_file(GetParam(), "")).value();
    OwnedVocabulary vocabulary = read_gguf_vocabulary(file);
    if (vocabulary.model == "llama") {
        check_vectors<SpmTokenizer>(GetParam(), std::move(vocabulary));
    } else {
        check_vectors<BpeTokenizer>(GetParam(), std::move(vocabulary));
    }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, GgufVectors,
                         testing::Values("gpt-2", "falcon", "mpt", "deepseek-coder", "llama-spm"));

TEST_F(Vectors, Llama3FromItsRanks)
{
    const std::string file = asset("tokenizers/llama3_tokenizer.model").value();
    OwnedVocabulary vocabulary = read_tiktoken(file);
    vocabulary.pre = "llama-bpe";
    check_vectors<BpeTokenizer>("llama-bpe", std::move(vocabulary));
}

TEST_F(Vectors, Llama3FromItsMerges)
{
    const std::string json = asset("tokenizers/llama3.2_encoder.json").value();
    OwnedVocabulary vocabulary = read_encoder(json, asset("tokenizers/llama3.2_vocab.bpe").value());
    vocabulary.pre = "llama3";
    check_vectors<BpeTokenizer>("llama-bpe", std::move(vocabulary));
}

TEST_F(Vectors, Qwen2FromItsRanks)
{
    const std::string file = asset("tokenizers/qwen.tiktoken").value();
    OwnedVocabulary vocabulary = read_tiktoken(file);
    vocabulary.pre = "qwen2";
    check_vectors<BpeTokenizer>("qwen2", std::move(vocabulary));
}

TEST_F(Vectors, Gpt2FromItsOwnFiles)
{
    const std::string json = asset("tokenizers/gpt2_encoder.json").value();
    OwnedVocabulary vocabulary = read_encoder(json, asset("tokenizers/gpt2_vocab.bpe").value());
    vocabulary.pre = "gpt-2";
    check_vectors<BpeTokenizer>("gpt-2", std::move(vocabulary));
}

} // namespace
} // namespace llmk
