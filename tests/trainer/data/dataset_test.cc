#include "trainer/data/dataset.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <map>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"
#include "tests/trainer/data/toy_tokenizer.h"
#include "trainer/data/row_source.h"

namespace masbak::trainer {
namespace {

const std::string kGood = R"({"instruction": "A", "output": "a"})";

void write_gzip(const std::filesystem::path& file, const std::string& text) {
  const gzFile out = gzopen(file.c_str(), "wb");
  ASSERT_EQ(gzwrite(out, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  ASSERT_EQ(gzclose(out), Z_OK);
}

class DatasetFile : public ::testing::Test {
 protected:
  // Reads and checks the rows; what is said of them is in `notes_`.
  DatasetReport read(const std::string& text, DatasetOptions options = {}, const std::string& name = "d.jsonl",
                     const TextTools* tools = nullptr) {
    notes_.clear();
    examples_.clear();
    base::write_file_durably(folder_ / name, text);
    return read_dataset(
        folder_ / name, tools, options, [&](const RowNote& note) { notes_.push_back(note); },
        [&](const TokenSequence& example, uint64_t) { examples_.push_back(example); });
  }
  std::vector<RawRow> rows_of(const std::string& name, const std::string& text) {
    base::write_file_durably(folder_ / name, text);
    const auto source = open_rows(folder_ / name);
    std::vector<RawRow> rows;
    for (RawRow row; source->next(&row);) rows.push_back(row);
    return rows;
  }
  base::Json parse_one(const std::string& name, const std::string& text) {
    base::write_file_durably(folder_ / name, text);
    const auto source = open_rows(folder_ / name);
    RawRow row;
    EXPECT_TRUE(source->next(&row));
    return source->parse(row);
  }

  base::TemporaryFolder folder_;
  std::vector<RowNote> notes_;
  std::vector<TokenSequence> examples_;
};

TEST_F(DatasetFile, TellsTheFormatAndSaysWhatItSaw) {
  const DatasetReport report = read(kGood + "\n");
  EXPECT_EQ(report.examples, 1);
  EXPECT_EQ(report.format, Format::kAlpaca);
  EXPECT_EQ(report.detected, "alpaca: line 1 has the fields instruction and output");
  const std::pair<const char*, Format> cases[] = {
      {R"({"messages": [{"role": "assistant", "content": "x"}]})", Format::kMessages},
      {R"({"conversations": [{"from": "gpt", "value": "x"}]})", Format::kShareGpt},
      {R"({"text": "x"})", Format::kText},
      {R"({"prompt": "p", "chosen": "x", "rejected": "y"})", Format::kPreference},
      {R"({"prompt": "p", "completion": "x"})", Format::kPromptCompletion},
      {R"({"prompt": "p", "completion": "x", "label": true})", Format::kKto},
      {R"({"input_ids": [1], "labels": [-100]})", Format::kTokens}};
  for (const auto& [row, format] : cases) EXPECT_EQ(read(row).format, format) << row;
}

TEST_F(DatasetFile, MostOfTheFirstRowsTellTheFormat) {
  const DatasetReport report = read(R"({"text": "x"})" + ("\n" + kGood) + "\n" + kGood + "\n{\"a\": 1}\n");
  EXPECT_EQ(report.format, Format::kAlpaca);
  EXPECT_EQ(report.detected,
            "alpaca: line 2 has the fields instruction and output, as 2 of the first 4 rows; 1 is text "
            "(the first in line 1)");
  EXPECT_EQ(report.bad_rows, 2);
}

TEST_F(DatasetFile, RefusesAFileWhoseFormatCannotBeTold) {
  const base::Error error = base::thrown([&] { read("{\"question\": 1, \"answer\": 2}\n"); });
  EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(error.where().line, 1);
  EXPECT_NE(std::string(error.what()).find("question, answer"), std::string::npos);
  EXPECT_THROW(read("\n \n"), base::Error);
  EXPECT_EQ(base::thrown([] { detect_file("/nowhere/d.jsonl", Format::kAuto); }).code(), base::Code::kNotFound);
}

TEST_F(DatasetFile, BadRowsAreProblemsWithTheirLine) {
  const DatasetReport report = read(kGood + "\n\n" +                                  // 1, 2
                                    "{\"instruction\": \"B\"\n" +                     // 3: broken
                                    "{\"instruction\": \"\xff\"}\n" +                 // 4: not UTF-8
                                    "{\"instruction\": \"C\", \"output\": \"\"}\n" +  // 5: empty answer
                                    "[1]\n" +                                         // 6: no object
                                    kGood + "\r\n");                                  // 7: a duplicate, kept
  EXPECT_EQ(report.rows, 6);
  EXPECT_EQ(report.examples, 2);
  EXPECT_EQ(report.duplicates, 1);
  EXPECT_EQ(report.bad_rows, 4);
  ASSERT_EQ(notes_.size(), 4u);
  EXPECT_EQ(notes_[0].line, 3);
  EXPECT_NE(notes_[0].message.find("JSON"), std::string::npos);
  EXPECT_NE(notes_[1].message.find("UTF-8"), std::string::npos);
  EXPECT_EQ(notes_[2].field, "output");
  EXPECT_EQ(notes_[3].line, 6);
  EXPECT_NE(notes_[3].message.find("expected an object"), std::string::npos);
  EXPECT_EQ(report.to_json()["problems"].size(), 4u);
  EXPECT_EQ(report.to_json()["format"], "alpaca");
}

TEST_F(DatasetFile, AnArrayIsReadElementByElement) {
  const DatasetReport report =
      read("\xef\xbb\xbf[\n  " + kGood + ",\n" + "  {\"instruction\": \"],}\", \"output\": \"\\\"b\"},\n  {bad},\n" +
           kGood + "\n]\n");
  EXPECT_EQ(report.examples, 3);
  EXPECT_EQ(report.kind, "a JSON array");
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].line, 4);
}

TEST_F(DatasetFile, ArraysWithFaults) {
  const auto rows = [&](const char* text) { return rows_of("a.json", text); };
  EXPECT_TRUE(rows("[]").empty());
  EXPECT_TRUE(rows("[\n]\n").empty());
  EXPECT_TRUE(rows("  ").empty());
  EXPECT_EQ(rows("[1, [2, 3], {\"a\": [4]}]").size(), 3u);
  EXPECT_EQ(rows("[1,]").size(), 2u);
  EXPECT_NE(rows("[1,]").back().fault, "");
  EXPECT_NE(rows("[1,,2]")[1].fault, "");
  EXPECT_NE(rows("[").front().fault, "");
  EXPECT_NE(rows("[1, 2").back().fault, "");
  EXPECT_NE(rows("[1] x").back().fault, "");
  EXPECT_EQ(rows("[\n1,\n\n2]").back().line, 4);
  EXPECT_EQ(rows("[{\"a\": \"\\\\\"}, 2]").size(), 2u);
}

TEST_F(DatasetFile, CsvIsReadAsRfc4180SaysWithTheSeparatorThatTheHeaderHas) {
  const std::string text =
      "instruction;output;note\r\n"
      "\"a \"\"quoted\"\" word; and\r\ntwo lines\";b;\r\n"
      "\r\n"
      "c;d;e\r\n";
  const auto rows = rows_of("d.csv", text);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].line, 2);
  EXPECT_EQ(rows[1].line, 5);
  EXPECT_EQ(parse_one("d.csv", text),
            base::parse_json(R"({"instruction": "a \"quoted\" word; and\r\ntwo lines", "output": "b"})"));
  const DatasetReport report = read(text, {}, "d.csv");
  EXPECT_EQ(report.examples, 2);
  EXPECT_EQ(report.kind, "CSV with ';' between the cells");
  EXPECT_EQ(read("instruction\toutput\nx,\"y\tz\n", {}, "d.tsv").kind, "CSV with tabs between the cells");
  EXPECT_EQ(read("\xef\xbb\xbfinstruction,output\nx,y", {}, "digest").kind, "CSV with ',' between the cells");
}

