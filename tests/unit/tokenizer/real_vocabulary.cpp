// SPDX-License-Identifier: MIT
#include "unit/tokenizer/real_vocabulary.h"

#include "tokenizer/spm.h"
#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <unordered_map>

namespace llmk {

namespace {

/// Reads little-endian fields; out of the file is a broken asset, and throws.
struct Reader {
    const std::string& bytes;
    size_t at = 0;

    template <class T> T number()
    {
        T value;
        std::memcpy(&value, bytes.substr(at, sizeof(T)).data(), sizeof(T));
        at += sizeof(T);
        return value;
    }
    std::string text()
    {
        const auto length = number<uint64_t>();
        at += length;
        return bytes.substr(at - length, length);
    }
};

constexpr uint32_t kText = 8;
constexpr uint32_t kArray = 9;

size_t value_size(uint32_t type)
{
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return kSizes[type];
}

std::string utf8(char32_t value)
{
    Text<8> text;
    utf8_encode(text, value);
    return std::string(text.view());
}

void read_value(OwnedVocabulary& v, Reader& in, const std::string& key, uint32_t type)
{
    if (type == kText) {
        const std::string value = in.text();
        v.pre = key == "tokenizer.ggml.pre" ? value : v.pre;
        v.model = key == "tokenizer.ggml.model" ? value : v.model;
        return;
    }
    uint64_t value = 0;
    std::memcpy(&value, in.bytes.data() + in.at, value_size(type));
    in.at += value_size(type);
    const auto id = [&](const char* name, std::optional<uint32_t>& part) {
        if (key == std::string("tokenizer.ggml.") + name) {
            part = static_cast<uint32_t>(value);
        }
    };
    id("bos_token_id", v.special.bos);
    id("eos_token_id", v.special.eos);
    id("unknown_token_id", v.special.unk);
    const auto flag = [&](const char* name, std::optional<bool>& part) {
        if (key == std::string("tokenizer.ggml.") + name) {
            part = value != 0;
        }
    };
    flag("add_bos_token", v.flags.add_bos);
    flag("add_eos_token", v.flags.add_eos);
}

void read_array(OwnedVocabulary& v, Reader& in, const std::string& key)
{
    const auto type = in.number<uint32_t>();
    const auto count = in.number<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
        if (type == kText) {
            const std::string text = in.text();
            if (key == "tokenizer.ggml.tokens") {
                v.add(text);
            } else if (key == "tokenizer.ggml.merges") {
                v.add_merge(text);
            }
        } else if (key == "tokenizer.ggml.scores") {
            v.entries[i].score = in.number<float>();
        } else if (key == "tokenizer.ggml.token_type") {
            v.types[i] = static_cast<TokenType>(in.number<uint32_t>());
        } else {
            in.at += value_size(type);
        }
    }
}

std::string with_blanks(std::string text)
{
    for (size_t at = text.find("▁"); at != std::string::npos; at = text.find("▁", at)) {
        text.replace(at, 3, " ");
    }
    return text;
}

/// Sixteen bits of "\uXXXX", or what else a backslash stands for.
std::string json_text(const std::string& json, size_t& at)
{
    std::string result;
    for (++at; json[at] != '"'; ++at) {
        if (json[at] != '\\') {
            result += json[at];
        } else if (json[++at] == 'u') {
            result += utf8(static_cast<char32_t>(std::stoul(json.substr(at + 1, 4), nullptr, 16)));
            at += 4;
        } else {
            result += json[at];
        }
    }
    ++at;
    return result;
}

std::string base64(const std::string& text)
{
    static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string result;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : text.substr(0, text.find('='))) {
        bits = bits << 6 | static_cast<uint32_t>(alphabet.find(c));
        count += 6;
        if (count >= 8) {
            count -= 8;
            result += static_cast<char>(bits >> count);
        }
    }
    return result;
}

using Ranks = std::unordered_map<std::string, uint32_t>;

