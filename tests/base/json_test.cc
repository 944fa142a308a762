#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::base {
namespace {

std::string fault(const std::string& text, int first_line = 1) {
  return thrown([&] { parse_json(text, "x.json", first_line); }).describe();
}

TEST(ParseJson, KeepsTheOrderOfKeysAndEveryType) {
  const std::string text = R"({"z":1,"a":[true,null,-2,2.5,"é😀"],"m":{"y":{},"b":[]}})";
  EXPECT_EQ(parse_json(text).dump(), text);
  EXPECT_EQ(parse_json("18446744073709551615").get<uint64_t>(), 18446744073709551615ULL);
  EXPECT_EQ(parse_json("\"\\ud83d\\ude00\"").get<std::string>(), "😀");
}

TEST(ParseJson, NamesFileAndLineOfAFault) {
  EXPECT_NE(fault("{\n\"a\": 1,\n\"b\": }").find("(x.json:3)"), std::string::npos);
  EXPECT_NE(fault("[1,\n2").find("(x.json:2)"), std::string::npos);
  EXPECT_NE(fault("[1] x", 40).find("(x.json:40)"), std::string::npos);
  EXPECT_NE(fault("\n\n").find("expected JSON, found nothing"), std::string::npos);
  EXPECT_NE(fault("").find("found nothing (x.json:1)"), std::string::npos);
}

TEST(ParseJson, RefusesWhatIsNotJson) {
  for (const char* text : {"NaN", "[Infinity]", "{'a':1}", "{\"a\":1,}", "01", "\"a\tb\"", "[1]]", "\"\\ud800\"",
                           "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "1e999", "// x\n1", "\"open"}) {
    EXPECT_EQ(thrown([&] { parse_json(text, "f"); }).code(), Code::kInvalidArgument) << text;
  }
}

TEST(ParseJson, RefusesDuplicateKeysWithTheirLine) {
  const Error error = thrown([] { parse_json("{\"a\": {\"k\": 1},\n \"b\": 1,\n \"a\": 2}", "x.json"); });
  EXPECT_EQ(error.where().line, 3);
  EXPECT_EQ(error.where().field, "a");
  EXPECT_EQ(parse_json(R"([{"k":1},{"k":2}])").size(), 2u);
}

TEST(ParseJson, RefusesBottomlessNesting) {
  const Error error = thrown([] { parse_json(std::string(100000, '['), "deep.json"); });
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_NE(error.describe().find("nested levels"), std::string::npos);
  EXPECT_EQ(parse_json(std::string(200, '[') + std::string(200, ']')).size(), 1u);
}

TEST(ParseJson, ReadsALargeVocabularyInTimeThatGrowsWithItsSize) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i ? ",\"token" : "\"token") + std::to_string(i) + "\":" + std::to_string(i);
  text += "}";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(text).size(), 200000u);
  // Quadratic time would take minutes; the margin is for sanitizers on a busy machine.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ReadJson, NamesAMissingFile) {
  const Error error = thrown([] { read_json("/nowhere/config.json"); });
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_EQ(error.where().file, "/nowhere/config.json");
}

TEST(ReadJsonLines, GivesRowsWithTheirLinesAndSkipsBlankOnes) {
  const TemporaryFolder folder;
  write_file_durably(folder / "d.jsonl", "\xef\xbb\xbf{\"a\":1}\r\n\n  \t\n{\"a\":2}\n{\"a\":3}");
  std::vector<std::pair<int, int>> rows;
  read_json_lines(folder / "d.jsonl", [&](int line, Json&& row) { rows.emplace_back(line, row["a"].get<int>()); });
  EXPECT_EQ(rows, (std::vector<std::pair<int, int>>{{1, 1}, {4, 2}, {5, 3}}));
}

TEST(ReadJsonLines, ReportsEachBadLineOrThrowsTheFirst) {
  const TemporaryFolder folder;
  write_file_durably(folder / "d.jsonl", "{\"a\":1}\n{\"a\":\n{\"a\":\"\xff\"}\n{\"a\":4,\"a\":5}\n{\"a\":5}\n");
  std::vector<int> good, bad;
  read_json_lines(
      folder / "d.jsonl", [&](int line, Json&&) { good.push_back(line); },
      [&](const Error& error) {
        bad.push_back(error.where().line);
        EXPECT_EQ(error.where().file, folder / "d.jsonl");
      });
  EXPECT_EQ(good, (std::vector<int>{1, 5}));
  EXPECT_EQ(bad, (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(thrown([&] { read_json_lines(folder / "d.jsonl", [](int, Json&&) {}); }).where().line, 2);
}

TEST(ReadJsonLines, DoesNotTakeAFaultOfTheCallerForABadLine) {
  const TemporaryFolder folder;
  write_file_durably(folder / "d.jsonl", "{}\n");
  int bad = 0;
  const Error error = thrown([&] {
    read_json_lines(
        folder / "d.jsonl", [](int, Json&&) { fail_input("from the caller"); }, [&](const Error&) { ++bad; });
  });
  EXPECT_STREQ(error.what(), "from the caller");
  EXPECT_EQ(bad, 0);
}

TEST(ReadJsonLines, RefusesAFolderAndAMissingFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(thrown([&] { read_json_lines(folder.path(), [](int, Json&&) {}); }).code(), Code::kInvalidArgument);
  EXPECT_EQ(thrown([&] { read_json_lines(folder / "no", [](int, Json&&) {}); }).code(), Code::kNotFound);
}

}  // namespace
}  // namespace masbak::base
