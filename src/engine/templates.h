// SPDX-License-Identifier: MIT
//
// The chat template of a model's file: reads it, and leaves recognising it to tokenizer/chat_template.h.
#pragma once

#include "format/model_desc.h"
#include "tokenizer/chat_template.h"

namespace llmk {

/// Templates are some kilobytes; a longer one counts as unknown.
constexpr uint64_t kMaxTemplateBytes = 256 * 1024;

/// tokenizer.chat_template; empty when the file has none, or one that is too long.
Result<Vec<uint8_t>> read_chat_template(Platform& platform, const ModelDesc& desc);

/// The template that the file asks for; raw where it has none. Working memory comes from `scratch` and goes back.
Result<ChatTemplate> find_template(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                                   Arena& scratch);

/// The one of this name; "auto" is the file's. Status::not_found lists the names.
Result<ChatTemplate> choose_template(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                                     std::string_view name, Arena& scratch);

/// How it came to be in force, for a person: "recognised in the file".
std::string_view origin_text(TemplateOrigin origin);

} // namespace llmk
