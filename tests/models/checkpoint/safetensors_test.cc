// The format's rules, one broken at a time; and that what is written is read back.
#include "models/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::models {
namespace {

using base::Code;
using ::testing::HasSubstr;

std::string with_length(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

class Safetensors : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& bytes, const std::string& name = "model.safetensors") {
    base::write_file_durably(folder / name, bytes);
    return folder / name;
  }
  base::Error refused(const std::string& header, const std::string& data) {
    const auto file = write(with_length(header, data));
    return base::thrown([&] { read_safetensors(file); });
  }
  base::TemporaryFolder folder;
};

TEST_F(Safetensors, WhatIsWrittenIsReadBack) {
  const std::string a = floats({1, 2, 3, 4, 5, 6}), b = "\x01\x02\x03", c(4, '\x7f');
  write_safetensors(folder / "x.safetensors",
                    std::vector<TensorToWrite>{{"b", Dtype::kU8, {3}, b},
                                               {"c", Dtype::kBF16, {1, 2}, c},
                                               {"a", Dtype::kF32, {2, 3}, a},
                                               {"none", Dtype::kF32, {0, 5}, ""},
                                               {"one", Dtype::kU8, {}, "x"}},
                    {{"format", "pt"}, {"who", "test"}});
  std::map<std::string, std::string> metadata;
  const auto views = read_safetensors(folder / "x.safetensors", &metadata);
  ASSERT_EQ(views.size(), 5u);
  EXPECT_EQ(views[0].name, "a");  // the widest type first
  EXPECT_EQ(views[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(views[0].bytes, a);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(views[0].bytes.data()) % 8, 0u);
  EXPECT_EQ(views[1].name, "none");
  EXPECT_EQ(views[1].numel(), 0);
  EXPECT_EQ(views[2].bytes, c);
  EXPECT_EQ(views[3].bytes, b);
  EXPECT_EQ(views[4].numel(), 1);
  EXPECT_EQ(metadata.at("who"), "test");
}

TEST_F(Safetensors, AFaultWhileWritingLeavesNothing) {
  const auto work = [&] {
    write_safetensors(folder / "x.safetensors", std::vector<TensorToWrite>{{"a", Dtype::kF32, {3}, "too short"}});
  };
  EXPECT_EQ(base::thrown(work).where().field, "a");
  const auto twice = [&] {
    write_safetensors(folder / "x.safetensors",
                      std::vector<TensorToWrite>{{"a", Dtype::kU8, {1}, "1"}, {"a", Dtype::kU8, {1}, "2"}});
  };
  EXPECT_EQ(base::thrown(twice).code(), Code::kAlreadyExists);
  EXPECT_TRUE(folder.entries().empty());
}

TEST_F(Safetensors, TruncatedFilesAreRefused) {
  const std::string whole = with_length(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", floats({1, 2}));
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto file = write(whole.substr(0, length));
    const base::Error fault = base::thrown([&] { read_safetensors(file); });
    EXPECT_EQ(fault.code(), Code::kInvalidArgument) << length;
    EXPECT_THAT(fault.what(), HasSubstr("fetch it again")) << length;
  }
  EXPECT_EQ(read_safetensors(write(whole)).size(), 1u);
}

TEST_F(Safetensors, HostileHeadersAreRefused) {
  struct Case {
    std::string header, message;
  };
  const std::vector<Case> cases{
      {R"([1])", "JSON object"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", "data_offsets"},
      {R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", "F33"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "at least 0"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}})", "whole number"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "64 bits"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "64 bits"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", "hole"},
      {R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       "overlap"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "describes 4 bytes"},
      {R"({"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "__metadata__"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":1})", "twice"},
      {"{\"\xff\":1}", "UTF-8"},
  };
  for (const Case& one : cases) {
    const base::Error fault = refused(one.header, floats({1, 2}));
    EXPECT_EQ(fault.code(), Code::kInvalidArgument) << one.header;
    EXPECT_THAT(fault.what(), HasSubstr(one.message)) << one.header;
    EXPECT_THAT(fault.describe(), HasSubstr("model.safetensors"));
  }
  const uint64_t huge = uint64_t{1} << 62;
  const auto file = write(std::string(reinterpret_cast<const char*>(&huge), 8) + "{}");
  EXPECT_EQ(base::thrown([&] { read_safetensors(file); }).code(), Code::kInvalidArgument);
}

TEST_F(Safetensors, ShardsAreJoinedByTheirIndex) {
  write_safetensors(folder / "1.safetensors", std::vector<TensorToWrite>{{"a.weight", Dtype::kU8, {2}, "aa"}});
  write_safetensors(folder / "2.safetensors", std::vector<TensorToWrite>{{"b.weight", Dtype::kU8, {3}, "bbb"}});
  const auto index = [&](const std::string& map) {
    write(R"({"metadata":{},"weight_map":)" + map + "}", "model.safetensors.index.json");
  };
  index(R"({"a.weight":"1.safetensors","b.weight":"2.safetensors"})");
  const Checkpoint checkpoint(folder.path());
  EXPECT_TRUE(checkpoint.has("a.weight"));
  EXPECT_EQ(checkpoint.at("b.weight", {3}).bytes, "bbb");
  const base::Error missing = base::thrown([&] { checkpoint.at("b.wieght"); });
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_THAT(missing.what(), HasSubstr("b.weight"));
  const base::Error shape = base::thrown([&] { checkpoint.at("b.weight", {1, 3}); });
  EXPECT_THAT(shape.what(), HasSubstr("expected [1, 3], found [3]"));

  index(R"({"a.weight":"1.safetensors","b.weight":"3.safetensors"})");
  EXPECT_THAT(base::thrown([&] { Checkpoint{folder.path()}; }).describe(), HasSubstr("3.safetensors"));
  index(R"({"a.weight":"2.safetensors","b.weight":"2.safetensors"})");
  EXPECT_EQ(base::thrown([&] { Checkpoint{folder.path()}; }).where().field, "a.weight");
  index(R"({"a.weight":"../1.safetensors"})");
  EXPECT_EQ(base::thrown([&] { Checkpoint{folder.path()}; }).code(), Code::kInvalidArgument);
  write_safetensors(folder / "3.safetensors", std::vector<TensorToWrite>{{"a.weight", Dtype::kU8, {2}, "cc"}});
  index(R"({"a.weight":"1.safetensors","b.weight":"2.safetensors","c":"3.safetensors"})");
  EXPECT_THAT(base::thrown([&] { Checkpoint{folder.path()}; }).what(), HasSubstr("two shards"));
}

TEST_F(Safetensors, AFolderWithoutWeightsSaysWhatIsMissing) {
  const base::Error fault = base::thrown([&] { Checkpoint{folder.path()}; });
  EXPECT_EQ(fault.code(), Code::kNotFound);
  EXPECT_THAT(fault.what(), HasSubstr("model.safetensors"));
}

}  // namespace
}  // namespace masbak::models
