// SPDX-License-Identifier: MIT
//
// What fuzz targets ask of what they get back.
#pragma once

#include "base/status.h"

#include <cstdlib>

namespace llmk {

inline void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

/// True for a value; an error must name the file, but for one of memory.
template <class T> bool accepted(const Result<T>& result, std::string_view path)
{
    require(result.ok() || result.error().message.view().find(path) != std::string_view::npos ||
            result.error().status == Status::out_of_memory);
    return result.ok();
}

} // namespace llmk
