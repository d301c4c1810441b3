// SPDX-License-Identifier: MIT
//
// What describe_model says of a file's bytes.
#pragma once

#include "base/status.h"

#include <string>

namespace llmk {

struct Outcome {
    Status status = Status::ok;
    std::string message; ///< empty when all is well
};

/// The file is put on a fake volume as `path`; none may stay open.
Outcome outcome_of(const std::string& path, const std::string& file);

/// A wrong file gets one sentence that names it and holds `words`.
void expect_refused(const std::string& path, const std::string& file, std::string_view words, Status status);

} // namespace llmk
