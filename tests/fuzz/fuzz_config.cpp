// SPDX-License-Identifier: MIT
//
// llmk.cfg from anywhere: no text may break the parser, and every complaint is one printable line.
#include "boot/config.h"

#include <cstdlib>

namespace {

void check_sentence(void* count, std::string_view sentence)
{
    ++*static_cast<size_t*>(count);
    if (sentence.empty() || sentence.find('\n') != std::string_view::npos || !sentence.starts_with("llmk.cfg")) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    llmk::Config config;
    size_t sentences = 0;
    llmk::parse_config({reinterpret_cast<const char*>(data), size}, config, {check_sentence, &sentences});
    const bool sane = sentences <= 17 && config.stop_count <= llmk::Config::kMaxStops &&
                      (!config.temp || (*config.temp >= 0.0f && *config.temp <= 5.0f)) &&
                      (!config.context || *config.context >= 8);
    if (!sane) {
        std::abort();
    }
    return 0;
}
