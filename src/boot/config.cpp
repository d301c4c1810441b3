// SPDX-License-Identifier: MIT
#include "boot/config.h"

#include "engine/lookup.h"
#include "mem/file_bytes.h"
#include "tokenizer/utf8.h"

#include <algorithm>

namespace llmk {

namespace {

// --- the table ----------------------------------------------------------------------------------------------------

template <auto Member> std::string_view set_real(Config& config, const ConfigValue& value)
{
    config.*Member = value.real;
    return {};
}

template <auto Member> std::string_view set_count(Config& config, const ConfigValue& value)
{
    config.*Member = value.count;
    return {};
}

template <auto Member> std::string_view set_flag(Config& config, const ConfigValue& value)
{
    config.*Member = value.flag;
    return {};
}

/// The length was checked against the row's `most`.
template <auto Member> std::string_view set_text(Config& config, const ConfigValue& value)
{
    (config.*Member).emplace().put(value.text);
    return {};
}

std::string_view set_repeat(Config& config, const ConfigValue& value)
{
    config.repeat = value.real;
    if (value.has_count) {
        config.repeat_window = value.count;
    }
    return {};
}

std::string_view add_stop(Config& config, const ConfigValue& value)
{
    if (value.text.empty()) {
        return "an empty text would stop everything";
    }
    if (config.stop_count == Config::kMaxStops) {
        return "there is room for 4 of them";
    }
    config.stops[config.stop_count++] = value.text;
    return {};
}

std::string_view set_kv_type(Config& config, const ConfigValue& value)
{
    const auto type = parse_kv_type(value.text);
    if (!type) {
        return "expected f16, f32 or q8_0";
    }
    config.kv_type = type;
    return {};
}

std::string_view set_bounce(Config& config, const ConfigValue& value)
{
    if (value.text != "auto" && value.text != "off") {
        return "expected auto or off";
    }
    config.bounce = value.text == "auto";
    return {};
}

constexpr double kAnyCount = 18446744073709551615.0;

constexpr ConfigKey kKeys[] = {
    {"temp", ConfigKind::real, 0, 5, "temperature; 0 always takes the likeliest token", set_real<&Config::temp>},
    {"min_p", ConfigKind::real, 0, 1, "drop tokens less likely than this share of the best; 0 is off",
     set_real<&Config::min_p>},
    {"top_p", ConfigKind::real, 0, 1, "keep the likeliest tokens up to this sum; 1 is off", set_real<&Config::top_p>},
    {"top_k", ConfigKind::count, 0, 1'000'000, "keep this many of the likeliest tokens; 0 is off",
     set_count<&Config::top_k>},
    {"norepeat", ConfigKind::count, 0, 64, "never say the same run of this many tokens twice; 0 is off",
     set_count<&Config::norepeat>},
    {"repeat", ConfigKind::real_and_count, 0.5, 5, "penalty for repeating, and over how many tokens; 1 is off",
     set_repeat},
    {"max_tokens", ConfigKind::count, 1, 10'000'000, "the longest answer", set_count<&Config::max_tokens>},
    {"seed", ConfigKind::count, 0, kAnyCount, "the same seed gives the same answers", set_count<&Config::seed>},
    {"lookup", ConfigKind::flag_or_count, 0, Lookup::kMostDrafted,
     "tokens that are guessed from what was said before; changes speed only", set_count<&Config::lookup>},
    {"stop", ConfigKind::text, 0, 64, "an answer ends before this text; up to 4 lines", add_stop},
    {"stats", ConfigKind::flag, 0, 0, "a line of figures after each answer", set_flag<&Config::stats>},
    {"default", ConfigKind::text, 0, 256, "the model that the menu starts", set_text<&Config::default_model>},
    {"timeout", ConfigKind::count, 0, 3600, "seconds until it does", set_count<&Config::timeout_seconds>},
    {"autorun", ConfigKind::text, 0, 256, "a file whose lines are typed at the prompt", set_text<&Config::autorun>},
    {"threads", ConfigKind::count, 0, 4096, "processors to use; 0 is all", set_count<&Config::threads>},
    {"kernels", ConfigKind::word, 0, 16, "the kernel set, instead of the fastest measured", set_text<&Config::kernels>},
    {"ctx", ConfigKind::count, 8, 16'777'216, "context length in tokens", set_count<&Config::context>},
    {"kv", ConfigKind::word, 0, 16, "how the KV cache is packed: f16, f32 or q8_0", set_kv_type},
    {"system", ConfigKind::text, 0, 2048, "the system prompt of chat models", set_text<&Config::system>},
    {"template", ConfigKind::word, 0, 64, "the chat template, instead of the model's own",
     set_text<&Config::chat_template>},
    {"bounce", ConfigKind::word, 0, 16,
     "auto: files go to memory above 4 GiB through a buffer below it; off: straight, which is faster where it works",
     set_bounce},
    {"keymap", ConfigKind::word, 0, 16, "the keyboard's layout", set_text<&Config::keymap>},
    {"log", ConfigKind::flag, 0, 0, "keep a transcript in llmk-log.txt", set_flag<&Config::log>},
    {"strict_budget", ConfigKind::flag, 0, 0, "stop an answer that takes far longer than expected",
     set_flag<&Config::strict_budget>},
};

const ConfigKey* find_key(std::string_view name)
{
    const auto* found = std::find_if(std::begin(kKeys), std::end(kKeys),
                                     [&](const auto& key) { return equal_ignore_case(key.name, name); });
    return found == std::end(kKeys) ? nullptr : found;
}

/// The key a person may have meant; null if none is near.
const ConfigKey* nearest_key(std::string_view name)
{
    Text<31> lower;
    for (const char c : head(name, lower.capacity())) {
        lower.put(to_lower(c));
    }
    const ConfigKey* nearest = nullptr;
    // Two letters changed places are two edits.
    size_t least = std::max<size_t>(name.size() / 3, name.size() > 3 ? 2 : 1) + 1;
    for (const auto& key : kKeys) {
        const size_t distance = edit_distance(lower.view(), key.name);
        if (distance < least) {
            least = distance;
            nearest = &key;
        }
    }
    return nearest;
}

// --- values -------------------------------------------------------------------------------------------------------

/// Why a line is bad; empty if it is not.
using Complaint = Text<256>;

/// Numbers and words cannot hold a '#', so what follows one is a comment. Texts can.
std::string_view without_comment(std::string_view value) { return trim(head(value, value.find('#'))); }

bool in_range(const ConfigKey& key, double number) { return number >= key.least && number <= key.most; }

Complaint out_of_range(const ConfigKey& key, std::string_view value)
{
    const bool real = key.kind == ConfigKind::real || key.kind == ConfigKind::real_and_count;
    if (real) {
        return Complaint("{} is {}, allowed is {:.1} to {:.1}", key.name, value, key.least, key.most);
    }
    return Complaint("{} is {}, allowed is {:.0} to {:.0}", key.name, value, key.least, key.most);
}

Complaint parse_number(const ConfigKey& key, std::string_view value, ConfigValue& result)
{
    std::string_view rest = value;
    const auto first = next_word(rest);
    const auto second = next_word(rest);
    const bool two_allowed = key.kind == ConfigKind::real_and_count;
    if (!rest.empty() || (!second.empty() && !two_allowed)) {
        return Complaint("{} takes one number, not \"{:.40}\"", key.name, value);
    }
    if (key.kind == ConfigKind::count || key.kind == ConfigKind::flag_or_count) {
        const auto count = parse_u64(first);
        if (!count) {
            return Complaint("{} is \"{:.40}\", expected a whole number", key.name, first);
        }
        result.count = *count;
        return in_range(key, static_cast<double>(*count)) ? Complaint() : out_of_range(key, first);
    }
    const auto real = parse_f32(first);
    if (!real) {
        return Complaint("{} is \"{:.40}\", expected a number such as 0.8", key.name, first);
    }
    result.real = *real;
    if (!in_range(key, static_cast<double>(*real))) {
        return out_of_range(key, head(first, 40));
    }
    if (!second.empty()) {
        constexpr uint64_t kMostTokens = 16'777'216;
        const auto count = parse_u64(second);
        if (!count || *count > kMostTokens) {
            return Complaint("{}: \"{:.40}\" is not a number of tokens", key.name, second);
        }
        result.count = *count;
        result.has_count = true;
    }
    return {};
}

Complaint parse_flag(const ConfigKey& key, std::string_view value, ConfigValue& result)
{
    constexpr std::string_view kOn[] = {"on", "yes", "true", "1"};
    constexpr std::string_view kOff[] = {"off", "no", "false", "0"};
    for (const auto word : kOn) {
        if (equal_ignore_case(value, word)) {
            result.flag = true;
            return {};
        }
    }
    for (const auto word : kOff) {
        if (equal_ignore_case(value, word)) {
            return {};
        }
    }
    return Complaint("{} is \"{:.40}\", expected on or off", key.name, value);
}

/// A number, or a word for the least or the most of them.
Complaint parse_flag_or_count(const ConfigKey& key, std::string_view value, ConfigValue& result)
{
    if (parse_u64(value)) {
        return parse_number(key, value, result);
    }
    const auto complaint = parse_flag(key, value, result);
    result.count = result.flag ? static_cast<uint64_t>(key.most) : 0;
    return complaint.view().empty()
               ? Complaint()
               : Complaint("{} is \"{:.40}\", expected on, off or a whole number", key.name, value);
}

/// `value` starts with a quote. What it stands for goes to `out`.
Complaint parse_quoted(const ConfigKey& key, std::string_view value, TextWriter& out)
{
    size_t i = 1;
    for (; i < value.size() && value[i] != '"'; ++i) {
        if (value[i] != '\\') {
            out.put(head(tail(value, i), 1));
            continue;
        }
        ++i;
        const char escaped = i < value.size() ? value[i] : '\0';
        if (escaped == 'n' || escaped == 't') {
            out.put(escaped == 'n' ? '\n' : '\t');
        } else if (escaped == '"' || escaped == '\\') {
            out.put(escaped);
        } else {
            return Complaint("{}: in quotes a backslash is followed by n, t, \" or another backslash", key.name);
        }
    }
    if (i >= value.size()) {
        return Complaint("{}: the closing quote is missing", key.name);
    }
    if (!without_comment(tail(value, i + 1)).empty()) {
        return Complaint("{}: there is text after the closing quote", key.name);
    }
    return {};
}

Complaint parse_value(const ConfigKey& key, std::string_view value, TextWriter& unquoted, ConfigValue& result)
{
    switch (key.kind) {
    case ConfigKind::real:
    case ConfigKind::count:
    case ConfigKind::real_and_count:
    case ConfigKind::flag:
    case ConfigKind::flag_or_count:
        value = without_comment(value);
        if (value.empty()) {
            return Complaint("{} has no value", key.name);
        }
        if (key.kind == ConfigKind::flag_or_count) {
            return parse_flag_or_count(key, value, result);
        }
        return key.kind == ConfigKind::flag ? parse_flag(key, value, result) : parse_number(key, value, result);
    case ConfigKind::word:
        value = value.starts_with('"') ? value : without_comment(value);
        break;
    case ConfigKind::text:
        break;
    }
    result.text = value;
    if (value.starts_with('"')) {
        const auto complaint = parse_quoted(key, value, unquoted);
        if (!complaint.view().empty()) {
            return complaint;
        }
        result.text = unquoted.view();
    }
    if (static_cast<double>(result.text.size()) > key.most || unquoted.truncated()) {
        return Complaint("{} is too long, at most {:.0} bytes", key.name, key.most);
    }
    if (key.kind == ConfigKind::word && (result.text.empty() || result.text.find(' ') != std::string_view::npos)) {
        return Complaint("{} takes one word, not \"{:.40}\"", key.name, result.text);
    }
    return {};
}

// --- lines --------------------------------------------------------------------------------------------------------

bool is_plain_utf8(std::string_view line)
{
    while (!line.empty()) {
        const auto c = utf8_decode(line);
        if (!c.valid || (c.value < 0x20 && c.value != '\t') || c.value == 0x7F) {
            return false;
        }
        line.remove_prefix(c.length);
    }
    return true;
}

Complaint parse_line(std::string_view line, Config& config)
{
    if (!is_plain_utf8(line)) {
        return Complaint("not plain UTF-8 text");
    }
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
        return Complaint("expected \"key = value\"");
    }
    const Text<40> name(trim(head(line, equals))); // cut: it may be a whole page
    const auto* key = find_key(name.view());
    if (key == nullptr) {
        const auto* nearest = nearest_key(name.view());
        return nearest == nullptr ? Complaint("there is no setting \"{}\"", name)
                                  : Complaint("there is no setting \"{}\"; did you mean \"{}\"?", name, nearest->name);
    }
    ConfigValue value;
    Text<2049> unquoted; // one more than the longest text, so that too long is seen
    Complaint complaint = parse_value(*key, trim(tail(line, equals + 1)), unquoted, value);
    if (complaint.view().empty()) {
        const auto refused = key->store(config, value);
        if (!refused.empty()) {
            format(complaint, "{}: {}", key->name, refused);
        }
    }
    return complaint;
}

} // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

