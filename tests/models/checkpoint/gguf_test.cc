// The reader against files of the gguf package, and against damaged ones.
#include "models/checkpoint/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

#include "base/digest.h"
#include "base/document.h"
#include "models/checkpoint/float_bits.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::models {
namespace {

using base::Code;
using ::testing::HasSubstr;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(std::getenv("MASBAK_SOURCE")) / "tests/models/checkpoint/golden" / name;
}

// The letters of a file, and the reader's answer to them.
class Damaged : public ::testing::Test {
 protected:
  base::Error refused(const std::string& bytes) {
    write(bytes);
    return base::thrown([&] { GgufFile{folder / "x.gguf"}; });
  }
  // Not durably: hundreds of files are written.
  void write(const std::string& bytes) {
    std::ofstream file(folder / "x.gguf", std::ios::binary | std::ios::trunc);
    ASSERT_TRUE(file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush());
  }
  template <typename T>
  static std::string raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(const std::string& value) { return raw<uint64_t>(value.size()) + value; }
  // One metadata value and one tensor of 32 numbers, Q8_0, with the given differences.
  static std::string file(const std::string& value, uint64_t offset = 0, uint64_t size = 32, uint32_t type = 8,
                          uint32_t dimensions = 1, const std::string& name = "t") {
    std::string bytes = "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(1) + raw<uint64_t>(1) + text("k") + value +
                        text(name) + raw(dimensions) + raw(size) + raw(type) + raw(offset);
    bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
    return bytes + std::string(34, '\1');
  }
  base::TemporaryFolder folder;
};

TEST(Gguf, TensorsAreDequantisedExactly) {
  const GgufFile file(golden("tiny-llama.gguf"));
  const base::Json expected = base::read_json(golden("tiny-llama.json"))["tensors"];
  EXPECT_EQ(file.tensors().size(), expected.size());
  for (const auto& [name, one] : expected.items()) {
    const GgufTensor& tensor = file.tensor(name, one["shape"].get<std::vector<int64_t>>());
    EXPECT_EQ(gguf_type_name(tensor.type), one["type"]);
    const std::vector<float> numbers = dequantise(tensor);
    EXPECT_EQ(numbers.at(0), one["first"][0].get<float>()) << name;
    EXPECT_EQ(base::digest_bytes({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)}),
              "sha256:" + one["sha256"].get<std::string>())
        << name << " " << one["type"];
  }
}

