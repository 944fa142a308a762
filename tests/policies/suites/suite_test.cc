#include "policies/suites/suite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <set>

#include "base/digest.h"
#include "base/durable_file.h"
#include "policies/suites/report.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::policies {
namespace {

using base::Json;
namespace fs = std::filesystem;

class SuiteFile : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { base::write_file_durably(folder_ / name, text); }
  Suite read(const std::string& name = "s.yaml") { return Suite::read(folder_.path() / name); }
  base::Error refused(const std::string& suite, const std::string& questions) {
    write("s.yaml", suite);
    write("q.jsonl", questions);
    return base::thrown([&] { read(); });
  }

  base::TemporaryFolder folder_;
  const std::string suite_ = "name: q\nkind: contains\nquestions: q.jsonl\nmax_tokens: 32\n";
};

TEST_F(SuiteFile, ReadsQuestionsAndDigestsBothFiles) {
  write("s.yaml", suite_);
  write("q.jsonl",
        "{\"question\": \"A?\", \"key\": \"1\"}\n"
        "{\"id\": \"b\", \"question\": \"B?\", \"key\": [\"2\", \"x\"]}\n");
  const Suite suite = read();
  ASSERT_EQ(suite.questions.size(), 2u);
  EXPECT_EQ(suite.questions[0].id, "line-1");
  EXPECT_EQ(suite.questions[1].key, (std::vector<std::string>{"2", "x"}));
  EXPECT_EQ(suite.max_tokens, 32);
  EXPECT_TRUE(base::is_digest(suite.digest));
  write("q.jsonl", "{\"question\": \"A?\", \"key\": \"2\"}\n");
  EXPECT_NE(read().digest, suite.digest);
}

TEST_F(SuiteFile, RefusesWithFileLineAndField) {
  const std::string good = "{\"question\": \"A?\", \"key\": \"1\"}\n";
  base::Error error = refused("name: q\nkind: contain\nquestions: q.jsonl\n", good);
  EXPECT_EQ(error.where().line, 2);
  EXPECT_NE(std::string(error.what()).find("did you mean 'contains'"), std::string::npos);
  error = refused("name: q\nkind: contains\nquestions: nowhere.jsonl\n", good);
  EXPECT_EQ(error.where().field, "questions");
  error = refused(suite_ + "max_token: 3\n", good);
  EXPECT_EQ(error.where().field, "max_token");
  error = refused(suite_, good + "{\"question\": \"B?\", \"key\": []}\n");
  EXPECT_EQ(error.where().line, 2);
  EXPECT_EQ(error.where().field, "key");
  error = refused(suite_, good + "\n{\"question\": \" \", \"key\": \"1\"}\n");
  EXPECT_EQ(error.where().line, 3);
  error = refused(suite_,
                  "{\"id\": \"a\", \"question\": \"A?\", \"key\": \"1\"}\n"
                  "{\"id\": \"a\", \"question\": \"B?\", \"key\": \"1\"}\n");
  EXPECT_EQ(error.where().field, "id");
  error = refused(suite_, "\n");
  EXPECT_NE(std::string(error.what()).find("expected questions"), std::string::npos);
}

TEST_F(SuiteFile, ScoresAnswersAndKeepsThemThroughJson) {
  write("s.yaml", suite_);
  write("q.jsonl", "{\"question\": \"A?\", \"key\": \"1\"}\n{\"question\": \"B?\", \"key\": [\"2\", \"x\"]}\n");
  SuiteReport report = score_answers(read(), {"it is 1.", "it is 2."});
  EXPECT_EQ(report.metrics.at("accuracy"), 0.5);
  EXPECT_EQ(report.metrics.at("right"), 1);
  EXPECT_EQ(report.items[1]["right"], false);
  report.model_digest = base::digest_bytes("model");
  const SuiteReport again = SuiteReport::from_json(report.to_json());
  EXPECT_EQ(again.to_json(), report.to_json());
  EXPECT_TRUE(report.to_json()["adapter_digest"].is_null());
  EXPECT_THROW(score_answers(read(), {"one"}), base::Error);
}

TEST_F(SuiteFile, AveragesTheLossOverTokens) {
  write("l.yaml", "name: l\nkind: loss\ndataset: q.jsonl\n");
  write("q.jsonl", "{}\n");
  const Suite suite = read("l.yaml");
  const SuiteReport report = score_losses(suite, {{1, 2.0, 1}, {2, 4.0, 3}});
  EXPECT_DOUBLE_EQ(report.metrics.at("loss"), 1.5);
  EXPECT_DOUBLE_EQ(report.metrics.at("perplexity"), std::exp(1.5));
  EXPECT_THROW(score_losses(suite, {}), base::Error);
}

TEST(SuiteReport, RefusesAReportWithoutDigests) {
  Json json{{"suite", "q"},       {"kind", "contains"},        {"suite_digest", "sha256:1"},
            {"model_digest", ""}, {"metrics", Json::object()}, {"items", Json::array()}};
  const base::Error error = base::thrown([&] { SuiteReport::from_json(json, "r.json"); });
  EXPECT_EQ(error.where().file, "r.json");
  EXPECT_EQ(error.where().field, "suite_digest");
}

TEST(RefinerySuites, AreWholeAndHeldOut) {
  const char* source = std::getenv("MASBAK_SOURCE");
  ASSERT_NE(source, nullptr);
  const fs::path folder = fs::path(source) / "examples" / "refinery";
  const Suite suite = Suite::read(folder / "suites" / "questions.yaml");
  EXPECT_EQ(suite.questions.size(), 60u);
  EXPECT_EQ(Suite::read(folder / "suites" / "eval_loss.yaml").kind, SuiteKind::kLoss);
  std::set<std::string> asked;
  int64_t rows = 0;
  for (const char* file : {"train.jsonl", "eval.jsonl"}) {
    base::read_json_lines(folder / file, [&](int, Json&& row) {
      asked.insert(row["messages"][0]["content"].get<std::string>());
      ++rows;
    });
  }
  EXPECT_EQ(asked.size(), static_cast<size_t>(rows)) << "a question stands twice";
  EXPECT_GE(rows, 340);
  for (const Question& question : suite.questions) EXPECT_FALSE(asked.count(question.question)) << question.question;
}

}  // namespace
}  // namespace masbak::policies
