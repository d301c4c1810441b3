// SPDX-License-Identifier: MIT
#include "boot/config.h"
#include "fake/fake_platform.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

using Sentences = std::vector<std::string>;

ConfigReport into(Sentences& sentences)
{
    return {[](void* context, std::string_view sentence) { static_cast<Sentences*>(context)->emplace_back(sentence); },
            &sentences};
}

struct Parsed {
    explicit Parsed(std::string_view text) { parse_config(text, config, into(sentences)); }
    Config config;
    Sentences sentences;
};

/// The only complaint about `text`, or "".
std::string complaint(std::string_view text)
{
    const Parsed parsed(text);
    EXPECT_LE(parsed.sentences.size(), 1u) << text;
    return parsed.sentences.empty() ? "" : parsed.sentences[0];
}

TEST(Config, EveryKey)
{
    const Parsed parsed("temp = 0.85\nmin_p=0.05\ntop_p =0.95\ntop_k= 80\nnorepeat = 4\nrepeat = 1.15 64\n"
                        "max_tokens = 160\nseed = 18446744073709551615\nstop = ###\nstop = \" User:\"\nstats = off\n"
                        "default = stories15M.bin\ntimeout = 5\nautorun = \\scripts\\new.txt\nthreads = 0\n"
                        "kernels = sse2\nctx = 2048\nkv = Q8_0\nsystem = You are kind. # really\ntemplate = chatml\n"
                        "bounce = off\nkeymap = de\nlog = yes\nstrict_budget = 1\nlookup = 3");
    EXPECT_EQ(parsed.sentences, Sentences());
    const Config& c = parsed.config;
    EXPECT_EQ(c.temp, 0.85f);
    EXPECT_EQ(c.min_p, 0.05f);
    EXPECT_EQ(c.top_p, 0.95f);
    EXPECT_EQ(c.top_k, 80u);
    EXPECT_EQ(c.norepeat, 4u);
    EXPECT_EQ(c.repeat, 1.15f);
    EXPECT_EQ(c.repeat_window, 64u);
    EXPECT_EQ(c.max_tokens, 160u);
    EXPECT_EQ(c.seed, UINT64_MAX);
    ASSERT_EQ(c.stop_count, 2u);
    EXPECT_EQ(c.stops[0].view(), "###");
    EXPECT_EQ(c.stops[1].view(), " User:");
    EXPECT_EQ(c.stats, false);
    EXPECT_EQ(c.default_model->view(), "stories15M.bin");
    EXPECT_EQ(c.timeout_seconds, 5u);
    EXPECT_EQ(c.autorun->view(), "\\scripts\\new.txt") << "no escapes outside quotes";
    EXPECT_EQ(c.threads, 0u);
    EXPECT_EQ(c.kernels->view(), "sse2");
    EXPECT_EQ(c.context, 2048u);
    EXPECT_EQ(c.kv_type, KvType::q8_0);
    EXPECT_EQ(c.system->view(), "You are kind. # really") << "a text may hold '#'";
    EXPECT_EQ(c.chat_template->view(), "chatml");
    EXPECT_EQ(c.keymap->view(), "de");
    EXPECT_EQ(c.log, true);
    EXPECT_EQ(c.bounce, false);
    EXPECT_EQ(c.strict_budget, true);
    EXPECT_EQ(c.lookup, 3u);
}

TEST(Config, TheTestAboveKnowsTheWholeTable)
{
    EXPECT_EQ(config_keys().size(), 24u);
    for (const auto& key : config_keys()) {
        EXPECT_FALSE(key.help.empty());
        EXPECT_LE(key.name.size(), 31u);
    }
}

TEST(Config, NothingSaidNothingSet)
{
    for (const char* text : {"", "\n\n", "# temp = 1\n", "\xEF\xBB\xBF", "   \t \r\n"}) {
        const Parsed parsed(text);
        EXPECT_TRUE(parsed.sentences.empty()) << text;
        EXPECT_FALSE(parsed.config.temp.has_value());
        EXPECT_FALSE(parsed.config.system.has_value());
        EXPECT_EQ(parsed.config.stop_count, 0u);
    }
}

TEST(Config, Spelling)
{
    EXPECT_EQ(Parsed("\xEF\xBB\xBFTemp=1\r\n\r\n  TOP_K\t=\t7  \r\n").config.temp, 1.0f);
    EXPECT_EQ(Parsed("\xEF\xBB\xBFTemp=1\r\n\r\n  TOP_K\t=\t7  \r\n").config.top_k, 7u);
    EXPECT_EQ(Parsed("temp = 0.5 # warm").config.temp, 0.5f);
    EXPECT_EQ(Parsed("stats = ON# yes").config.stats, true);
    EXPECT_EQ(Parsed("kernels = avx2 # fast").config.kernels->view(), "avx2");
    EXPECT_EQ(Parsed("temp = 1\ntemp = 2").config.temp, 2.0f) << "the last counts";
    EXPECT_EQ(Parsed("repeat = 1.1").config.repeat_window, std::nullopt);
    EXPECT_EQ(Parsed("system = größer = besser").config.system->view(), "größer = besser");
    EXPECT_EQ(Parsed("system =").config.system->view(), "") << "said, and empty";
}

