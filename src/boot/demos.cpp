// SPDX-License-Identifier: MIT
#include "boot/demos.h"

#include "base/text.h"

namespace llmk {

namespace {

// In the words of TinyStories, which the story models were trained on.
constexpr std::string_view kStories[] = {
    "Once upon a time, there was a little robot who",
    "One day, Lily found a shiny key in the garden.",
    "The old bear was sad because",
    "Tom and his dog went to the forest to look for",
    "It was raining, and the small bird could not",
};

// Short answers, of different sorts, that a person can judge at a glance.
constexpr std::string_view kQuestions[] = {
    "Tell me a story about a dog and a ball.",
    "Why is the sky blue? Answer in two sentences.",
    "Write a haiku about a computer without an operating system.",
    "Explain what a CPU cache is to a ten-year-old.",
    "Give me three ideas for dinner with potatoes and eggs.",
    "Translate into French: The night train leaves at nine.",
};

struct Demo {
    std::string_view kind;
    std::span<const std::string_view> prompts;
};

constexpr Demo kDemos[] = {
    {"story", kStories},
    {"chat", kQuestions},
};

} // namespace

std::span<const std::string_view> demo_prompts(std::string_view kind)
{
    for (const auto& demo : kDemos) {
        if (equal_ignore_case(demo.kind, kind)) {
            return demo.prompts;
        }
    }
    return {};
}

} // namespace llmk
