// SPDX-License-Identifier: MIT
//
// Models in several GGUF files: their names, that they are read as the one file they came from, and the sentence for
// each way in which they do not belong together.
#include "format/gguf_shards.h"

#include "fake/gguf_file.h"
#include "format/formats.h"

#include <gtest/gtest.h>

namespace llmk {
namespace {

constexpr size_t kTensors = 20; ///< of tiny_gguf()

std::vector<GgufFile> three_parts() { return split_gguf(tiny_gguf(), {7, 5, 8}); }

/// What describe_model says of the parts on a volume, asked for the first.
Result<ModelDesc> described(FakePlatform& platform, const std::vector<GgufFile>& shards)
{
    add_shards(platform, "m", shards);
    auto desc = describe_model(platform, "m-00001-of-00003.gguf");
    EXPECT_EQ(platform.open_files(), 0u);
    return desc;
}

void expect_refused(const std::vector<GgufFile>& shards, size_t number, std::string_view words)
{
    FakePlatform platform;
    auto desc = described(platform, shards);
    ASSERT_FALSE(desc.ok()) << words;
    const std::string message(desc.error().message.view());
    EXPECT_EQ(desc.error().status, Status::bad_format) << message;
    EXPECT_EQ(message.find(shard_name("m", number, 3) + ": "), 0u) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message << " lacks " << words;
    EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST(ShardNames, AreReadAndMade)
{
    const auto second = gguf::shard_of("models/Big-Q4_K_M-00002-of-00013.gguf");
    ASSERT_TRUE(second);
    EXPECT_EQ(second->number, 2u);
    EXPECT_EQ(second->count, 13u);
    EXPECT_EQ(gguf::shard_of("BIG-00001-OF-00001.GGUF")->count, 1u);
    EXPECT_EQ(gguf::shard_of("x-99999-of-99999.gguf")->number, 99999u);
    for (const char* name :
         {"m.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-00001-of-00000.gguf", "m-0001-of-0002.gguf",
          "m-00001-of-00002.bin", "m-00001-0f-00002.gguf", "m-0000a-of-00002.gguf", "m00001-of-00002.gguf",
          "m-00001-of-00002.gguf.part", "-00001-of-00002.gguf", "folder/-00001-of-00002.gguf", "", ".gguf",
          "m-+0001-of-00002.gguf", "m-00001-of- 0002.gguf"}) {
        EXPECT_FALSE(gguf::shard_of(name)) << name;
    }
    EXPECT_EQ(gguf::shard_path("models/Big-00001-Of-00013.GGuf", 12).view(), "models/Big-00012-Of-00013.GGuf");
    EXPECT_EQ(gguf::model_name("models/Big-00001-of-00013.gguf").view(), "Big.gguf");
    EXPECT_EQ(gguf::model_name("BIG-00001-OF-00013.GGUF").view(), "BIG.GGUF");
    EXPECT_EQ(gguf::model_name("models/m.gguf").view(), "m.gguf");
    EXPECT_EQ(gguf::model_name("models/m-00003-of-00002.gguf").view(), "m-00003-of-00002.gguf");
}

TEST(Shards, AreTheModelTheyCameFrom)
{
    const GgufFile whole = tiny_gguf();
    ASSERT_EQ(whole.tensors.size(), kTensors);
    FakePlatform platform;
    platform.add_file("whole.gguf", whole.bytes());
    const ModelDesc expected = describe_model(platform, "whole.gguf").take();
    EXPECT_EQ(expected.shard_count, 1u);
    for (const auto& counts : {std::vector<size_t>{7, 5, 8}, {0, 12, 8}, {20, 0, 0}, {1, 0, 19}}) {
        const auto shards = split_gguf(whole, counts);
        const ModelDesc desc = described(platform, shards).take();
        EXPECT_EQ(desc.path.view(), "m-00001-of-00003.gguf");
        EXPECT_EQ(desc.shard_count, 3u);
        EXPECT_EQ(desc.file_size_bytes, shards[0].bytes().size() + shards[1].bytes().size() + shards[2].bytes().size());
        EXPECT_EQ(desc.parameters, expected.parameters);
        EXPECT_EQ(desc.weight_bytes, expected.weight_bytes);
        EXPECT_EQ(desc.type.view(), "F32");
        EXPECT_EQ(desc.block_count, expected.block_count);
        EXPECT_EQ(desc.vocab_size, expected.vocab_size);
        EXPECT_EQ(desc.tied_head, expected.tied_head);
        EXPECT_EQ(desc.vocabulary.entries, expected.vocabulary.entries);
        EXPECT_EQ(desc.vocabulary.path.view(), "m-00001-of-00003.gguf");
        ASSERT_EQ(desc.tensors.size(), kTensors);
        for (size_t i = 0; i < kTensors; ++i) {
            const TensorDesc& tensor = desc.tensors[i];
            EXPECT_EQ(tensor.role, expected.tensors[i].role);
            EXPECT_EQ(tensor.layer, expected.tensors[i].layer);
            const std::string bytes = shards[tensor.shard].bytes();
            EXPECT_EQ(bytes.substr(tensor.offset_bytes, tensor.size_bytes), whole.tensors[i].data) << i;
        }
    }
}

TEST(Shards, AnyPartLeadsToTheModel)
{
    FakePlatform platform;
    add_shards(platform, "models/m", three_parts());
    for (const char* path : {"models/m-00002-of-00003.gguf", "models/m-00003-of-00003.gguf"}) {
        const ModelDesc desc = describe_model(platform, path).take();
        EXPECT_EQ(desc.tensors.size(), kTensors) << path;
        EXPECT_EQ(desc.path.view(), "models/m-00001-of-00003.gguf");
    }
}

TEST(Shards, LetterCaseAsFatHasIt)
{
    FakePlatform platform;
    const auto shards = three_parts();
    platform.add_file("M-00001-OF-00003.GGUF", shards[0].bytes());
    platform.add_file("m-00002-of-00003.gguf", shards[1].bytes());
    platform.add_file("M-00003-Of-00003.Gguf", shards[2].bytes());
    EXPECT_EQ(describe_model(platform, "M-00001-OF-00003.GGUF").take().tensors.size(), kTensors);
    EXPECT_EQ(describe_model(platform, "M-00003-Of-00003.Gguf").take().tensors.size(), kTensors);
}

TEST(Shards, EachHasItsAlignment)
{
    auto shards = three_parts();
    shards[0].alignment = 4096;
    shards[2].alignment = 64;
    FakePlatform platform;
    const ModelDesc desc = described(platform, shards).take();
    for (const TensorDesc& tensor : desc.tensors) {
        EXPECT_EQ(tensor.offset_bytes % shards[tensor.shard].alignment, 0u);
    }
}

TEST(Shards, OneFileIsNoSplit)
{
    FakePlatform platform;
    GgufFile file = tiny_gguf();
    platform.add_file("m-00001-of-00001.gguf", file.bytes());
    EXPECT_EQ(describe_model(platform, "m-00001-of-00001.gguf").take().shard_count, 1u);
    file.set("split.no", kGgufU16, raw<uint16_t>(0));
    file.set("split.count", kGgufU16, raw<uint16_t>(1));
    platform.add_file("m-00001-of-00001.gguf", file.bytes());
    platform.add_file("m.gguf", file.bytes());
    EXPECT_EQ(describe_model(platform, "m-00001-of-00001.gguf").take().tensors.size(), kTensors);
    EXPECT_EQ(describe_model(platform, "m.gguf").take().tensors.size(), kTensors);
}

TEST(Shards, AMissingOneIsNamed)
{
    for (size_t missing = 1; missing <= 3; ++missing) {
        FakePlatform platform;
        add_shards(platform, "m", three_parts());
        platform.volume().nodes.erase(shard_name("m", missing, 3));
        for (size_t asked = 1; asked <= 3; ++asked) {
            const auto desc = describe_model(platform, shard_name("m", asked, 3));
            ASSERT_FALSE(desc.ok());
            EXPECT_EQ(desc.error().status, Status::not_found);
            EXPECT_EQ(desc.error().message.view(),
                      shard_name("m", missing, 3) +
                          ": this file is missing; the model is in 3 files, which must lie in one folder");
        }
    }
}

TEST(Shards, KeysAndNamesMustAgree)
{
    auto shards = three_parts();
    shards[1].set("split.no", kGgufU16, raw<uint16_t>(2));
    expect_refused(shards, 2, "'split.no' is 2, expected 1 in a file that is named as part 2");
    shards[1].remove("split.no");
    expect_refused(shards, 2, "'split.no' is missing, expected 1");
    shards[1].set("split.no", kGgufI32, raw<int32_t>(-1));
    expect_refused(shards, 2, "'split.no' is -1");
    shards[1].text("split.no", "1");
    expect_refused(shards, 2, "'split.no' is of type string");

    shards = three_parts();
    shards[0].set("split.no", kGgufU16, raw<uint16_t>(1));
    expect_refused(shards, 1, "'split.no' is 1, expected 0");

    for (const size_t number : {size_t{1}, size_t{3}}) {
        shards = three_parts();
        shards[number - 1].set("split.count", kGgufU16, raw<uint16_t>(4));
        expect_refused(shards, number, "'split.count' is 4, but the name says 3 files");
        shards[number - 1].remove("split.count");
        expect_refused(shards, number, "'split.count' is missing, but the name says 3 files");
    }

    FakePlatform platform;
    shards = three_parts();
    platform.add_file("renamed.gguf", shards[1].bytes());
    const auto renamed = describe_model(platform, "renamed.gguf");
    ASSERT_FALSE(renamed.ok());
    EXPECT_EQ(renamed.error().message.view(),
              "renamed.gguf: 'split.count' is 3: this is part 2 of a model in 3 files, whose names must end in "
              "-00001-of-00003.gguf and so on");
}

TEST(Shards, OfAnotherModel)
{
    auto shards = three_parts();
    shards[2].set("split.tensors.count", kGgufI32, raw<int32_t>(21));
    expect_refused(shards, 3, "'split.tensors.count' is 21, that of part 1 20; it belongs to another model");

    shards = three_parts();
    for (GgufFile& shard : shards) {
        shard.set("split.tensors.count", kGgufI32, raw<int32_t>(21));
    }
    expect_refused(shards, 1, "'split.tensors.count' is 21, but its 3 files hold 20 tensors");
    for (GgufFile& shard : shards) {
        shard.set("split.tensors.count", kGgufI32, raw<int32_t>(19));
    }
    expect_refused(shards, 1, "'split.tensors.count' is 19, but its 3 files hold 20 tensors");
    shards[0].remove("split.tensors.count");
    expect_refused(shards, 1, "'split.tensors.count' is missing");
    shards[0].set("split.tensors.count", kGgufI32, raw<int32_t>(-20));
    expect_refused(shards, 1, "'split.tensors.count' is -20");

    shards = three_parts();
    shards[1].text("general.architecture", "gpt2");
    expect_refused(shards, 2, "'general.architecture' is 'gpt2', that of part 1 'llama'");
    shards[1].text("general.architecture", "llama"); // some writers repeat it
    FakePlatform platform;
    EXPECT_TRUE(described(platform, shards).ok());

    shards = three_parts();
    shards[2].tensors[3].name = shards[0].tensors[2].name;
    expect_refused(shards, 3, "the tensor '" + shards[0].tensors[2].name + "' is there twice");
}

TEST(Shards, EachIsReadWithCare)
{
    const auto with_second = [](const std::string& bytes) {
        FakePlatform platform;
        add_shards(platform, "m", three_parts());
        platform.add_file("m-00002-of-00003.gguf", bytes);
        const auto desc = describe_model(platform, "m-00001-of-00003.gguf");
        EXPECT_EQ(platform.open_files(), 0u);
        return desc.ok() ? std::string() : std::string(desc.error().message.view());
    };
    const std::string good = three_parts()[1].bytes();
    EXPECT_EQ(with_second(good), "");
    EXPECT_EQ(with_second(""), "m-00002-of-00003.gguf: not a GGUF file, though its name says that it is part 2 of 3");
    EXPECT_EQ(with_second("ak42 and more"),
              "m-00002-of-00003.gguf: not a GGUF file, though its name says that it is part 2 of 3");
    for (size_t size = 4; size < good.size() - 64; size += 7) {
        const std::string said = with_second(good.substr(0, size));
        EXPECT_EQ(said.find("m-00002-of-00003.gguf: "), 0u) << size << said;
    }
    GgufFile file = three_parts()[1];
    file.version = 1;
    EXPECT_NE(with_second(file.bytes()).find("m-00002-of-00003.gguf: GGUF version 1"), std::string::npos);
    file = three_parts()[1];
    file.alignment = 12;
    EXPECT_NE(with_second(file.bytes()).find("m-00002-of-00003.gguf: 'general.alignment' is 12"), std::string::npos);
    file = three_parts()[1];
    file.tensors[1].dimensions = {16, 1000};
    EXPECT_NE(with_second(file.bytes()).find("m-00002-of-00003.gguf: tensor "), std::string::npos);
    file = three_parts()[1];
    file.more_tensors = 16'380;
    EXPECT_NE(with_second(file.bytes()).find("claims 16385 tensors"), std::string::npos);

    FakePlatform platform;
    add_shards(platform, "m", three_parts());
    platform.volume().nodes.erase("m-00002-of-00003.gguf");
    platform.add_directory("m-00002-of-00003.gguf");
    EXPECT_EQ(describe_model(platform, "m-00001-of-00003.gguf").error().status, Status::invalid_argument);
}

TEST(Shards, DeviceErrorsComeOutAndCloseTheFiles)
{
    FakePlatform platform;
    add_shards(platform, "m", three_parts());
    for (size_t FakePlatform::*countdown : {&FakePlatform::fail_read_in, &FakePlatform::short_read_in,
                                            &FakePlatform::fail_alloc_in, &FakePlatform::fail_open_in}) {
        size_t failures = 0;
        for (size_t at = 1;; ++at) {
            platform.*countdown = at;
            const bool ok = describe_model(platform, "m-00001-of-00003.gguf").ok();
            EXPECT_EQ(platform.open_files(), 0u);
            EXPECT_EQ(platform.pages_in_use(), 0u);
            if (platform.*countdown != 0) {
                EXPECT_TRUE(ok);
                break;
            }
            failures += ok ? 0 : 1;
        }
        EXPECT_GE(failures, 3u) << "each of the three files";
        platform.*countdown = 0;
    }
}

} // namespace
} // namespace llmk