TEST_F(DatasetFile, CellsHoldListsWhereAFieldWantsThem) {
  const std::string messages = R"([{"role": "user", "content": "A"}, {"role": "assistant", "content": "a"}])";
  std::string quoted;
  for (const char c : messages) quoted += c == '"' ? "\"\"" : std::string(1, c);
  EXPECT_EQ(parse_one("d.csv", "messages\n\"" + quoted + "\"\n")["messages"], base::parse_json(messages));
  EXPECT_EQ(parse_one("d.csv", "prompt,completion,label\n[INST] x,y,TRUE\n"),
            base::parse_json(R"({"prompt": "[INST] x", "completion": "y", "label": true})"));
}

TEST_F(DatasetFile, GzipIsReadAndDamageIsSeen) {
  write_gzip(folder_ / "d.jsonl.gz", kGood + "\n" + kGood + "\n");
  EXPECT_EQ(read_dataset(folder_ / "d.jsonl.gz", nullptr, {}, nullptr, nullptr).rows, 2);
  const std::string whole = base::read_file(folder_ / "d.jsonl.gz");
  base::write_file_durably(folder_ / "cut.jsonl.gz", whole.substr(0, whole.size() - 12));
  EXPECT_EQ(base::thrown([&] { read_dataset(folder_ / "cut.jsonl.gz", nullptr, {}, nullptr, nullptr); }).code(),
            base::Code::kDataLoss);
}

