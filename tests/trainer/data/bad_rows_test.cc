// Every kind of bad row is named with its line and field, and none is lost: rows in = rows learnt from + rows named.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/trainer/data/toy_tokenizer.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {
namespace {

struct BadRow {
  const char* text;
  const char* field;
  const char* words;  // of the message
};

struct Kinds {
  Format format;
  const char* good;
  std::vector<BadRow> rows;
};

const std::vector<Kinds> kJsonKinds{
    {Format::kAlpaca,
     R"({"instruction": "A", "output": "a"})",
     {
         {R"({"instruction": "A", "output": "a")", "", "JSON"},
         {R"({"instruction": "A", "output": "a"}})", "", "JSON"},
         {R"({"instruction": "A", "output": "a"} {"instruction": "B", "output": "b"})", "", "JSON"},
         {R"({"instruction": 'A', "output": "a"})", "", "JSON"},
         {R"({"instruction": "A", "output": NaN})", "", "JSON"},
         {R"({"instruction": "A", "output": "\ud800"})", "", "JSON"},
         {R"({"instruction": "A", "output": "a", "output": "b"})", "output", "twice"},
         {"{\"instruction\": \"A\", \"output\": \"\xc3\x28\"}", "", "UTF-8"},
         {"{\"instruction\": \"A\tB\", \"output\": \"a\"}", "", "JSON"},
         {"instruction,output", "", "JSON"},
         {R"("a text")", "", "expected an object"},
         {"17", "", "expected an object"},
         {"null", "", "expected an object"},
         {"[1, 2]", "", "expected an object"},
         {"{}", "instruction", "found none"},
         {R"({"output": "a"})", "instruction", "found none"},
         {R"({"instruction": "A"})", "output", "found none"},
         {R"({"instruction": "A", "output": ""})", "output", "empty"},
         {R"({"instruction": "A", "output": " \n\t"})", "output", "empty"},
         {R"({"instruction": "A", "output": null})", "output", "null"},
         {R"({"instruction": ["A"], "output": "a"})", "instruction", "a list"},
         {R"({"instruction": "A", "output": 3.5})", "output", "the number 3.5"},
         {R"({"instruction": "A", "input": {}, "output": "a"})", "input", "an object"},
         {R"({"instruction": "A", "output": "a", "history": "x"})", "history", "text"},
         {R"({"instruction": "A", "output": "a", "history": [["q", "a"], ["q"]]})", "history[1]", "two texts"},
         {R"({"instruction": "A", "output": "a", "system": false})", "system", "false"},
     }},
    {Format::kShareGpt,
     R"({"conversations": [{"from": "human", "value": "A"}, {"from": "gpt", "value": "a"}]})",
     {
         {R"({"conversation": []})", "conversations", "found none"},
         {R"({"conversations": []})", "conversations", "empty"},
         {R"({"conversations": [{"from": "humen", "value": "A"}]})", "conversations[0].from", "did you mean"},
         {R"({"conversations": [{"value": "A"}]})", "conversations[0].from", "found none"},
         {R"({"conversations": [{"from": "human", "value": "A"}, {"from": "gpt"}]})", "conversations[1].value",
          "found none"},
         {R"({"conversations": ["A", "a"]})", "conversations[0]", "an object"},
         {R"({"conversations": [{"from": "human", "value": "A"}]})", "conversations", "nothing to learn"},
         {R"({"conversations": [{"from": "human", "value": "A"}, {"from": "function_call", "value": "level 1"}]})",
          "conversations[1].value", "JSON text"},
     }},
    {Format::kMessages,
     R"({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "a"}]})",
     {
         {R"({"messages": null})", "messages", "null"},
         {R"({"messages": []})", "messages", "empty"},
         {R"({"messages": [["user", "A"]]})", "messages[0]", "an object"},
         {R"({"messages": [{"role": "usr", "content": "A"}]})", "messages[0].role", "did you mean 'user'"},
         {R"({"messages": [{"content": "A"}]})", "messages[0].role", "found none"},
         {R"({"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "a"}]})",
          "messages[0].content", "empty"},
         {R"({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": null}]})",
          "messages[1].content", "found none"},
         {R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]})",
          "messages[0].content[0]", "text only"},
         {R"({"messages": [{"role": "user", "content": "A"}, {"role": "user", "content": "B"}]})", "messages",
          "nothing to learn"},
         {R"({"messages": [{"role": "user", "content": "A", "tool_calls": []}]})", "messages[0].tool_calls",
          "assistant message only"},
         {R"({"messages": [{"role": "assistant", "tool_calls": []}]})", "messages[0].tool_calls", "empty"},
         {R"({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]})",
          "messages[0].tool_calls[0].function.arguments", "found none"},
         {R"({"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{x}"}]}]})",
          "messages[0].tool_calls[0].arguments", "an object"},
         {R"({"messages": [{"role": "assistant", "content": "a"}], "tools": "get"})", "tools", "no JSON"},
         {R"({"messages": [{"role": "assistant", "content": "a"}], "tools": ["f"]})", "tools[0]", "an object"},
         {R"({"messages": [{"role": "user", "content": "too long to leave room for an answer in 32 tokens"},
               {"role": "assistant", "content": "a"}]})",
          "", "raise max_length"},
     }},
    {Format::kText, R"({"text": "A"})", {{R"({"text": ""})", "text", "empty"}, {R"({"text": 1})", "text", "number"}}},
    {Format::kPreference,
     R"({"prompt": "Q", "chosen": "good", "rejected": "bad"})",
     {
         {R"({"prompt": "Q", "chosen": "x"})", "rejected", "found none"},
         {R"({"prompt": "Q", "chosen": "x", "rejected": "x"})", "rejected", "the same"},
         {R"({"chosen": "x", "rejected": "y"})", "prompt", "begin alike"},
         {R"({"prompt": "Q", "chosen": "x", "rejected": [{"role": "assistant", "content": "y"}]})", "rejected",
          "texts in both"},
         {R"({"prompt": "", "chosen": "x", "rejected": "y"})", "prompt", "empty"},
         {R"({"prompt": "Q", "chosen": "x", "rejected": " "})", "rejected", "empty"},
     }},
    {Format::kPromptCompletion,
     R"({"prompt": "Q", "completion": "good"})",
     {{R"({"prompt": "Q"})", "completion", "found none"},
      {R"({"prompt": "Q", "completion": [{"role": "assistant", "content": "y"}]})", "completion", "texts in both"},
      {R"({"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "user", "content": "y"}]})",
       "completion", "nothing to learn"}}},
    {Format::kKto,
     R"({"prompt": "Q", "completion": "good", "label": true})",
     {{R"({"prompt": "Q", "completion": "x"})", "label", "found none"},
      {R"({"prompt": "Q", "completion": "x", "label": "yes"})", "label", "true or false"}}},
    {Format::kTokens,
     R"({"input_ids": [1, 2], "labels": [1, 2]})",
     {
         {R"({"input_ids": [1, 2]})", "labels", "found none"},
         {R"({"input_ids": [1, 2], "labels": [1]})", "labels", "as many labels"},
         {R"({"input_ids": [1, -1], "labels": [1, 1]})", "input_ids[1]", "found -1"},
         {R"({"input_ids": [1, 2], "labels": [1, -99]})", "labels[1]", "or -100"},
         {R"({"input_ids": [1, 2.5], "labels": [1, 2]})", "input_ids[1]", "2.5"},
         {R"({"input_ids": [1, 99999999999], "labels": [1, 2]})", "input_ids[1]", "token id"},
         {R"({"input_ids": [1, 260], "labels": [1, 2]})", "input_ids[1]", "vocabulary"},
         {R"({"input_ids": [], "labels": []})", "input_ids", "empty"},
         {R"({"input_ids": [1, 2], "labels": [-100, -100]})", "labels", "no token to learn"},
         {R"({"input_ids": [1, 2], "labels": [1, -100]})", "labels", "no token to learn"},
         {R"({"input_ids": "1 2", "labels": [1, 2]})", "input_ids", "text"},
     }}};

