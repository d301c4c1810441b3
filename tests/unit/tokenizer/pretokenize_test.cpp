// SPDX-License-Identifier: MIT
//
// Cuts by hand for each expression, and by the real expressions: tests/golden/data/pretokenize.txt holds what the
// `tokenizers` package makes of pseudo-random texts (scripts/reference/make_pretokenizer_fixture.py).
#include "tokenizer/pretokenize.h"

#include "fake/tiny_model.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace llmk {
namespace {

using Words = std::vector<std::string>;

Words words(std::string_view name, std::string_view text)
{
    Words result;
    const PreTokenizer* const pre = find_pre_tokenizer(name);
    EXPECT_NE(pre, nullptr) << name;
    pre_tokenize(*pre, text, &result, [](void* context, std::string_view word) {
        EXPECT_FALSE(word.empty());
        static_cast<Words*>(context)->emplace_back(word);
    });
    return result;
}

TEST(PreTokenizer, Names)
{
    for (const char* name : {"gpt-2", "llama-bpe", "llama3", "llama-v3", "qwen2", "falcon", "mpt", "deepseek-coder",
                             "deepseek-llm", "starcoder", "refact", "default", "smollm"}) {
        ASSERT_NE(find_pre_tokenizer(name), nullptr) << name;
        EXPECT_EQ(find_pre_tokenizer(name)->name, name);
    }
    EXPECT_EQ(find_pre_tokenizer(""), find_pre_tokenizer("default"));
    EXPECT_EQ(find_pre_tokenizer("no-such"), nullptr);
    for (const char* name : {"qwen2", "mpt", "olmo", "command-r"}) {
        EXPECT_EQ(find_pre_tokenizer(name)->normalization, Normalization::nfc) << name;
    }
    EXPECT_EQ(find_pre_tokenizer("gpt-2")->normalization, Normalization::none);
    EXPECT_TRUE(find_pre_tokenizer("llama-bpe")->ignore_merges);
}

TEST(PreTokenizer, Gpt2)
{
    EXPECT_EQ(words("gpt-2", ""), Words());
    EXPECT_EQ(words("gpt-2", "Hello world"), (Words{"Hello", " world"}));
    EXPECT_EQ(words("gpt-2", "I'm you've we'll he'd"), (Words{"I", "'m", " you", "'ve", " we", "'ll", " he", "'d"}));
    EXPECT_EQ(words("gpt-2", "I'M 'Tis"), (Words{"I", "'", "M", " '", "Tis"})) << "in lower case only";
    EXPECT_EQ(words("gpt-2", "'tis"), (Words{"'t", "is"}));
    EXPECT_EQ(words("gpt-2", "abc123 45!? x"), (Words{"abc", "123", " 45", "!?", " x"}));
    EXPECT_EQ(words("gpt-2", "   a"), (Words{"  ", " a"}));
    EXPECT_EQ(words("gpt-2", "a\n\n b\n"), (Words{"a", "\n\n", " b", "\n"}));
    EXPECT_EQ(words("gpt-2", "a\nb"), (Words{"a", "\n", "b"}));
    EXPECT_EQ(words("gpt-2", "a \t "), (Words{"a", " \t "}));
    EXPECT_EQ(words("gpt-2", "x　y"), (Words{"x", "　", "y"})) << "ideographic space";
    EXPECT_EQ(words("gpt-2", "你好，世界"), (Words{"你好", "，", "世界"}));
    EXPECT_EQ(words("gpt-2", "ok 😀👍🏽 e\u0301e"), (Words{"ok", " 😀👍🏽", " e", "\u0301", "e"}));
    EXPECT_EQ(words("gpt-2", " '"), (Words{" '"}));
    EXPECT_EQ(words("gpt-2", "'"), (Words{"'"}));
}

TEST(PreTokenizer, Llama3)
{
    EXPECT_EQ(words("llama-bpe", "I'M they'RE it's"), (Words{"I", "'M", " they", "'RE", " it", "'s"}));
    EXPECT_EQ(words("llama-bpe", "1234567 89"), (Words{"123", "456", "7", " ", "89"}));
    EXPECT_EQ(words("llama-bpe", "(hello) _x\tfoo"), (Words{"(hello", ")", " _", "x", "\tfoo"}));
    EXPECT_EQ(words("llama-bpe", "end.\n\nNew"), (Words{"end", ".\n\n", "New"}));
    EXPECT_EQ(words("llama-bpe", "a  \n \n  b"), (Words{"a", "  \n \n", " ", " b"}));
    EXPECT_EQ(words("llama-bpe", "a   b"), (Words{"a", "  ", " b"}));
    EXPECT_EQ(words("llama-bpe", "a   "), (Words{"a", "   "}));
    EXPECT_EQ(words("llama-bpe", "\r\nabc"), (Words{"\r\n", "abc"}));
    EXPECT_EQ(words("llama-bpe", "e\u0301tude"), (Words{"e", "\u0301tude"}));
    EXPECT_EQ(words("llama-bpe", " 👍 ok"), (Words{" 👍", " ok"}));
    EXPECT_EQ(words("llama-bpe", "'\u017Fa"), (Words{"'\u017F", "a"})) << "long s is an s when case is ignored";
}

TEST(PreTokenizer, Qwen2TakesDigitsOneByOne)
{
    EXPECT_EQ(words("qwen2", "x123 4"), (Words{"x", "1", "2", "3", " ", "4"}));
    EXPECT_EQ(words("qwen2", "It's 你好\n"), (Words{"It", "'s", " 你好", "\n"}));
}

TEST(PreTokenizer, StarcoderAndItsLike)
{
    for (const char* name : {"starcoder", "refact", "smollm"}) {
        EXPECT_EQ(words(name, "a 12 b"), (Words{"a", " ", "1", "2", " b"})) << name;
        EXPECT_EQ(words(name, "x  9"), (Words{"x", "  ", "9"})) << "blanks end their segment: none is kept back";
    }
}

TEST(PreTokenizer, Falcon)
{
    EXPECT_EQ(words("falcon", "I'm 12345, ok"), (Words{"I", "'", "m", " ", "123", "45", ",", " ok"}));
    EXPECT_EQ(words("falcon", "a ... `b`"), (Words{"a", " ", "...", " ", "`", "b", "`"}));
    EXPECT_EQ(words("falcon", "x  ="), (Words{"x", "  ", "="}));
}

TEST(PreTokenizer, Default)
{
    EXPECT_EQ(words("default", "ab 1234!"), (Words{"ab", " ", "123", "4", "!"}));
    EXPECT_EQ(words("default", "a `b`"), (Words{"a", " `", "b", "`"}));
}

TEST(PreTokenizer, DeepseekCoder)
{
    EXPECT_EQ(words("deepseek-coder", "int x1 = 42;\n"), (Words{"int", " x", "1", " = ", "4", "2", ";", "\n"}));
    EXPECT_EQ(words("deepseek-coder", "ab你好cd"), (Words{"ab", "你好", "cd"}));
    EXPECT_EQ(words("deepseek-coder", "\n\nx"), (Words{"\n", "\n", "x"}));
    EXPECT_EQ(words("deepseek-coder", "  a  !"), (Words{" ", " a", " ", " !"}));
}

TEST(PreTokenizer, DeepseekLlm)
{
    EXPECT_EQ(words("deepseek-llm", "Hello, wörld 123  "), (Words{"Hello", ",", " w", "ö", "rld", " ", "123", "  "}))
        << "the expression for punctuation runs over ASCII letters too";
    EXPECT_EQ(words("deepseek-llm", "你好。ok"), (Words{"你好", "。", "ok"}));
    EXPECT_EQ(words("deepseek-llm", "a　　b"), (Words{"a", "　", "　", "b"}))
        << "among the Asian scripts is all from U+0800 on";
}

TEST(PreTokenizer, O200k)
{
    EXPECT_EQ(words("gpt-4o", "HelloWorld's ABCdef DON'T"), (Words{"Hello", "World's", " ABCdef", " DON'T"}));
    EXPECT_EQ(words("gpt-4o", "1234 a/b\n/"), (Words{"123", "4", " a", "/b", "\n", "/"}));
    EXPECT_EQ(words("gpt-4o", "ABあCD"), (Words{"ABあ", "CD"})) << "a letter without case ends the word";
    EXPECT_EQ(words("tekken", "Don't 12"), (Words{"Don", "'t", " ", "1", "2"}));
    EXPECT_EQ(words("tekken", "x =\n/y"), (Words{"x", " =\n/", "y"}));
}

TEST(PreTokenizer, NothingIsLostOfAnyBytes)
{
    std::mt19937 random(11);
    const char* const likely[] = {" ", "\n", "\r", "a", "Z", "1", "'", "s", ".", "\u3000", "中", "é", "\u0301", "😀"};
    for (const PreTokenizer& pre : pre_tokenizers()) {
        for (int round = 0; round < 300; ++round) {
            std::string text;
            for (size_t n = random() % 30; n > 0; --n) {
                text += random() % 4 == 0 ? std::string(1, static_cast<char>(random())) : likely[random() % 14];
            }
            std::string joined;
            for (const std::string& word : words(pre.name, text)) {
                joined += word;
            }
            ASSERT_EQ(joined, text) << pre.name;
        }
    }
}

TEST(PreTokenizer, LongRunsInReasonableTime)
{
    for (const PreTokenizer& pre : pre_tokenizers()) {
        for (const char* unit : {" ", "\n", "a", "1", "!", "\u0301", " \n", "中", "'"}) {
            std::string text;
            while (text.size() < 50'000) {
                text += unit;
            }
            EXPECT_FALSE(words(pre.name, text + "1").empty()) << pre.name;
        }
    }
}

/// The fixture's texts and sums, as the script makes them.
class Fixture {
public:
    Fixture() : m_in(repository_file("tests/golden/data/pretokenize.txt"))
    {
        std::string line;
        std::getline(m_in, line);
        std::istringstream codes(line);
        for (uint32_t code = 0; codes >> std::hex >> code;) {
            Text<8> character;
            utf8_encode(character, code);
            m_pool.emplace_back(character.view());
        }
    }
    /// The next line: a name, how many texts go into one sum, and the sums.
    bool next()
    {
        std::string line;
        if (!std::getline(m_in, line)) {
            return false;
        }
        std::istringstream fields(line);
        sums.clear();
        fields >> name >> batch;
        for (uint32_t sum = 0; fields >> std::hex >> sum;) {
            sums.push_back(sum);
        }
        m_state = 1;
        return true;
    }
    std::string text()
    {
        std::string result;
        for (uint32_t n = random() % 24; n > 0; --n) {
            result += m_pool[random() % m_pool.size()];
        }
        return result;
    }