/// The two parts that a token is merged of last.
std::vector<std::string> last_parts(const std::string& token, const Ranks& ranks, uint32_t below)
{
    std::vector<std::string> parts;
    for (const char c : token) {
        parts.emplace_back(1, c);
    }
    for (;;) {
        size_t best = parts.size();
        uint32_t best_rank = below;
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
            const auto found = ranks.find(parts[i] + parts[i + 1]);
            if (found != ranks.end() && found->second < best_rank) {
                best = i;
                best_rank = found->second;
            }
        }
        if (best == parts.size()) {
            return parts;
        }
        parts[best] += parts[best + 1];
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
}

} // namespace

Token OwnedVocabulary::add(const std::string& spelling, TokenType type, float score)
{
    entries.push_back({static_cast<uint32_t>(text.size()), static_cast<uint32_t>(spelling.size()), score});
    types.push_back(type);
    text += spelling;
    return static_cast<Token>(entries.size() - 1);
}

void OwnedVocabulary::add_merge(const std::string& spelling)
{
    merges.push_back({static_cast<uint32_t>(merge_text.size()), static_cast<uint32_t>(spelling.size())});
    merge_text += spelling;
}

BpeVocabulary OwnedVocabulary::view() const
{
    BpeVocabulary view;
    view.entries = entries;
    view.text = text;
    view.types = types;
    view.special = special;
    view.flags = flags;
    view.merges = merges;
    view.merge_text = merge_text;
    return view;
}

std::string spelled(const std::string& bytes)
{
    // As GPT-2's encoder.py makes it: what prints is itself, the rest is counted from 256 on.
    static const std::vector<std::string> alphabet = [] {
        std::vector<std::string> result;
        uint32_t others = 0;
        for (uint32_t byte = 0; byte < 256; ++byte) {
            const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
            result.push_back(utf8(prints ? byte : 256 + others++));
        }
        return result;
    }();
    std::string result;
    for (const char c : bytes) {
        result += alphabet[static_cast<uint8_t>(c)];
    }
    return result;
}

OwnedVocabulary byte_vocabulary()
{
    OwnedVocabulary v;
    for (int byte = 0; byte < 256; ++byte) {
        v.add(spelled(std::string(1, static_cast<char>(byte))));
    }
    return v;
}

std::optional<std::string> asset(const std::string& path)
{
    const char* const folder = std::getenv("LLMK_ASSETS");
    std::ifstream file(std::string(folder != nullptr ? folder : "../shared/assets") + "/" + path, std::ios::binary);
    if (!file) {
        return std::nullopt;
    }
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

OwnedVocabulary read_gguf_vocabulary(const std::string& file)
{
    OwnedVocabulary v;
    Reader in{file, 16}; // magic, version, number of tensors
    for (auto keys = in.number<uint64_t>(); keys > 0; --keys) {
        const std::string key = in.text();
        const auto type = in.number<uint32_t>();
        if (type == kArray) {
            read_array(v, in, key);
        } else {
            read_value(v, in, key, type);
        }
    }
    if (v.model != "llama") {
        return v;
    }
    OwnedVocabulary blanks = v;
    blanks.text.clear();
    blanks.entries.clear();
    blanks.types.clear();
    for (Token token = 0; token < v.entries.size(); ++token) {
        blanks.add(with_blanks(v.entry(token)), v.types[token], v.entries[token].score);
    }
    return blanks;
}

OwnedVocabulary read_encoder(const std::string& json, const std::string& bpe)
{
    std::vector<std::string> tokens;
    for (size_t at = json.find('"'); at != std::string::npos; at = json.find('"', at)) {
        const std::string token = json_text(json, at);
        at = json.find_first_of("0123456789", at);
        const size_t id = std::stoul(json.substr(at, 12));
        tokens.resize(std::max(tokens.size(), id + 1));
        tokens[id] = token;
    }
    OwnedVocabulary v;
    for (const std::string& token : tokens) {
        v.add(token);
    }
    std::istringstream lines(bpe);
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.rfind("#version", 0) != 0) {
            v.add_merge(line);
        }
    }
    return v;
}