TEST_F(DatasetFile, ForeignFormatsNameTheConversion) {
  const base::Error parquet = base::thrown([&] { read("PAR1\x15\x04\x15", {}, "d.parquet"); });
  EXPECT_EQ(parquet.code(), base::Code::kUnimplemented);
  EXPECT_NE(std::string(parquet.what()).find("read_parquet"), std::string::npos);
  EXPECT_EQ(base::thrown([&] { read("PK\x03\x04 sheet", {}, "d.xlsx"); }).code(), base::Code::kUnimplemented);
  EXPECT_EQ(base::thrown([&] { read("\xff\xfe{", {}); }).code(), base::Code::kInvalidArgument);
}

TEST_F(DatasetFile, DuplicatesAreNamedWithTheLineOfTheirTwin) {
  std::string words = "the pump on deck four stopped after the filter was changed last night because of low pressure";
  const auto row = [](const std::string& text, const std::string& more = "") {
    return base::Json{{"instruction", text}, {"output", "a"}, {"id", more}}.dump() + "\n";
  };
  const std::string text = row(words, "1") + row("something else is asked here", "2") + row(words, "3") +
                           row(words + " again", "4") + row("short one", "5");
  EXPECT_EQ(read(text).duplicates, 1);
  EXPECT_TRUE(notes_.empty());
  DatasetOptions options;
  options.deduplicate = Deduplicate::kExact;
  EXPECT_EQ(read(text, options).removed_duplicates, 1);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].line, 3);
  EXPECT_EQ(notes_[0].kind, RowNote::Kind::kDuplicate);
  EXPECT_NE(notes_[0].message.find("line 1"), std::string::npos);
  options.deduplicate = Deduplicate::kNear;
  const DatasetReport near = read(text, options);
  EXPECT_EQ(near.near_duplicates, 1);
  EXPECT_EQ(near.examples, 3);
  ASSERT_EQ(notes_.size(), 2u);
  EXPECT_EQ(notes_[1].line, 4);
}

