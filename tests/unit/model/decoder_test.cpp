// SPDX-License-Identifier: MIT
//
// Each architecture against itself, what it refuses, and what each of its parts does. Against transformers:
// tests/golden/test_architectures.py.
#include "fake/first_keys.h"
#include "fake/tiny_arch.h"
#include "fake/tiny_engine.h"
#include "model/decoder.h"

#include <cmath>
#include <cstring>
#include <random>

namespace llmk {
namespace {

std::vector<Token> some_tokens(size_t count, uint32_t seed)
{
    std::mt19937 random(seed);
    std::vector<Token> tokens(count);
    for (Token& token : tokens) {
        token = static_cast<Token>(random() % 290);
    }
    return tokens;
}

/// A loaded GGUF file.
struct Loaded {
    explicit Loaded(const GgufFile& file, uint64_t context = 0, KvType kv_type = KvType::f16)
    {
        platform.add_file("m.gguf", file.bytes());
        EXPECT_TRUE(engine.start("scalar").ok());
        engine.want_kv_type(kv_type);
        auto loaded = engine.load("m.gguf", {}, context, {});
        EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().message.view());
    }
    ~Loaded()
    {
        EXPECT_FALSE(engine.zones().broken_guard());
        engine.unload();
    }
    Session& session() { return engine.session(); }

