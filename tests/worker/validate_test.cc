// masbak-worker validate: a good run, and every kind of fault found in one go, each with file, line and field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using ::testing::HasSubstr;

std::string row(const std::string& question, const std::string& answer) {
  const base::Json messages{{{"role", "user"}, {"content", question}}, {{"role", "assistant"}, {"content", answer}}};
  return base::Json{{"messages", messages}}.dump() + "\n";
}

class Validate : public ::testing::Test {
 protected:
  void SetUp() override {
    // A tiny model: threads would only wait for one another, for long where the machine is busy.
    setenv("OMP_NUM_THREADS", "1", 0);
    const base::Output output = run_worker({"adopt", tiny_gguf(), "--family", "deepseek_v3", "--experts", "4",
                                            "--top-k", "2", "--shared", "64", "--out", (folder / "model").string()});
    ASSERT_EQ(output.exit.status, 0) << output.err;
    write("train.jsonl", row("A?", "a") + row("B?", "b") + row("A?", "a"));
    write("eval.jsonl", row("C?", "c"));
  }
  void write(const std::string& name, const std::string& text) { base::write_file_durably(folder / name, text); }
  void write_run(const std::string& adapter = "{r: 4, target_modules: [attention, experts]}",
                 const std::string& training = "{max_length: 64}") {
    write("run.yaml", "model: model\ndataset: {train: train.jsonl, eval: eval.jsonl}\nadapter: " + adapter +
                          "\ntraining: " + training + "\n");
  }
  base::Json validate(int status) {
    output_ = run_worker({"validate", (folder / "run.yaml").string()});
    EXPECT_EQ(output_.exit.status, status) << output_.err;
    return base::parse_json(output_.out);
  }
  // The problem at this field, or null.
  static base::Json at(const base::Json& report, const std::string& field) {
    for (const base::Json& problem : report["problems"]) {
      if (problem["field"] == field) return problem;
    }
    return nullptr;
  }

  base::TemporaryFolder folder;
  base::Output output_;
};

TEST_F(Validate, AGoodRunHasNoProblem) {
  write_run();
  const base::Json report = validate(0);
  EXPECT_EQ(report["ok"], true);
  EXPECT_TRUE(report["problems"].empty());
  ASSERT_EQ(report["datasets"].size(), 2u);
  const base::Json& train = report["datasets"][0];
  EXPECT_EQ(train["role"], "train");
  EXPECT_EQ(train["rows"], 3);
  EXPECT_EQ(train["duplicates"], 1);
  EXPECT_EQ(train["detected"], "messages: line 1 has the field messages");
  EXPECT_EQ(train["trained_tokens"], 3 * 3);  // the letter, <|im_end|> and the line break
  EXPECT_EQ(report["model"]["family"], "deepseek_v3");
  EXPECT_GT(report["plan"]["trainable_parameters"].get<int64_t>(), 0);
  EXPECT_THAT(output_.err, HasSubstr("no problem found"));
  // The lengths and what is learnt, for people and for programs.
  EXPECT_THAT(output_.err, HasSubstr("3 rows = 3 to learn from + 0 bad + 0 duplicates left out"));
  EXPECT_THAT(output_.err, HasSubstr("⟦a<|im_end|>\n⟧"));
  int64_t rows = 0;
  for (const base::Json& band : train["histogram"]) rows += band["rows"].get<int64_t>();
  EXPECT_EQ(rows, 3);
  ASSERT_GE(train["samples"].size(), 1u);
  EXPECT_EQ(train["samples"][0]["pieces"].back()["text"], "a<|im_end|>\n");
  EXPECT_EQ(train["samples"][0]["pieces"].back()["learnt"], true);
}

TEST_F(Validate, NamesCutAndRepeatedRowsBesideBadOnes) {
  write("train.jsonl", row("A?", "a") + row("A?", "a") + row("C?", std::string(80, 'x')) + row("D?", ""));
  write("run.yaml",
        "model: model\ndataset: {train: [train.jsonl, eval.jsonl], eval_fraction: 0.5, deduplicate: exact}\n"
        "adapter: {r: 4, target_modules: [attention]}\ntraining: {max_length: 64, loss_on: last_turn}\n");
  const base::Json report = validate(2);
  ASSERT_EQ(report["datasets"].size(), 2u);
  const base::Json& train = report["datasets"][0];
  EXPECT_EQ(train["rows"], 4);
  EXPECT_EQ(train["examples"], 2);
  EXPECT_EQ(train["bad_rows"], 1);
  EXPECT_EQ(train["removed_duplicates"], 1);
  ASSERT_EQ(report["notes"].size(), 2u);
  EXPECT_EQ(report["notes"][0]["kind"], "duplicate");
  EXPECT_EQ(report["notes"][0]["line"], 2);
  EXPECT_THAT(report["notes"][0]["message"].get<std::string>(), HasSubstr("line 1"));
  EXPECT_EQ(report["notes"][1]["kind"], "truncated");
  EXPECT_EQ(report["notes"][1]["line"], 3);
  EXPECT_EQ(report["problems"].size(), 1u);
}