class BadRows : public ::testing::Test {
 protected:
  BadRows() {
    tools_.tokenizer = toy_tokenizer();
    tools_.chat_template = models::ChatTemplate::compile(
        "{% for m in messages %}{{ m.role[0] }}{{ m.content }}<end>{% endfor %}"
        "{% if add_generation_prompt %}a{% endif %}");
    tools_.vocabulary = 260;
  }
  // Reads the file; rows in = rows learnt from + rows named, whatever is in it.
  DatasetReport read(const std::string& name, const std::string& text, Format format) {
    notes_.clear();
    int64_t learnt = 0;
    base::write_file_durably(folder_ / name, text);
    DatasetOptions options;
    options.format = format;
    options.max_length = 32;
    const DatasetReport report = read_dataset(
        folder_ / name, &tools_, options,
        [&](const RowNote& note) {
          if (note.kind == RowNote::Kind::kProblem) notes_.push_back(note);
        },
        [&](const TokenSequence&, uint64_t) { ++learnt; });
    EXPECT_EQ(report.rows, learnt + static_cast<int64_t>(notes_.size()));
    EXPECT_EQ(report.examples, learnt);
    EXPECT_EQ(report.bad_rows, static_cast<int64_t>(notes_.size()));
    return report;
  }
  void expect(const RowNote& note, const BadRow& row, int line, const std::string& name) {
    EXPECT_EQ(note.line, line) << name << ": " << row.text << ": " << note.message;
    EXPECT_EQ(note.field, row.field) << name << ": " << row.text << ": " << note.message;
    EXPECT_NE(note.message.find(row.words), std::string::npos) << row.text << ": " << note.message;
  }

