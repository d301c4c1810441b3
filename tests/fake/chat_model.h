// SPDX-License-Identifier: MIT
//
// A tiny GGUF model with the control tokens of many chat templates, and one of those templates.
#pragma once

#include "fake/gguf_file.h"

namespace llmk {

/// The last ids of the vocabulary, in this order.
inline constexpr const char* kChatTokens[] = {
    "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>",   "<|system|>",    "<|end|>",
    "<|eot_id|>",   "[INST]",     "[/INST]",  "<start_of_turn>", "<end_of_turn>", "</think>",
};
constexpr uint32_t kChatVocabulary = 290;
/// The id of one of them.
uint32_t chat_token(const std::string& name);

inline constexpr const char* kChatml =
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{{ '<|im_start|>assistant\\n' }}";

struct ChatShape {
    int context = 400;
    std::string jinja = kChatml;
    bool space_before = true;
    std::vector<std::pair<uint32_t, uint32_t>> swapped; ///< rows of the head that change places, one pair after another
};
std::string chat_model(const ChatShape& shape = {});

} // namespace llmk