TEST_F(Validate, ListsEveryProblemHoweverMany) {
  std::string rows;
  for (int i = 0; i < 1500; ++i) rows += "{\"messages\": " + std::to_string(i) + "}\n";
  write("train.jsonl", row("A?", "a") + rows);
  write_run();
  const base::Json report = validate(2);
  EXPECT_EQ(report["problems"].size(), 1500u);
  EXPECT_EQ(report["problems"][1499]["line"], 1501);
  EXPECT_EQ(report["datasets"][0]["bad_rows"], 1500);
  EXPECT_THAT(output_.err, HasSubstr("and 1400 more"));
}

TEST_F(Validate, FindsEveryBadRowWithLineAndField) {
  write("train.jsonl", row("A?", "a") + "{\"messages\": [\n" + R"({"messages": [{"role": "usr", "content": "A?"}]})" +
                           "\n" + row("B?", " ") + "{\"messages\": \"\xff\"}\n" + row("C?", std::string(80, 'x')) +
                           row(std::string(80, 'y'), "c"));
  write_run();
  const base::Json report = validate(2);
  EXPECT_EQ(report["ok"], false);
  std::map<int, base::Json> at_line;
  for (const base::Json& problem : report["problems"]) at_line[problem["line"].get<int>()] = problem;
  EXPECT_EQ(report["problems"].size(), 5u) << report["problems"].dump(1);
  EXPECT_EQ(at_line[2]["file"], (folder / "train.jsonl").string());
  EXPECT_EQ(at_line[3]["field"], "messages[0].role");
  EXPECT_THAT(at_line[3]["message"].get<std::string>(), HasSubstr("did you mean 'user'"));
  EXPECT_EQ(at_line[4]["field"], "messages[1].content");
  EXPECT_THAT(at_line[5]["message"].get<std::string>(), HasSubstr("UTF-8"));
  EXPECT_THAT(at_line[7]["message"].get<std::string>(), HasSubstr("raise max_length"));
  EXPECT_EQ(report["datasets"][0]["truncated"], 2);
  EXPECT_EQ(report["datasets"][0]["bad_rows"], 5);
  EXPECT_THAT(output_.err, HasSubstr("train.jsonl:4, messages[1].content)"));
}

TEST_F(Validate, FaultsOfRunModelAndDataAreToldTogether) {
  write("eval.jsonl", "{\"question\": \"A?\"}\n");
  write_run("{r: 4, target_modules: [attention, expertz]}", "{max_length: 65}");
  const base::Json report = validate(2);
  EXPECT_THAT(at(report, "training.max_length")["message"].get<std::string>(), HasSubstr("64 positions"));
  EXPECT_THAT(report["problems"].dump(), HasSubstr("expertz"));
  EXPECT_THAT(report["problems"].dump(), HasSubstr("cannot tell the format"));
  EXPECT_EQ(report["problems"].size(), 3u) << report["problems"].dump(1);
}

TEST_F(Validate, AMisspeltKeyNamesTheNearest) {
  write_run("{r: 4}", "{max_lenght: 64}");
  const base::Json report = validate(2);
  EXPECT_THAT(at(report, "training.max_lenght")["message"].get<std::string>(), HasSubstr("max_length"));
  EXPECT_EQ(at(report, "training.max_lenght")["line"], 4);
}

TEST_F(Validate, WithoutAModelTheRowsAreStillRead) {
  write("train.jsonl", row("A?", "a") + row("B?", ""));
  std::filesystem::remove_all(folder / "model");
  write_run();
  const base::Json report = validate(2);
  EXPECT_FALSE(at(report, "messages[1].content").is_null());
  EXPECT_GE(report["problems"].size(), 2u);
}

TEST_F(Validate, AMissingRunFileIsAProblemToo) {
  const base::Json report = validate(2);
  ASSERT_EQ(report["problems"].size(), 1u);
  EXPECT_EQ(report["problems"][0]["code"], "NOT_FOUND");
}

}  // namespace
}  // namespace masbak::worker
