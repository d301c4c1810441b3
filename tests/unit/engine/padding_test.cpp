// SPDX-License-Identifier: MIT
//
// A model whose tables are longer than its vocabulary: ids without a token are never drawn.
#include "fake/gguf_file.h"
#include "fake/tiny_engine.h"

#include <algorithm>

namespace llmk {
namespace {

/// The tiny model has 290 rows; a vocabulary of 280 beside it leaves 10 without a token.
constexpr Token kTokens = 280;

/// Rows without a token have by far the largest logits: of one row and its opposite one is always high.
GgufFile padded()
{
    GgufFile file = tiny_gguf({.shared = false});
    std::string& head = file.tensor("output.weight").data;
    const size_t row_bytes = 16 * sizeof(float);
    for (Token id = kTokens; id < 290; ++id) {
        for (size_t i = 0; i < 16; ++i) {
            const float value = (id % 2 == 0 ? 50.0f : -50.0f) * (i % 3 == 0 ? 1.0f : 0.5f);
            std::memcpy(head.data() + id * row_bytes + i * sizeof(float), &value, sizeof value);
        }
    }
    const GgufFile small = tiny_gguf({.vocab = static_cast<int>(kTokens)});
    for (const GgufFile::Pair& pair : small.pairs) {
        if (pair.key.starts_with("tokenizer.")) {
            file.set(pair.key, pair.type, pair.value);
        }
    }
    return file;
}

TEST(PaddedVocabulary, IdsWithoutATokenAreNeverDrawn)
{
    FakePlatform platform;
    platform.add_file("m.gguf", padded().bytes());
    Engine engine(platform);
    ASSERT_TRUE(engine.start("scalar").ok());
    ASSERT_TRUE(engine.load("m.gguf", {}, 0, {}).ok());
    Session& session = engine.session();
    EXPECT_EQ(session.logits().size(), 290u);
    EXPECT_EQ(session.drawable_logits().size(), kTokens);
    ASSERT_TRUE(session.decode(1).ok());
    const auto logits = session.logits();
    EXPECT_GE(std::max_element(logits.begin(), logits.end()) - logits.begin(), kTokens) << "they would be drawn";
    session.rewind(0);
    engine.chat().settings.max_tokens = 20;
    for (const float temperature : {0.0f, 1.0f}) {
        engine.chat().settings.sampler = {.temperature = temperature, .top_p = 0.9f};
        Ear ear;
        auto stats = engine.chat().say("the hat", ear.sink());
        ASSERT_TRUE(stats.ok()) << stats.error().message.view();
        EXPECT_GT(stats.value().tokens, 0u);
        for (const Token token : session.tokens()) {
            EXPECT_LT(token, kTokens) << temperature;
        }
    }
    engine.unload();
}

} // namespace
} // namespace llmk
