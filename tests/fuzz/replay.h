// SPDX-License-Identifier: MIT
//
// Runs a fuzz target on the inputs that are kept of it in tests/fuzz/corpus: what fuzzing once found wrong, and what
// takes it furthest. A target that is not content aborts.
#pragma once

#include "fake/tiny_model.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace llmk {

inline void replay(const std::string& name, int (*target)(const uint8_t* data, size_t size))
{
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/" + name)) {
        const std::string input = repository_file(entry.path().string());
        SCOPED_TRACE(entry.path());
        EXPECT_EQ(target(reinterpret_cast<const uint8_t*>(input.data()), input.size()), 0);
        // Cut off anywhere it must hold too.
        for (size_t size = 0; size < input.size(); size += 1 + input.size() / 16) {
            EXPECT_EQ(target(reinterpret_cast<const uint8_t*>(input.data()), size), 0);
        }
        ++count;
    }
    EXPECT_GE(count, 10u) << "inputs of " << name;
}

} // namespace llmk
