// SPDX-License-Identifier: MIT
#include "repl/multiline.h"

#include "base/text.h"

namespace llmk {

namespace {

constexpr std::string_view kFence = "\"\"\"";

bool is_block(std::string_view text) { return trim(text).starts_with(kFence); }

/// What follows the opening fence, blanks at both ends of the whole taken off.
std::string_view after_opening(std::string_view text) { return tail(trim(text), kFence.size()); }

} // namespace

bool wants_more_lines(std::string_view text)
{
    return is_block(text) ? !after_opening(text).ends_with(kFence) : text.ends_with('\\');
}

size_t join_lines(std::span<char> text)
{
    const std::string_view whole(text.data(), text.size());
    if (is_block(whole)) {
        std::string_view content = after_opening(whole);
        if (content.ends_with(kFence)) {
            content.remove_suffix(kFence.size());
        }
        // A fence on a line of its own does not add an empty line.
        if (content.starts_with('\n')) {
            content.remove_prefix(1);
        }
        if (content.ends_with('\n')) {
            content.remove_suffix(1);
        }
        __builtin_memmove(text.data(), content.data(), content.size());
        return content.size();
    }
    size_t size = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool mark = text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\n';
        if (!mark) {
            text[size++] = text[i];
        }
    }
    return size;
}

} // namespace llmk
