// SPDX-License-Identifier: MIT
#include "fake/described.h"

#include "fake/fake_platform.h"
#include "format/formats.h"

#include <gtest/gtest.h>

namespace llmk {

Outcome outcome_of(const std::string& path, const std::string& file)
{
    FakePlatform platform;
    platform.add_file(path, file);
    const auto desc = describe_model(platform, path);
    EXPECT_EQ(platform.open_files(), 0u);
    return desc.ok() ? Outcome() : Outcome{desc.error().status, std::string(desc.error().message.view())};
}

void expect_refused(const std::string& path, const std::string& file, std::string_view words, Status status)
{
    const Outcome outcome = outcome_of(path, file);
    EXPECT_EQ(outcome.status, status) << words << ": " << outcome.message;
    EXPECT_NE(outcome.message.find(path), std::string::npos) << outcome.message;
    EXPECT_NE(outcome.message.find(words), std::string::npos) << outcome.message << " lacks " << words;
    EXPECT_EQ(outcome.message.find('\n'), std::string::npos);
}

} // namespace llmk