OwnedVocabulary read_tiktoken(const std::string& file)
{
    OwnedVocabulary v;
    Ranks ranks;
    std::vector<std::string> tokens;
    std::istringstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) {
            tokens.push_back(base64(line.substr(0, line.find(' '))));
            ranks[tokens.back()] = static_cast<uint32_t>(tokens.size() - 1);
        }
    }
    for (uint32_t rank = 0; rank < tokens.size(); ++rank) {
        v.add(spelled(tokens[rank]));
        const auto parts = last_parts(tokens[rank], ranks, rank);
        if (parts.size() == 2) {
            v.add_merge(spelled(parts[0]) + " " + spelled(parts[1]));
        }
    }
    return v;
}

std::vector<TokenizerVector> read_vectors(const std::string& inp, const std::string& out)
{
    const std::string between = "\n__ggml_vocab_test__\n";
    std::vector<TokenizerVector> vectors;
    std::istringstream lines(out);
    for (size_t at = 0; at != std::string::npos;) {
        const size_t end = inp.find(between, at);
        std::string line;
        std::getline(lines, line);
        std::istringstream ids(line);
        TokenizerVector vector{inp.substr(at, end - at), {}};
        for (Token id = 0; ids >> id;) {
            vector.tokens.push_back(id);
        }
        vectors.push_back(vector);
        at = end == std::string::npos ? end : end + between.size();
    }
    return vectors;
}

constexpr uint64_t kTextBytes = 80'000;

template <> Loaded<BpeTokenizer>::Loaded(OwnedVocabulary owned) : vocabulary(std::move(owned))
{
    const BpeVocabulary view = vocabulary.view();
    const uint64_t bytes =
        BpeTokenizer::index_bytes(view.entries.size(), view.text.size(), view.merges.size(), view.merge_text.size());
    EXPECT_TRUE(arena.add_extent(platform, bytes).ok());
    const auto built = tokenizer.build(view, vocabulary.pre, arena);
    EXPECT_TRUE(built.ok()) << built.error().message.view();
    EXPECT_TRUE(scratch.add_extent(platform, tokenizer.scratch_bytes(kTextBytes)).ok());
}

template <> Loaded<SpmTokenizer>::Loaded(OwnedVocabulary owned) : vocabulary(std::move(owned))
{
    EXPECT_TRUE(arena.add_extent(platform, SpmTokenizer::index_bytes(vocabulary.entries.size())).ok());
    const auto built = tokenizer.build(vocabulary.view(), arena);
    EXPECT_TRUE(built.ok()) << built.error().message.view();
    EXPECT_TRUE(scratch.add_extent(platform, SpmTokenizer::encode_bytes(kTextBytes)).ok());
}

template <class T> Loaded<T>::~Loaded()
{
    arena.release(platform);
    scratch.release(platform);
}

template <class T> std::vector<Token> Loaded<T>::encode(std::string_view text, BosRule bos, SpecialText special)
{
    std::vector<Token> tokens(tokenizer.max_tokens(text.size()));
    auto count = tokenizer.encode(text, bos, tokens, scratch, special);
    EXPECT_TRUE(count.ok()) << count.error().message.view();
    EXPECT_EQ(scratch.used_bytes(), 0u) << "working memory goes back";
    tokens.resize(count.ok() ? count.value() : 0);
    return tokens;
}

template <class T> std::string Loaded<T>::decode(const std::vector<Token>& tokens) const
{
    std::string text;
    Token previous = kNoToken;
    for (const Token token : tokens) {
        text += tokenizer.piece(previous, token);
        previous = token;
    }
    return text;
}

template class Loaded<BpeTokenizer>;
template class Loaded<SpmTokenizer>;

} // namespace llmk
