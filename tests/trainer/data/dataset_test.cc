#include "trainer/data/dataset.h"

#include <gtest/gtest.h>

#include <map>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"
#include "trainer/data/row_text.h"

namespace masbak::trainer {
namespace {

const std::string kGood = R"({"instruction": "A", "output": "a"})";

class DatasetFile : public ::testing::Test {
 protected:
  std::vector<Conversation> read(const std::string& text, Format format = Format::kAuto) {
    report_ = {};
    base::write_file_durably(folder_ / "d.jsonl", text);
    return read_conversations(folder_ / "d.jsonl", format, &report_);
  }

  base::TemporaryFolder folder_;
  DatasetReport report_;
};

TEST_F(DatasetFile, TellsTheFormatAndSaysWhatItSaw) {
  EXPECT_EQ(read(kGood + "\n").size(), 1u);
  EXPECT_EQ(report_.format, Format::kAlpaca);
  EXPECT_EQ(report_.detected, "alpaca: line 1 has the fields instruction and output");
  read(R"({"messages": [{"role": "assistant", "content": "x"}]})");
  EXPECT_EQ(report_.format, Format::kMessages);
  read(R"({"conversations": [{"from": "gpt", "value": "x"}]})");
  EXPECT_EQ(report_.format, Format::kShareGpt);
  read(R"({"text": "x"})");
  EXPECT_EQ(report_.format, Format::kText);
  read(R"({"prompt": "p", "chosen": "x", "rejected": "y"})");
  EXPECT_EQ(report_.format, Format::kPreference);
  EXPECT_EQ(read(R"({"input_ids": [1], "labels": [-100]})")[0].labels[0], -100);
  EXPECT_EQ(report_.format, Format::kTokens);
}

TEST_F(DatasetFile, RefusesAFileWhoseFormatCannotBeTold) {
  const base::Error error = base::thrown([&] { read("{\"question\": 1, \"answer\": 2}\n"); });
  EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(error.where().line, 1);
  EXPECT_NE(std::string(error.what()).find("question, answer"), std::string::npos);
  EXPECT_THROW(read("\n \n"), base::Error);
  EXPECT_EQ(base::thrown([] { read_conversations("/nowhere/d.jsonl", Format::kAuto, nullptr); }).code(),
            base::Code::kNotFound);
}

TEST_F(DatasetFile, BadRowsAreProblemsWithTheirLine) {
  const std::string text = kGood + "\n\n" +                            // 1, 2
                           "{\"instruction\": \"B\"\n" +               // 3: broken
                           "{\"instruction\": \"\xff\"}\n" +           // 4: not UTF-8
                           "{\"instruction\": \"C\", \"output\": \"\"}\n" +  // 5: empty answer
                           "[1]\n" +                                   // 6: no object
                           kGood + "\r\n";                             // 7: a duplicate, kept
  const auto rows = read(text);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].line, 7);
  EXPECT_EQ(report_.rows, 6);
  EXPECT_EQ(report_.duplicates, 1);
  ASSERT_EQ(report_.problems.size(), 4u);
  EXPECT_EQ(report_.rows, static_cast<int64_t>(rows.size() + report_.problems.size()));
  std::map<int, RowProblem> at;
  for (const RowProblem& problem : report_.problems) at[problem.line] = problem;
  EXPECT_NE(at[3].message.find("JSON"), std::string::npos);
  EXPECT_NE(at[4].message.find("UTF-8"), std::string::npos);
  EXPECT_EQ(at[5].field, "output");
  EXPECT_NE(at[6].message.find("expected an object"), std::string::npos);
  EXPECT_EQ(report_.to_json()["problems"].size(), 4u);
  EXPECT_EQ(report_.to_json()["format"], "alpaca");
}

TEST_F(DatasetFile, AnArrayIsReadElementByElement) {
  const auto rows = read("\xef\xbb\xbf[\n  " + kGood + ",\n" +
                         "  {\"instruction\": \"],}\", \"output\": \"\\\"b\"},\n  {bad},\n" +
                         kGood + "\n]\n");
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].line, 2);
  EXPECT_EQ(rows[1].line, 3);
  EXPECT_EQ(rows[1].messages[0]["content"], "],}");
  EXPECT_EQ(rows[2].line, 5);
  ASSERT_EQ(report_.problems.size(), 1u);
  EXPECT_EQ(report_.problems[0].line, 4);
}

TEST(SplitRows, ArraysWithFaults) {
  EXPECT_TRUE(split_rows("[]").empty());
  EXPECT_TRUE(split_rows("  ").empty());
  EXPECT_EQ(split_rows("[1, [2, 3], {\"a\": [4]}]").size(), 3u);
  EXPECT_EQ(split_rows("[1,]").size(), 2u);
  EXPECT_EQ(split_rows("[").front().text, "[");
  EXPECT_EQ(split_rows("[1, 2").back().text, "2");
  EXPECT_EQ(split_rows("[1] x").back().text, "1] x");
  EXPECT_EQ(split_rows("[\n1,\n\n2]").back().line, 4);
}

TEST(Format, NamesGoThereAndBack) {
  for (const char* name : {"auto", "alpaca", "sharegpt", "messages", "text", "preference", "tokens"}) {
    EXPECT_EQ(format_name(parse_format(name)), name);
  }
  const base::Error error = base::thrown([] { parse_format("alpacca"); });
  EXPECT_NE(std::string(error.what()).find("did you mean 'alpaca'"), std::string::npos);
}

}  // namespace
}  // namespace masbak::trainer
