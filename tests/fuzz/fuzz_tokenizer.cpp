// SPDX-License-Identifier: MIT
//
// tokenizer.bin from anywhere, and text from anywhere through it: reading never breaks, and what the pieces of an
// encoded text say together is the text, unless it holds bytes that the vocabulary has no token for.
#include "fake/fake_platform.h"
#include "format/llama2c_tokenizer.h"
#include "tokenizer/spm.h"

#include <cstdlib>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace llmk;
    if (size < 1) {
        return 0;
    }
    // The first byte says how much of the rest is text.
    const size_t text_size = std::min<size_t>(data[0], size - 1);
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, text_size);
    FakePlatform platform;
    platform.add_file("t.bin", {reinterpret_cast<const char*>(data) + 1 + text_size, size - 1 - text_size});
    Arena arena;
    const auto run = [&]() -> Result<void> {
        TRY(arena.add_extent(platform, 1 << 20));
        const Vocabulary vocabulary = TRY(llama2c::load_vocabulary(platform, "t.bin", 0, arena));
        SpmTokenizer tokenizer;
        TRY(tokenizer.build(vocabulary, arena));
        std::vector<Token> tokens(tokenizer.max_tokens(text.size()));
        const size_t count = TRY(tokenizer.encode(text, BosRule::add, tokens, arena));
        for (size_t i = 0; i < count; ++i) {
            // BOS is id 1 even of a vocabulary that has no such entry; every other id comes from it.
            if (i > 0 && tokens[i] >= tokenizer.vocab_size() && tokens[i] != SpmTokenizer::kUnknown) {
                std::abort();
            }
            (void)tokenizer.piece(i == 0 ? 0 : tokens[i - 1], tokens[i]);
        }
        return success();
    };
    (void)run().ok();
    arena.release(platform);
    return 0;
}
