// SPDX-License-Identifier: MIT
#include "engine/templates.h"

#include "mem/file_bytes.h"

namespace llmk {

namespace {

/// "26 Jul 2024", as Python's "%d %b %Y"; empty where there is no clock.
Text<16> today(Platform& platform)
{
    constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    auto clock = platform.wall_clock();
    if (!clock.ok() || clock.value().month < 1 || clock.value().month > 12) {
        return {};
    }
    const WallClock& now = clock.value();
    return Text<16>("{:02} {} {}", now.day, kMonths[now.month - 1], now.year);
}

} // namespace

Result<Vec<uint8_t>> read_chat_template(Platform& platform, const ModelDesc& desc)
{
    Vec<uint8_t> bytes(platform);
    if (desc.chat_template_bytes == 0 || desc.chat_template_bytes > kMaxTemplateBytes) {
        return bytes;
    }
    TRY(bytes.resize(desc.chat_template_bytes));
    PlatformFile* file = TRY(platform.file_open(desc.path, OpenMode::read));
    auto got = platform.file_read_at(file, desc.chat_template_at, bytes.data(), bytes.size());
    platform.file_close(file);
    if (!got.ok()) {
        return got.error();
    }
    if (got.value() != bytes.size()) {
        return fail(Status::io_error, "{}: only {} of the {} bytes of its 'tokenizer.chat_template' could be read",
                    desc.path, got.value(), bytes.size());
    }
    return bytes;
}

Result<ChatTemplate> find_template(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                                   Arena& scratch)
{
    if (desc.chat_template_bytes == 0) {
        return template_of(raw_family(), TemplateOrigin::absent, tokenizer, scratch);
    }
    const auto jinja = TRY(read_chat_template(platform, desc));
    return recognise_template(as_text(jinja), today(platform), tokenizer, scratch);
}

Result<ChatTemplate> choose_template(Platform& platform, const ModelDesc& desc, const Tokenizer& tokenizer,
                                     std::string_view name, Arena& scratch)
{
    ChatTemplate own = TRY(find_template(platform, desc, tokenizer, scratch));
    if (equal_ignore_case(name, "auto")) {
        return own;
    }
    const TemplateFamily* family = find_template_family(name);
    if (family == nullptr) {
        Text<280> names;
        for (const TemplateFamily& each : template_families()) {
            format(names, "{}{}", names.size() == 0 ? "" : ", ", each.name);
        }
        return fail(Status::not_found, "there is no template '{:.20}'; known are auto, {}", name, names);
    }
    if (own.family == family && own.origin == TemplateOrigin::recognised) {
        own.origin = TemplateOrigin::chosen; // the file's own details are better than the family's
        return own;
    }
    return template_of(*family, TemplateOrigin::chosen, tokenizer, scratch);
}

std::string_view origin_text(TemplateOrigin origin)
{
    constexpr std::string_view kTexts[] = {"the file has none", "recognised in the file",
                                           "a fallback: the file's own is not known", "set by you"};
    return kTexts[static_cast<size_t>(origin)];
}

} // namespace llmk
