// SPDX-License-Identifier: MIT
#include "fake/chat_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace llmk {

uint32_t chat_token(const std::string& name)
{
    const auto* found = std::find(std::begin(kChatTokens), std::end(kChatTokens), name);
    EXPECT_NE(found, std::end(kChatTokens)) << name;
    return kChatVocabulary - static_cast<uint32_t>(std::end(kChatTokens) - found);
}

std::string chat_model(const ChatShape& shape)
{
    TinyShape tiny;
    tiny.vocab = kChatVocabulary;
    tiny.context = shape.context;
    tiny.shared = false;
    GgufFile file = tiny_gguf(tiny);
    std::string tokens;
    std::string types;
    const auto first = kChatVocabulary - static_cast<uint32_t>(std::size(kChatTokens));
    uint32_t id = 0;
    for (const auto& [piece, score] : tiny_vocabulary(static_cast<int>(kChatVocabulary))) {
        std::string spelling = id == 1 ? "<s>" : id == 2 ? "</s>" : id >= first ? kChatTokens[id - first] : "";
        if (spelling.empty()) {
            for (const char c : piece) {
                c == ' ' ? spelling += "\xE2\x96\x81" : spelling += c;
            }
        }
        const bool byte = piece.size() == 6 && piece.starts_with("<0x");
        const bool thought = spelling == "</think>";
        tokens += gguf_text(spelling);
        types += raw<int32_t>(id == 0 ? 2 : thought ? 4 : id < 3 || id >= first ? 3 : byte ? 6 : 1);
        ++id;
    }
    file.set("tokenizer.ggml.tokens", kGgufArray, gguf_array(kGgufString, id, tokens));
    file.set("tokenizer.ggml.token_type", kGgufArray, gguf_array(kGgufI32, id, types));
    file.boolean("tokenizer.ggml.add_space_prefix", shape.space_before);
    if (!shape.jinja.empty()) {
        file.text("tokenizer.chat_template", shape.jinja);
    }
    std::string& head = file.tensor("output.weight").data;
    const size_t row = head.size() / kChatVocabulary;
    for (const auto& [a, b] : shape.swapped) {
        std::swap_ranges(head.begin() + static_cast<ptrdiff_t>(a * row),
                         head.begin() + static_cast<ptrdiff_t>((a + 1) * row),
                         head.begin() + static_cast<ptrdiff_t>(b * row));
    }
    return file.bytes();
}

} // namespace llmk
