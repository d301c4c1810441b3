// SPDX-License-Identifier: MIT
//
// Chat templates and conversations from anywhere: recognising never breaks, whatever is recognised can be written, and
// the tokens of what was written spell it. The first byte says how much of the rest is the template.
#include "fake/fake_platform.h"
#include "tokenizer/bpe.h"
#include "tokenizer/chat_template.h"

#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using namespace llmk;

void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

/// One token a byte, and the control tokens of two families.
struct Vocabulary256 {
    Vocabulary256()
    {
        for (int byte = 0; byte < 256; ++byte) {
            // GPT-2's alphabet: what does not print is moved behind U+00FF, in its order.
            const bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
            const int value = prints ? byte : 0x100 + moved++;
            std::string letter;
            if (value < 0x80) {
                letter = static_cast<char>(value);
            } else {
                letter = {static_cast<char>(0xC0 | (value >> 6)), static_cast<char>(0x80 | (value & 0x3F))};
            }
            add(letter, TokenType::normal);
        }
        for (const char* name : {"<s>", "</s>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]"}) {
            add(name, TokenType::control);
        }
        add("</think>", TokenType::user_defined);
    }
    void add(const std::string& spelling, TokenType type)
    {
        entries.push_back({static_cast<uint32_t>(text.size()), static_cast<uint32_t>(spelling.size()), 0});
        types.push_back(type);
        text += spelling;
    }
    BpeVocabulary view() const
    {
        BpeVocabulary v;
        v.entries = entries;
        v.text = text;
        v.types = types;
        v.special.bos = 256;
        v.special.eos = 257;
        v.flags.add_bos = true;
        return v;
    }
    std::vector<VocabularyEntry> entries;
    std::vector<TokenType> types;
    std::string text;
    int moved = 0;
};

/// Built once: what is looked at here changes nothing in it.
struct Loaded {
    Loaded()
    {
        require(arena.add_extent(platform, 64 * 1024).ok() && scratch.add_extent(platform, 64 * 1024).ok());
        require(tokenizer.build(vocabulary.view(), "gpt-2", arena).ok());
    }
    ~Loaded()
    {
        scratch.release(platform);
        arena.release(platform);
    }
    Vocabulary256 vocabulary;
    FakePlatform platform;
    Arena arena;
    Arena scratch;
    BpeTokenizer tokenizer;
};

void check_prompt(const ChatTemplate& how, std::string_view text, const Tokenizer& tokenizer, FakePlatform& platform)
{
    Prompt prompt(platform);
    const auto system = head(text, text.size() / 3);
    require(prompt.front(how, system).ok());
    require(prompt.user(how, text, true, system).ok());
    require(prompt.open(how).ok());
    require(prompt.answer(how, tail(text, text.size() / 2)).ok());
    require(prompt.close(how).ok());
    require(prompt.user(how, text, false, system).ok());
    require(prompt.thought(how).ok());
    std::vector<Token> ids(prompt.max_tokens(tokenizer));
    Arena arena;
    require(arena.add_extent(platform, prompt.scratch_bytes(tokenizer)).ok());
    auto count = prompt.encode(tokenizer, TextStart::fresh, ids, arena);
    require(arena.broken_guard() == nullptr);
    arena.release(platform);
    require(count.ok() && count.value() <= ids.size());
    std::string spelled;
    for (size_t i = 0; i < count.value(); ++i) {
        spelled += tokenizer.name(ids[i]);
    }
    std::string written;
    prompt.print(tokenizer, &written,
                 [](void* context, std::string_view piece) { *static_cast<std::string*>(context) += piece; });
    require(how.family->is_raw() || spelled == written);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    static Loaded loaded;
    const Tokenizer& tokenizer = loaded.tokenizer;
    const size_t jinja_size = std::min<size_t>(size_t{data[0]} * 8, size - 1);
    const std::string_view jinja(reinterpret_cast<const char*>(data) + 1, jinja_size);
    const std::string_view text(reinterpret_cast<const char*>(data) + 1 + jinja_size, size - 1 - jinja_size);
    const ChatTemplate how = recognise_template(jinja, "01 Feb 2030", tokenizer, loaded.scratch);
    require(how.family != nullptr && find_template_family(how.family->name) == how.family);
    require((recognise_family(jinja) == nullptr) == (how.origin == TemplateOrigin::fallback));
    check_prompt(how, text, tokenizer, loaded.platform);
    // And one that nothing in the input need find.
    const auto& families = template_families();
    const TemplateFamily& other = families[size % families.size()];
    check_prompt(template_of(other, TemplateOrigin::chosen, tokenizer, loaded.scratch), text, tokenizer,
                 loaded.platform);
    require(loaded.scratch.broken_guard() == nullptr && loaded.scratch.used_bytes() == 0);
    return 0;
}