    std::string name;
    size_t batch = 0;
    std::vector<uint32_t> sums;

private:
    uint32_t random()
    {
        m_state = m_state * 1664525 + 1013904223;
        return m_state >> 8;
    }
    std::istringstream m_in;
    std::vector<std::string> m_pool;
    uint32_t m_state = 1;
};

TEST(PreTokenizer, AsTheTokenizersPackage)
{
    FakePlatform platform;
    Arena scratch;
    ASSERT_TRUE(scratch.add_extent(platform, nfc_scratch_bytes(256)).ok());
    size_t kinds = 0;
    for (Fixture fixture; fixture.next(); ++kinds) {
        const bool normalized = find_pre_tokenizer(fixture.name)->normalization == Normalization::nfc;
        for (size_t i = 0; i < fixture.sums.size(); ++i) {
            uint32_t sum = 2166136261u;
            std::string texts;
            for (size_t n = 0; n < fixture.batch; ++n) {
                const std::string text = fixture.text();
                std::string normal(nfc_max_bytes(text.size()), ' ');
                const std::string_view wanted = normalized ? nfc(text, normal.data(), scratch).value() : text;
                for (const std::string& word : words(fixture.name, wanted)) {
                    for (const char c : word + '\xFF') {
                        sum = (sum ^ static_cast<uint8_t>(c)) * 16777619u;
                    }
                }
                texts += text + '\n';
            }
            ASSERT_EQ(sum, fixture.sums[i]) << fixture.name << ", one of:\n" << texts;
        }
    }
    EXPECT_GE(kinds, 10u);
    scratch.release(platform);
}

} // namespace
} // namespace llmk