TEST(Gguf, MetadataOfEveryType) {
  const GgufFile file(golden("tiny-llama.gguf"));
  const base::Json expected = base::read_json(golden("tiny-llama.json"))["metadata"];
  for (const char* name : {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"}) {
    const std::string key = std::string("test.") + name;
    EXPECT_EQ(file.get<int64_t>(key), expected[key].get<int64_t>()) << key;
  }
  EXPECT_EQ(file.get<double>("test.float32"), 0.5);
  EXPECT_EQ(file.get<double>("test.float64"), 0.1);
  EXPECT_EQ(file.get<double>("test.uint8"), 200.0);
  EXPECT_TRUE(file.get<bool>("test.bool"));
  EXPECT_EQ(file.get<std::string>("test.text"), expected["test.text"]);
  EXPECT_EQ(file.get<std::vector<std::string>>("tokenizer.ggml.tokens").size(), 272u);
  EXPECT_EQ(file.get<int64_t>("test.nothing", 7), 7);
  EXPECT_EQ(base::thrown([&] { file.get<int64_t>("test.nothing"); }).where().field, "test.nothing");
  EXPECT_THAT(base::thrown([&] { file.get<std::string>("test.bool"); }).what(), HasSubstr("text"));
}

TEST(Gguf, HalfPrecisionIsExact) {
  EXPECT_EQ(float_from_half(0x3c00), 1.0f);
  EXPECT_EQ(float_from_half(0xc500), -5.0f);
  EXPECT_EQ(float_from_half(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(float_from_half(0x7bff), 65504.0f);
  EXPECT_TRUE(std::isinf(float_from_half(0xfc00)));
  EXPECT_TRUE(std::isnan(float_from_half(0x7e00)));
  EXPECT_EQ(bfloat16_from_float(1.0f), 0x3f80);
  EXPECT_EQ(bfloat16_from_float(1.00390625f), 0x3f80);  // a tie goes to even
  EXPECT_EQ(bfloat16_from_float(1.01171875f), 0x3f82);
  EXPECT_TRUE(std::isnan(float_from_bfloat16(bfloat16_from_float(std::nanf("")))));
}

TEST_F(Damaged, TheSoundFileIsRead) {
  base::write_file_durably(folder / "x.gguf", file(raw<uint32_t>(4) + raw<uint32_t>(9)));
  const GgufFile sound(folder / "x.gguf");
  EXPECT_EQ(sound.get<int64_t>("k"), 9);
  EXPECT_EQ(dequantise(sound.tensor("t", {32})).size(), 32u);
}

TEST_F(Damaged, EachRuleBrokenIsNamed) {
  const std::string value = raw<uint32_t>(4) + raw<uint32_t>(9);
  struct Case {
    std::string bytes;
    Code code;
    std::string message;
  };
  const std::string huge = raw<uint64_t>(uint64_t{1} << 63);
  const std::string nested = raw<uint32_t>(9) + raw<uint64_t>(1);
  const std::vector<Case> cases{
      {"", Code::kInvalidArgument, "GGUF"},
      {"PK\3\4 something else", Code::kInvalidArgument, "another format"},
      {"GGUF" + raw<uint32_t>(1) + huge, Code::kUnimplemented, "version 1"},
      {"GGUF" + raw<uint32_t>(3u << 24) + huge, Code::kUnimplemented, "big-endian"},
      {"GGUF" + raw<uint32_t>(3) + huge + huge, Code::kInvalidArgument, "tensors"},
      {"GGUF" + raw<uint32_t>(3) + raw<uint64_t>(0) + huge, Code::kInvalidArgument, "metadata values"},
      {file(raw<uint32_t>(77)), Code::kInvalidArgument, "type 77"},
      {file(raw<uint32_t>(8) + huge), Code::kInvalidArgument, "metadata text"},
      {file(raw<uint32_t>(9) + raw<uint32_t>(0) + huge), Code::kInvalidArgument, "array items"},
      {file(raw<uint32_t>(9) + nested + nested + nested + nested + nested + raw<uint32_t>(0) + raw<uint64_t>(1) + "1"),
       Code::kInvalidArgument, "nested"},
      {file(raw<uint32_t>(7) + "\2"), Code::kInvalidArgument, "0 or 1"},
      {file(raw<uint32_t>(10) + raw<uint64_t>(~uint64_t{0})), Code::kInvalidArgument, "out of range"},
      {file(value, 16), Code::kInvalidArgument, "alignment"},
      {file(value, 32), Code::kInvalidArgument, "holds only"},
      {file(value, uint64_t{0} - 32), Code::kInvalidArgument, "holds only"},
      {file(value, 0, 64), Code::kInvalidArgument, "holds only"},
      {file(value, 0, 33), Code::kInvalidArgument, "block"},
      {file(value, 0, 0), Code::kInvalidArgument, "out of range"},
      {file(value, 0, uint64_t{1} << 60), Code::kInvalidArgument, "out of range"},
      {file(value, 0, 32, 14), Code::kUnimplemented, "number 14"},
      {file(value, 0, 32, 8, 0), Code::kInvalidArgument, "dimensions"},
      {file(value, 0, 32, 8, 5), Code::kInvalidArgument, "dimensions"},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const base::Error fault = refused(cases[i].bytes);
    EXPECT_EQ(fault.code(), cases[i].code) << i << " " << fault.describe();
    EXPECT_THAT(fault.what(), HasSubstr(cases[i].message)) << i;
    EXPECT_THAT(fault.describe(), HasSubstr("x.gguf")) << i;
  }
}

TEST_F(Damaged, AFileCutAnywhereIsRefused) {
  const std::string whole = base::read_file(golden("tiny-llama.gguf"));
  for (size_t length = 0; length + 32 < whole.size(); length += length < 20000 ? 97 : 1009) {
    const base::Error fault = refused(whole.substr(0, length));
    EXPECT_EQ(fault.code(), Code::kInvalidArgument) << length;
    EXPECT_THAT(fault.what(), HasSubstr(length < 4 ? "letters GGUF" : "truncated")) << length;
  }
}

TEST_F(Damaged, ChangedBytesNeverReadOutside) {
  // Whatever a changed header says: an Error, or tensors that lie in the file (the sanitizer build checks the rest).
  const std::string whole = base::read_file(golden("tiny-llama.gguf"));
  std::mt19937 random(1);
  int accepted = 0, refusals = 0;
  for (int round = 0; round < 300; ++round) {
    std::string changed = whole;
    for (int i = 0; i < 3; ++i) changed[random() % 12000] = static_cast<char>(random());
    write(changed);
    try {
      const GgufFile file(folder / "x.gguf");
      for (const auto& [name, tensor] : file.tensors()) dequantise(tensor);
      ++accepted;
    } catch (const base::Error&) {
      ++refusals;
    }
  }
  EXPECT_EQ(accepted + refusals, 300);
  EXPECT_GT(refusals, 0);
}

}  // namespace
}  // namespace masbak::models