// Pairs of known similarity: what the estimate says must be right on the whole.
TEST_F(DatasetFile, NearDuplicatesAreFoundAtTheThresholdAndNotFarFromIt) {
  const auto words = [](int row, int first, int count) {
    std::string text;
    for (int i = first; i < first + count; ++i) text += "w" + std::to_string(row) + "x" + std::to_string(i) + " ";
    return base::Json{{"text", text}}.dump() + "\n";
  };
  // 102 words are 100 sequences; shifted by n, 100 - n are shared: a similarity of (100 - n) / (100 + n).
  for (const auto& [shift, least, most] : {std::tuple{2, 98, 100}, std::tuple{40, 0, 1}}) {
    std::string text;
    for (int row = 0; row < 100; ++row) text += words(row, 0, 102) + words(row, shift, 102);
    DatasetOptions options;
    options.deduplicate = Deduplicate::kNear;
    const DatasetReport report = read(text, options);
    EXPECT_GE(report.near_duplicates, least) << shift;
    EXPECT_LE(report.near_duplicates, most) << shift;
  }
}

TEST_F(DatasetFile, TheOrderOfTheRowsIsThatOfTheFileWhateverThreadsDo) {
  std::string text;
  for (int i = 1; i <= 3000; ++i) {
    text += base::Json{{"text", std::string(static_cast<size_t>(1 + (i * 7919) % 300), 'x')}}.dump() + "\n";
  }
  const TextTools tools{toy_tokenizer(), std::nullopt, 260};
  const DatasetReport report = read(text, {}, "d.jsonl", &tools);
  ASSERT_EQ(examples_.size(), 3000u);
  for (int i = 0; i < 3000; ++i) EXPECT_EQ(examples_[static_cast<size_t>(i)].line, i + 1);
  EXPECT_EQ(report.lengths.begin()->first, 2);
  EXPECT_EQ(report.percentile(1.0), 301);
  EXPECT_NEAR(static_cast<double>(report.percentile(0.5)), 151, 3);
  int64_t rows = 0;
  const base::Json json = report.to_json();
  for (const base::Json& band : json["histogram"]) rows += band["rows"].get<int64_t>();
  EXPECT_EQ(rows, 3000);
}

TEST_F(DatasetFile, CutAndEmptyRowsAreCountedAndNamed) {
  const TextTools tools{toy_tokenizer(), std::nullopt, 260};
  DatasetOptions options;
  options.max_length = 4;
  const DatasetReport report = read(R"({"input_ids": [1, 2, 3, 4, 5], "labels": [1, 2, 3, 4, 5]})"
                                    "\n"
                                    R"({"input_ids": [1, 2, 3, 4, 5], "labels": [-100, -100, -100, -100, 5]})"
                                    "\n"
                                    R"({"input_ids": [1, 2], "labels": [1, -100]})"
                                    "\n"
                                    R"({"input_ids": [1, 260], "labels": [1, -100]})"
                                    "\n",
                                    options, "d.jsonl", &tools);
  EXPECT_EQ(report.rows, 4);
  EXPECT_EQ(report.examples, 1);
  EXPECT_EQ(report.truncated, 2);
  EXPECT_EQ(report.without_answer, 2);
  EXPECT_EQ(report.bad_rows, 3);
  ASSERT_EQ(notes_.size(), 4u);
  EXPECT_EQ(notes_[0].kind, RowNote::Kind::kTruncated);
  EXPECT_NE(notes_[1].message.find("raise max_length"), std::string::npos);
  EXPECT_EQ(notes_[2].field, "labels");
  EXPECT_EQ(notes_[3].field, "input_ids[1]");
}

TEST(Format, NamesGoThereAndBack) {
  for (const char* name :
       {"auto", "alpaca", "sharegpt", "messages", "text", "preference", "tokens", "prompt_completion", "kto"}) {
    EXPECT_EQ(format_name(parse_format(name)), name);
  }
  const base::Error error = base::thrown([] { parse_format("alpacca"); });
  EXPECT_NE(std::string(error.what()).find("did you mean 'alpaca'"), std::string::npos);
}

}  // namespace
}  // namespace masbak::trainer