TEST(Config, ANumberOrASwitch)
{
    EXPECT_EQ(Parsed("lookup = on # all of them").config.lookup, 7u);
    EXPECT_EQ(Parsed("lookup = No").config.lookup, 0u);
    EXPECT_EQ(Parsed("lookup = 0").config.lookup, 0u);
    EXPECT_EQ(Parsed("lookup = 1").config.lookup, 1u) << "a number before it is a switch";
    EXPECT_EQ(complaint("lookup = 8"), "llmk.cfg line 1: lookup is 8, allowed is 0 to 7");
    EXPECT_EQ(complaint("lookup = much"), "llmk.cfg line 1: lookup is \"much\", expected on, off or a whole number");
    EXPECT_EQ(complaint("lookup ="), "llmk.cfg line 1: lookup has no value");
    EXPECT_EQ(Parsed("lookup = 8").config.lookup, std::nullopt);
}

TEST(Config, Quotes)
{
    EXPECT_EQ(Parsed(R"(system = "a\n\tb \"c\" \\d # e" # comment)").config.system->view(), "a\n\tb \"c\" \\d # e");
    EXPECT_EQ(Parsed("system = say \"hi\"").config.system->view(), "say \"hi\"");
    EXPECT_EQ(complaint("system = \"open"), "llmk.cfg line 1: system: the closing quote is missing");
    EXPECT_EQ(complaint("system = \"open\\"), "llmk.cfg line 1: system: in quotes a backslash is followed by n, t, \" "
                                              "or another backslash");
    EXPECT_EQ(complaint("system = \"a\" b"), "llmk.cfg line 1: system: there is text after the closing quote");
}

TEST(Config, BounceIsAutoOrOff)
{
    EXPECT_EQ(Parsed("bounce = auto # below 4 GiB").config.bounce, true);
    EXPECT_EQ(Parsed("bounce = off").config.bounce, false);
    EXPECT_EQ(complaint("bounce = on"), "llmk.cfg line 1: bounce: expected auto or off");
}

TEST(Config, BadLinesAreNamedAndSkipped)
{
    const Parsed parsed("temp = 1\nnonsense\n\ntemp = hot\ntop_k = 5\n");
    EXPECT_EQ(parsed.sentences, (Sentences{"llmk.cfg line 2: expected \"key = value\"",
                                           "llmk.cfg line 4: temp is \"hot\", expected a number such as 0.8"}));
    EXPECT_EQ(parsed.config.temp, 1.0f);
    EXPECT_EQ(parsed.config.top_k, 5u);
}

TEST(Config, UnknownKeysAndTheNearest)
{
    EXPECT_EQ(complaint("tmep = 1"), "llmk.cfg line 1: there is no setting \"tmep\"; did you mean \"temp\"?");
    EXPECT_EQ(complaint("MAX-TOKENS = 1"),
              "llmk.cfg line 1: there is no setting \"MAX-TOKENS\"; did you mean \"max_tokens\"?");
    EXPECT_EQ(complaint("colour = 1"), "llmk.cfg line 1: there is no setting \"colour\"");
    EXPECT_EQ(complaint("= 1"), "llmk.cfg line 1: there is no setting \"\"");
    EXPECT_EQ(complaint(std::string(5000, 'x') + "=1"),
              "llmk.cfg line 1: there is no setting \"" + std::string(40, 'x') + "\"");
}

TEST(Config, Ranges)
{
    EXPECT_EQ(complaint("temp = 5.5"), "llmk.cfg line 1: temp is 5.5, allowed is 0.0 to 5.0");
    EXPECT_EQ(complaint("temp = -0.1"), "llmk.cfg line 1: temp is -0.1, allowed is 0.0 to 5.0");
    EXPECT_EQ(complaint("top_p = 1.01"), "llmk.cfg line 1: top_p is 1.01, allowed is 0.0 to 1.0");
    EXPECT_EQ(complaint("timeout = 3601"), "llmk.cfg line 1: timeout is 3601, allowed is 0 to 3600");
    EXPECT_EQ(complaint("ctx = 7"), "llmk.cfg line 1: ctx is 7, allowed is 8 to 16777216");
    EXPECT_EQ(complaint("repeat = 1.1 -3"), "llmk.cfg line 1: repeat: \"-3\" is not a number of tokens");
    for (const char* good : {"temp = 0", "temp = 5", "top_p = 1", "timeout = 0", "timeout = 3600", "ctx = 8"}) {
        EXPECT_EQ(complaint(good), "");
    }
}

TEST(Config, WrongKindOfValue)
{
    for (const char* bad :
         {"temp =", "temp = # 1", "temp = nan", "temp = inf", "temp = 1 2", "top_k = 1.5", "top_k = -1",
          "top_k = 18446744073709551616", "seed = x", "stats = maybe", "log =", "kernels = a b",
          "kernels =", "repeat = 1 2 3", "template = \"\"", "stop =", "stop = \"\""}) {
        const auto sentence = complaint(bad);
        EXPECT_TRUE(sentence.starts_with("llmk.cfg line 1: ")) << bad;
    }
}

TEST(Config, LengthOfTexts)
{
    EXPECT_EQ(Parsed("system = " + std::string(2048, 'a')).config.system->size(), 2048u);
    EXPECT_EQ(Parsed("system = \"" + std::string(2048, 'a') + "\"").config.system->size(), 2048u);
    for (const std::string& quote : {std::string(), std::string("\"")}) {
        const Parsed parsed("system = " + quote + std::string(2049, 'a') + quote);
        EXPECT_EQ(parsed.sentences, Sentences{"llmk.cfg line 1: system is too long, at most 2048 bytes"});
        EXPECT_FALSE(parsed.config.system.has_value());
    }
    EXPECT_EQ(complaint("kernels = 12345678901234567"), "llmk.cfg line 1: kernels is too long, at most 16 bytes");
    EXPECT_EQ(complaint("stop=a\nstop=b\nstop=c\nstop=d\nstop=e"),
              "llmk.cfg line 5: stop: there is room for 4 of them");
}

TEST(Config, NotText)
{
    using namespace std::string_view_literals;
    EXPECT_EQ(complaint("temp = 1\0"sv), "llmk.cfg line 1: not plain UTF-8 text");
    EXPECT_EQ(complaint("system = gr\xF6\xDF"), "llmk.cfg line 1: not plain UTF-8 text");
    EXPECT_EQ(complaint("system = a\x1b[2J"), "llmk.cfg line 1: not plain UTF-8 text");
    EXPECT_EQ(complaint("\xFF\xFEt\0e\0"sv), "llmk.cfg is UTF-16; save it as UTF-8");
    std::string noise;
    for (int i = 0; i < 100; ++i) {
        noise += "\x80\n";
    }
    const Parsed parsed(noise);
    ASSERT_EQ(parsed.sentences.size(), 17u);
    EXPECT_EQ(parsed.sentences.back(), "llmk.cfg: 84 more bad lines");
}

// --- the file -----------------------------------------------------------------------------------------------------

TEST(ConfigFile, IsRead)
{
    FakePlatform platform;
    platform.add_file("LLMK.CFG", "temp = 0.5\nwrong\n");
    Config config;
    Sentences sentences;
    EXPECT_TRUE(load_config(platform, config, into(sentences)).ok());
    EXPECT_EQ(config.temp, 0.5f);
    EXPECT_EQ(sentences.size(), 1u);
}

TEST(ConfigFile, MissingIsFine)
{
    FakePlatform platform;
    Config config;
    Sentences sentences;
    EXPECT_TRUE(load_config(platform, config, into(sentences)).ok());
    EXPECT_TRUE(sentences.empty());
}

TEST(ConfigFile, TooLarge)
{
    FakePlatform platform;
    Config config;
    Sentences sentences;
    platform.add_file("llmk.cfg", std::string(kConfigMaxBytes, '\n'));
    EXPECT_TRUE(load_config(platform, config, into(sentences)).ok());
    platform.add_file("llmk.cfg", std::string(kConfigMaxBytes + 1, '\n'));
    const auto result = load_config(platform, config, into(sentences));
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().message.view(),
              "llmk.cfg: 65537 bytes are too many for a configuration, at most 65536 are read");
}

TEST(ConfigFile, FailuresAreReportedAndNothingLeaks)
{
    Config config;
    Sentences sentences;
    for (int which = 0; which < 5; ++which) {
        FakePlatform platform;
        platform.add_file("llmk.cfg", "temp = 1");
        (which == 0   ? platform.fail_open_in
         : which == 1 ? platform.fail_read_in
         : which == 2 ? platform.short_read_in
         : which == 3 ? platform.fail_alloc_in
                      : platform.fail_list_in) = 1;
        if (which == 4) {
            platform.add_directory("llmk.cfg.d");
            platform.volume().nodes.erase("llmk.cfg");
            platform.add_directory("llmk.cfg");
        }
        EXPECT_FALSE(load_config(platform, config, into(sentences)).ok()) << which;
    }
    EXPECT_FALSE(config.temp.has_value());
}

} // namespace
} // namespace llmk
