// SPDX-License-Identifier: MIT
//
// When an input has more than one line. Two ways, both usual among chat programs:
//   - a line that ends in a backslash goes on with the next; the backslash is dropped, the line break stays;
//   - an input that starts with """ goes on until """ ends a line; everything between, backslashes too, is as typed.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace llmk {

/// True if Enter at the end of `text` should open another line rather than send it.
bool wants_more_lines(std::string_view text);

/// Takes the marks (backslashes, triple quotes) out of a finished input, in place. Returns the new size.
size_t join_lines(std::span<char> text);

} // namespace llmk