    FakePlatform platform;
    Engine engine{platform};
};

std::vector<float> logits_of(const GgufFile& file, std::span<const Token> tokens, uint64_t context = 0)
{
    Loaded model(file, context);
    EXPECT_TRUE(model.session().prefill(tokens, {}).ok());
    const auto logits = model.session().logits();
    return {logits.begin(), logits.end()};
}

std::string refusal(const GgufFile& file)
{
    FakePlatform platform;
    platform.add_file("m.gguf", file.bytes());
    auto model = inspect_model(platform, "m.gguf", {});
    return model.ok() ? "" : std::string(model.error().message.view());
}

void expect_refused(const GgufFile& file, const std::string& words)
{
    EXPECT_NE(refusal(file).find(words), std::string::npos) << refusal(file) << " lacks " << words;
    EXPECT_EQ(refusal(file).find("m.gguf: "), 0u) << refusal(file);
}

std::string floats(const std::vector<float>& values)
{
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

TEST(Decoder, InOneBatchEqualsTokenByToken)
{
    for (const char* name : kTinyArchitectures) {
        Loaded model(tiny_arch(name));
        Session& session = model.session();
        const auto tokens = some_tokens(50, 3);
        std::vector<float> rows(tokens.size() * 290);
        ASSERT_TRUE(session.run_all_logits(tokens, rows.data()).ok());
        session.rewind(0);
        float size = 0.0f;
        for (size_t i = 0; i < tokens.size(); ++i) {
            ASSERT_TRUE(session.decode(tokens[i]).ok());
            const auto row = std::span(rows).subspan(i * 290, 290);
            for (const float value : row) {
                size = std::fmax(size, std::fabs(value));
            }
            EXPECT_LT(largest_difference(row, session.logits()), 2e-5f * size) << name << ' ' << i;
        }
        EXPECT_GT(size, 0.5f) << name << " says something";
    }
}

TEST(Decoder, EveryRequiredTensorIsNamedWhenMissingOrMisshapen)
{
    for (const char* name : kTinyArchitectures) {
        const GgufFile whole = tiny_arch(name);
        EXPECT_EQ(refusal(whole), "");
        for (const GgufFile::Tensor& tensor : whole.tensors) {
            GgufFile file = whole;
            file.remove_tensor(tensor.name);
            const bool optional = std::string_view(name) == "gpt2" && tensor.name.ends_with(".bias");
            if (optional) {
                EXPECT_EQ(refusal(file), "");
            } else {
                expect_refused(file, "tensor " + tensor.name + " is missing");
            }
            if (tensor.name == "token_embd.weight") {
                continue; // as many rows as it has are the vocabulary
            }
            file = whole;
            auto& wrong = file.tensor(tensor.name);
            wrong.dimensions.push_back(2);
            wrong.data += wrong.data;
            expect_refused(file, "tensor " + tensor.name + " has ");
            expect_refused(file, ", expected " +
                                     std::to_string(tensor.dimensions.size() == 1 ? 1 : tensor.dimensions[1]) + " of " +
                                     std::to_string(tensor.dimensions[0]));
        }
    }
}

TEST(Decoder, TensorsOfOtherArchitecturesAreRefused)
{
    const struct {
        const char* architecture;
        const char* tensor;
    } foreign[] = {{"llama", "blk.0.attn_q_norm.weight"},   {"llama", "position_embd.weight"},
                   {"llama", "blk.2.ffn_gate_exps.weight"}, {"llama", "blk.1.attn_qkv.weight"},
                   {"qwen2", "blk.0.ffn_up.bias"},          {"qwen3", "blk.0.post_ffw_norm.weight"},
                   {"phi3", "blk.0.ffn_gate.weight"},       {"gpt2", "rope_freqs.weight"},
                   {"gemma2", "blk.0.attn_q_norm.weight"},  {"gemma3", "blk.0.attn_norm.bias"}};
    for (const auto& each : foreign) {
        GgufFile file = tiny_arch(each.architecture);
        add_tensor(file, each.tensor, 1, 16, 0.0f, 1);
        expect_refused(file, std::string("tensor ") + each.tensor + " has no part in the architecture '" +
                                 each.architecture + "'");
    }
}

TEST(Decoder, NumbersThatAnArchitectureNeeds)
{
    for (const char* name : kTinyArchitectures) {
        const bool layer_norm = std::string_view(name) == "gpt2";
        GgufFile file = tiny_arch(name);
        const std::string key =
            std::string(name) + (layer_norm ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon");
        file.remove(key);
        expect_refused(file, "'" + key + "' is missing or 0");
        file = tiny_arch(name);
        file.f32(std::string(name) + ".rope.freq_base", 0.0f);
        EXPECT_EQ(refusal(file).empty(), layer_norm) << "learned positions need no base";
    }
    GgufFile file = tiny_arch("gpt2");
    file.text("gpt2.feed_forward.activation", "relu");
    expect_refused(file, "'gpt2.feed_forward.activation' is 'relu', known are: gelu_tanh, gelu_erf");
    file = tiny_arch("gpt2");
    file.u32("gpt2.context_length", 65);
    expect_refused(file, "tensor position_embd.weight has 64 rows of 24 values, expected 65 of 24");
    file = tiny_arch("gpt2");
    file.u32("gpt2.rope.dimension_count", 0x7fffffff);
    EXPECT_EQ(refusal(file), "");
    EXPECT_FALSE(logits_of(file, some_tokens(3, 1)).empty()) << "nothing is reserved for what is not there";
    file = tiny_arch("gemma3");
    file.set("gemma3.attention.sliding_window_pattern", kGgufArray, gguf_array(kGgufBool, 2, std::string("\1\0", 2)));
    expect_refused(file, "'gemma3.attention.sliding_window_pattern' is of type array");
    file = tiny_arch("qwen3");
    file.u32("qwen3.rope.dimension_count", 8);
    expect_refused(file, "'qwen3.rope.dimension_count' is 8, expected an even number up to the 6 values");
}

TEST(Decoder, PackedVectorsAreUnpacked)
{
    for (const char* name : kTinyArchitectures) {
        GgufFile rounded = tiny_arch(name);
        GgufFile packed = rounded;
        for (size_t i = 0; i < packed.tensors.size(); ++i) {
            if (packed.tensors[i].dimensions.size() != 1) {
                continue;
            }
            std::string halves; // the upper half of a float is a bf16
            std::string& data = rounded.tensors[i].data;
            for (size_t at = 0; at < data.size(); at += 4) {
                data[at] = data[at + 1] = '\0';
                halves += data.substr(at + 2, 2);
            }
            packed.tensors[i].type = 30;
            packed.tensors[i].data = halves;
        }
        const auto tokens = some_tokens(12, 4);
        EXPECT_EQ(logits_of(packed, tokens), logits_of(rounded, tokens)) << name;
    }
}

TEST(Decoder, EachBiasCounts)
{
    const struct {
        const char* architecture;
        const char* bias;
        uint64_t length;
    } biases[] = {{"llama", "blk.0.attn_q.bias", 16},
                  {"llama", "blk.0.attn_v.bias", 8},
                  {"llama", "blk.1.attn_output.bias", 16},
                  {"llama", "blk.1.ffn_gate.bias", 24},
                  {"llama", "blk.2.ffn_up.bias", 24},
                  {"llama", "blk.2.ffn_down.bias", 16},
                  {"gpt2", "blk.0.attn_norm.bias", 24},
                  {"gpt2", "blk.0.attn_qkv.bias", 72},
                  {"gpt2", "blk.1.attn_output.bias", 24},
                  {"gpt2", "blk.1.ffn_norm.bias", 24},
                  {"gpt2", "blk.2.ffn_up.bias", 24},
                  {"gpt2", "blk.2.ffn_down.bias", 24},
                  {"qwen2", "output.bias", 290}};
    const auto tokens = some_tokens(8, 5);
    for (const auto& each : biases) {
        GgufFile file = tiny_arch(each.architecture);
        const auto without = logits_of(file, tokens);
        add_tensor(file, each.bias, 1, each.length, 0.0f, 9);
        EXPECT_GT(largest_difference(logits_of(file, tokens), without), 1e-3f) << each.bias;
        file.tensors.back().data.assign(each.length * 4, '\0');
        EXPECT_EQ(logits_of(file, tokens), without) << each.bias << " of zeros";
    }
}

/// Makes a file's layers but the first write nothing to the residual stream.
void keep_first_layer(GgufFile& file)
{
    for (const char* name : {"attn_output.weight", "ffn_down.weight"}) {
        for (const char* layer : {"blk.1.", "blk.2."}) {
            auto& tensor = file.tensor(std::string(layer) + name);
            tensor.data.assign(tensor.data.size(), '\0');
        }
    }
}

TEST(Decoder, AWindowEndsWhereItEnds)
{
    // All but the first layer say nothing: what a position sees is one window.
    for (const char* name : {"llama", "phi3", "gemma2", "gemma3"}) {
        GgufFile file = tiny_arch(name);
        keep_first_layer(file);
        auto tokens = some_tokens(30, 6);
        const auto base = logits_of(file, tokens);
        const auto with_changed = [&](size_t back) {
            auto changed = tokens;
            Token& token = changed[changed.size() - 1 - back];
            token = (token + 100) % 290;
            return logits_of(file, changed);
        };
        EXPECT_EQ(with_changed(8), base) << name << ": one past the window of 8";
        EXPECT_GT(largest_difference(with_changed(7), base), 1e-6f) << name << ": the last within it";
        file.u32(std::string(name) + ".attention.sliding_window", 0);
        const auto whole = logits_of(file, tokens);
        EXPECT_GT(largest_difference(whole, base), 1e-4f) << name;
    }
}

TEST(Decoder, GlobalLayersSeeEverything)
{
    // Of Gemma 2 the second layer is global, of this Gemma 3 too; alone it sees the first token.
    for (const char* name : {"gemma2", "gemma3"}) {
        for (const uint32_t period : {2u, 3u}) {
            GgufFile file = tiny_arch(name);
            file.u32(std::string(name) + ".attention.sliding_window_pattern", period);
            for (const char* layer : {"blk.0.", "blk.2."}) {
                auto& tensor = file.tensor(std::string(layer) + "attn_output.weight");
                tensor.data.assign(tensor.data.size(), '\0');
            }
            auto tokens = some_tokens(30, 6);
            const auto base = logits_of(file, tokens);
            tokens[0] = (tokens[0] + 100) % 290;
            EXPECT_EQ(logits_of(file, tokens) != base, period == 2) << name << ' ' << period;
        }
    }
}

TEST(Decoder, SettingsFollowTheKeys)
{
    const auto tokens = some_tokens(20, 7);
    const struct {
        const char* architecture;
        const char* key;
        float value;
        float same; ///< what the absent key stands for; negative: nothing is
    } reals[] = {{"gemma2", "attn_logit_softcapping", 2.0f, 50.0f}, {"gemma2", "final_logit_softcapping", 1.0f, 30.0f},
                 {"gemma3", "final_logit_softcapping", 1.0f, 0.0f}, {"gemma3", "rope.freq_base_swa", 500.0f, 10000.0f},
                 {"gemma3", "rope.freq_base", 500.0f, 50000.0f},    {"llama", "rope.freq_base", 500.0f, 10000.0f},
                 {"qwen3", "attention.scale", 1.0f, 0.0f},          {"gemma3", "rope.scaling.factor", 2.0f, 4.0f}};
    for (const auto& each : reals) {
        GgufFile file = tiny_arch(each.architecture);
        const auto base = logits_of(file, tokens);
        file.f32(std::string(each.architecture) + "." + each.key, each.same);
        EXPECT_EQ(logits_of(file, tokens), base) << each.key;
        file.f32(std::string(each.architecture) + "." + each.key, each.value);
        EXPECT_GT(largest_difference(logits_of(file, tokens), base), 1e-4f) << each.key;
    }
    GgufFile file = tiny_arch("gpt2");
    const auto base = logits_of(file, tokens);
    file.text("gpt2.feed_forward.activation", "gelu_tanh");
    EXPECT_EQ(logits_of(file, tokens), base);
    file.text("gpt2.feed_forward.activation", "gelu_erf");
    const float difference = largest_difference(logits_of(file, tokens), base);
    EXPECT_GT(difference, 1e-6f);
    EXPECT_LT(difference, 5e-2f);
}

TEST(Decoder, TheLargestGemmasScaleTheirQueriesOtherwise)
{
    // 16 values over 4 heads are 4 each, while a head has 6.
    for (const auto& [name, blocks] : {std::pair("gemma2", 46u), std::pair("gemma3", 62u)}) {
        FakePlatform platform;
        platform.add_file("m.gguf", tiny_arch(name).bytes());
        ModelDesc desc = std::move(inspect_model(platform, "m.gguf", {}).value().desc);
        const DecoderTraits& traits =
            static_cast<const Decoder*>(Loaded(tiny_arch(name)).engine.model().bound)->traits[0];
        EXPECT_EQ(decoder_settings(traits, desc).value().attention_divisor, std::sqrt(6.0f));
        desc.block_count = blocks;
        EXPECT_EQ(decoder_settings(traits, desc).value().attention_divisor, 2.0f);
        desc.attention_scale = 0.25f;
        EXPECT_EQ(decoder_settings(traits, desc).value().attention_divisor, 4.0f) << "the file's own word";
    }
}

TEST(Decoder, DroppedPositionsTurnKeysBack)
{
    for (const char* name : kTinyArchitectures) {
        GgufFile file = tiny_arch(name);
        if (std::string_view(name) == "phi3") { // cosines and sines that are not of length one
            file.f32("phi3.rope.scaling.attn_factor", 1.5f);
            file.u32("phi3.rope.dimension_count", 6);
        }
        auto tokens = some_tokens(40, 8);
        Loaded model(file, 0, KvType::f32);
        ASSERT_TRUE(model.session().prefill(tokens, {}).ok());
        model.session().drop(5, 10);
        tokens.erase(tokens.begin() + 5, tokens.begin() + 15);
        Loaded fresh(file, 0, KvType::f32);
        ASSERT_TRUE(fresh.session().prefill(tokens, {}).ok());
        EXPECT_LT(largest_difference(first_keys(model.engine, 30), first_keys(fresh.engine, 30)), 2e-5f) << name;
        EXPECT_EQ(model.engine.model().architecture->shift_keys == nullptr, std::string_view(name) == "gpt2");
    }
}

TEST(Decoder, LongFactorsWhereTheContextIsLong)
{
    const auto tokens = some_tokens(20, 9);
    const auto with = [](const std::vector<float>& longer, const std::vector<float>& shorter, uint32_t original) {
        GgufFile file = tiny_arch("phi3");
        file.u32("phi3.rope.scaling.original_context_length", original);
        file.tensors.push_back({"rope_factors_long.weight", {4}, 0, floats(longer)});
        file.tensors.push_back({"rope_factors_short.weight", {4}, 0, floats(shorter)});
        return file;
    };
    const std::vector<float> a = {1.0f, 1.0f, 2.0f, 3.0f};
    const std::vector<float> b = {1.0f, 2.0f, 4.0f, 8.0f};
    const auto all_a = logits_of(with(a, a, 32), tokens);
    const auto all_b = logits_of(with(b, b, 32), tokens);
    EXPECT_GT(largest_difference(all_a, all_b), 1e-4f);
    EXPECT_EQ(logits_of(with(a, b, 32), tokens), all_a) << "64 positions are more than 32";
    EXPECT_EQ(logits_of(with(a, b, 32), tokens, 33), all_a);
    EXPECT_EQ(logits_of(with(a, b, 32), tokens, 32), all_b);
    EXPECT_EQ(logits_of(with(a, b, 64), tokens), all_b);
    for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
        GgufFile file = with(a, b, 32);
        file.remove_tensor(name);
        expect_refused(file, std::string("tensor ") + name + " is missing");
    }
    GgufFile file = tiny_arch("phi3");
    file.text("phi3.rope.scaling.type", "longrope");
    expect_refused(file, "tensor rope_factors_long.weight is missing");
}

TEST(Rope, YarnHasTheFrequenciesOfTransformers)
{
    // ROPE_INIT_FUNCTIONS["yarn"] of transformers 5.23 with the same numbers.
    struct Case {
        uint64_t head_dim;
        float base;
        uint64_t original;
        float factor;
        size_t step;
        float magnitude;
        std::vector<float> frequencies;
    };
    const Case cases[] = {{16,
                           10000.0f,
                           64,
                           8.0f,
                           1,
                           1.2079441f,
                           {1.0f, 0.223994657f, 0.0416666642f, 0.00395284733f, 0.00124999997f, 0.000395284733f,
                            0.000125000006f, 3.95284733e-05f}},
                          {128,
                           1e6f,
                           32768,
                           4.0f,
                           7,
                           1.1386294f,
                           {1.0f, 0.220673397f, 0.0486967526f, 0.0107460786f, 0.00184827659f, 0.000246258394f,
                            2.88695483e-05f, 6.37074163e-06f, 1.40585337e-06f, 3.10234441e-07f}}};
    for (const Case& each : cases) {
        FakePlatform platform;
        ModelDesc desc(platform);
        desc.head_dim = each.head_dim;
        desc.rope_freq_base = each.base;
        desc.rope_scaling = "yarn";
        desc.rope_scaling_factor = each.factor;
        desc.rope_original_context_length = each.original;
        Arena arena;
        ASSERT_TRUE(arena.add_extent(platform, 4096).ok());
        auto rope = scaled_rope(desc, {}, arena);
        ASSERT_TRUE(rope.ok());
        EXPECT_EQ(rope.value().pairs, each.head_dim / 2);
        EXPECT_NEAR(rope.value().magnitude, each.magnitude, 1e-6);
        for (size_t i = 0; i < each.frequencies.size(); ++i) {
            EXPECT_NEAR(rope.value().inverse[i * each.step] / each.frequencies[i], 1.0f, 1e-6) << i;
        }
        arena.release(platform);
    }
}

} // namespace
} // namespace llmk
