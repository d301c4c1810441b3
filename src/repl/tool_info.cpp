// SPDX-License-Identifier: MIT
#include "engine/templates.h"
#include "mem/file_bytes.h"
#include "repl/report.h"
#include "repl/tools.h"

namespace llmk {

Result<void> tool_tokens(Platform& platform, const Tokenizer& tokenizer, std::string_view text, BosRule bos,
                         SpecialText special)
{
    // An arena of its own, as large as this text needs: there may be no model and the text may be a book.
    Arena arena;
    const uint64_t room = tokenizer.max_tokens(text.size());
    TRY(arena.add_extent(platform,
                         tokenizer.scratch_bytes(text.size()) + room * sizeof(Token) + 4 * Arena::kAlignment));
    const auto print = [&]() -> Result<void> {
        const std::span<Token> ids{TRY(arena.alloc_array<Token>(room)), static_cast<size_t>(room)};
        const size_t count = TRY(tokenizer.encode(text, bos, ids, arena, special));
        Text<512> line;
        for (size_t i = 0; i < count; ++i) {
            format(line, "{}{}", i == 0 ? "" : " ", ids[i]);
            if (line.size() + 16 > line.capacity()) {
                platform.console_write(line);
                line.clear();
            }
        }
        line.put('\n');
        platform.console_write(line);
        return success();
    };
    auto result = print();
    arena.release(platform);
    return result;
}

namespace {

class ConsoleSink final : public LineSink {
public:
    explicit ConsoleSink(Platform& console) : m_console(console) {}
    using LineSink::line;
    void line(std::string_view text) override { m_console.console_write(Text<480>("{}\n", text)); }

private:
    Platform& m_console;
};

struct TemplateFinding {
    const TemplateFamily* family;
    TemplateOrigin origin;
};

/// Without the vocabulary, so an unknown template's fallback is not told from what it falls back to.
Result<TemplateFinding> find_family(Platform& platform, const ModelDesc& desc)
{
    const auto jinja = TRY(read_chat_template(platform, desc));
    if (desc.chat_template_bytes == 0) {
        return TemplateFinding{&raw_family(), TemplateOrigin::absent};
    }
    const TemplateFamily* family = recognise_family(as_text(jinja));
    return TemplateFinding{family != nullptr ? family : &raw_family(),
                           family != nullptr ? TemplateOrigin::recognised : TemplateOrigin::fallback};
}

/// A GGUF file without tensors, of whatever architecture.
Result<void> report_vocabulary_only(Platform& platform, ModelDesc& desc, std::string_view tokenizer)
{
    ConsoleSink out(platform);
    const TemplateFinding found = TRY(find_family(platform, desc));
    desc.vocabulary = TRY(find_vocabulary(platform, desc, tokenizer));
    out.line("file: {}", desc.path);
    out.line("format: {}, a vocabulary only", desc.format);
    out.line("architecture: {}", desc.architecture);
    out.line("file_size_bytes: {}", desc.file_size_bytes);
    report_vocabulary(desc, out);
    report_template(*found.family, found.origin, out);
    return success();
}

} // namespace

Result<void> tool_info(Platform& platform, const ToolArgs& args)
{
    ModelDesc desc = TRY(describe_model(platform, args.model));
    if (desc.tensors.empty()) {
        return report_vocabulary_only(platform, desc, args.tokenizer);
    }
    const InspectedModel candidate = TRY(inspect_model(platform, args.model, args.tokenizer));
    const MemoryPlan plan = TRY(plan_memory(candidate, args.context, args.kv_type.value_or(KvType::f16)));
    const TemplateFinding found = TRY(find_family(platform, candidate.desc));
    ConsoleSink out(platform);
    report_model(candidate.desc, plan, out);
    report_template(*found.family, found.origin, out);
    return success();
}

} // namespace llmk
