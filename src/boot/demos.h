// SPDX-License-Identifier: MIT
//
// Something to type at a model one has never met: openings for models that continue a story, questions for models that
// answer. Suggestions only.
#pragma once

#include <span>
#include <string_view>

namespace llmk {

/// For a kind as the menu names it ("story", "chat"); empty for a kind not known.
std::span<const std::string_view> demo_prompts(std::string_view kind);

} // namespace llmk