  base::TemporaryFolder folder_;
  TextTools tools_;
  std::vector<RowNote> notes_;
};

std::string on_one_line(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) text.erase(at, 1);
  return text;
}

TEST_F(BadRows, OfJsonLinesEachIsNamedBetweenGoodOnes) {
  size_t kinds = 0;
  for (const Kinds& format : kJsonKinds) {
    std::string text;
    for (const BadRow& row : format.rows) text += std::string(format.good) + "\n" + on_one_line(row.text) + "\n";
    text += format.good;
    const DatasetReport report = read("rows.jsonl", text, format.format);
    EXPECT_EQ(report.examples, static_cast<int64_t>(format.rows.size()) + 1);
    ASSERT_EQ(notes_.size(), format.rows.size()) << format_name(format.format);
    for (size_t i = 0; i < format.rows.size(); ++i) {
      expect(notes_[i], format.rows[i], static_cast<int>(2 * i + 2), format_name(format.format));
    }
    kinds += format.rows.size();
  }
  EXPECT_GE(kinds, 70u);
}

TEST_F(BadRows, OfAnArrayEachIsNamedBetweenGoodOnes) {
  for (const Kinds& format : kJsonKinds) {
    std::string text = "[\n";
    std::vector<BadRow> rows;
    for (const BadRow& row : format.rows) {
      // Rows whose brackets or quotes do not close, or that are two values, end elsewhere in an array.
      const std::string_view all = row.text;
      const bool closes = std::count(all.begin(), all.end(), '{') == std::count(all.begin(), all.end(), '}') &&
                          std::count(all.begin(), all.end(), '"') % 2 == 0 && all != "instruction,output";
      if (!closes) continue;
      text += std::string(format.good) + ",\n" + on_one_line(row.text) + ",\n";
      rows.push_back(row);
    }
    read("rows.json", text + format.good + "\n]\n", format.format);
    ASSERT_EQ(notes_.size(), rows.size()) << format_name(format.format);
    for (size_t i = 0; i < rows.size(); ++i) expect(notes_[i], rows[i], static_cast<int>(2 * i + 3), "array");
  }
}

TEST_F(BadRows, OfAnArrayThatIsCutOffTheRestIsNamed) {
  read("cut.json", "[{\"text\": \"a\"},\n{\"text\": \"b\"},\n{\"text\": \"c", Format::kText);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].line, 3);
  read("open.json", "[{\"text\": \"a\"},\n{\"text\": \"b\"}\n", Format::kText);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].line, 2);
  read("more.json", "[{\"text\": \"a\"}]\n{\"text\": \"b\"}\n", Format::kText);
  ASSERT_EQ(notes_.size(), 1u);
  read("commas.json", "[{\"text\": \"a\"},\n,\n{\"text\": \"b\"},\n]", Format::kText);
  ASSERT_EQ(notes_.size(), 2u);
  EXPECT_EQ(notes_[1].line, 4);
}

TEST_F(BadRows, OfCsvEachIsNamed) {
  const std::string text =
      "instruction,output,history\n"  // 1
      "A,a,\n"                        // 2
      "A\n"                           // 3: too few cells
      "A,a,,\n"                       // 4: too many
      "A,,\n"                         // 5: no answer
      "\"A\"x,a,\n"                   // 6: text behind a quote
      "A,\xff,\n"                     // 7: not UTF-8
      "A,a,[[1]]\n"                   // 8: a field's own rules
      "A,a,[[\n"                      // 9: broken JSON in a cell
      "\"A\nB\",\" \",\n"             // 10 and 11: an answer of white space
      "A,a,\n"                        // 12
      "A,\"a,\nA,a,\nA,a,\n";         // 13: the quote never closes
  const std::vector<std::pair<int, const char*>> expected{{3, "output"},  {4, ""},        {5, "output"},
                                                          {6, ""},        {7, "output"},  {8, "history[0]"},
                                                          {9, "history"}, {10, "output"}, {13, ""}};
  read("rows.csv", text, Format::kAlpaca);
  ASSERT_EQ(notes_.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(notes_[i].line, expected[i].first) << notes_[i].message;
    EXPECT_EQ(notes_[i].field, expected[i].second) << notes_[i].message;
  }
  EXPECT_NE(notes_.back().message.find("to line 16"), std::string::npos) << notes_.back().message;
}

TEST_F(BadRows, ARowWithoutEndDoesNotFillTheMemory) {
  const std::string text = "{\"text\": \"a\"}\n" + std::string((64 << 20) + 100, 'x') + "\n{\"text\": \"b\"}\n";
  const DatasetReport report = read("long.jsonl", text, Format::kText);
  EXPECT_EQ(report.examples, 2);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_EQ(notes_[0].line, 2);
  EXPECT_NE(notes_[0].message.find("64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace masbak::trainer