void parse_config(std::string_view text, Config& config, const ConfigReport& report)
{
    // A file that is no text at all should not fill the screen.
    constexpr size_t kMaxComplaints = 16;
    constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
        report.say(report.context, "llmk.cfg is UTF-16; save it as UTF-8");
        return;
    }
    if (text.starts_with(kUtf8Mark)) {
        text.remove_prefix(kUtf8Mark.size());
    }
    size_t complaints = 0;
    for (size_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        const auto line = trim(head(text, end));
        text = end == std::string_view::npos ? std::string_view() : tail(text, end + 1);
        if (line.empty() || line.front() == '#') {
            continue;
        }
        const auto complaint = parse_line(line, config);
        if (!complaint.view().empty() && ++complaints <= kMaxComplaints) {
            const Text<320> sentence("llmk.cfg line {}: {}", number, complaint);
            report.say(report.context, sentence.view());
        }
    }
    if (complaints > kMaxComplaints) {
        const Text<64> sentence("llmk.cfg: {} more bad lines", complaints - kMaxComplaints);
        report.say(report.context, sentence.view());
    }
}

Result<void> load_config(Platform& platform, Config& config, const ConfigReport& report)
{
    auto bytes = read_file(platform, kConfigPath, kConfigMaxBytes, "a configuration");
    if (!bytes.ok()) {
        return bytes.error().status == Status::not_found ? success() : Result<void>(bytes.error());
    }
    parse_config(as_text(bytes.value()), config, report);
    return success();
}

} // namespace llmk
