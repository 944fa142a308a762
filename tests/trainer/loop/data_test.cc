#include "trainer/loop/data.h"

#include <gtest/gtest.h>

#include <set>

#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/base/thrown.h"

namespace masbak::trainer {
namespace {

class RunDataTest : public ::testing::Test {
 protected:
  // Rows that say `first`, `first` + 1, …
  void write(const std::string& name, int first, int count) {
    std::string text;
    for (int i = first; i < first + count; ++i) {
      const base::Json ids{i, i + 1, i + 2};
      text += base::Json{{"input_ids", ids}, {"labels", ids}}.dump() + "\n";
    }
    base::write_file_durably(folder_ / name, text);
  }
  RunData load(const std::string& dataset, const std::string& objective = "sft") {
    RunConfig run = RunConfig::read(
        base::Fields::from_yaml_text("model: model\ndataset: " + dataset + "\n", "run.yaml"), folder_ / "run.yaml");
    run.objective = objective;
    return load_run_data(run, [](const std::string&) {});
  }
  static std::set<int32_t> first_ids(const Examples& examples) {
    std::set<int32_t> ids;
    for (int64_t i = 0; i < examples.size(); ++i) ids.insert(examples[i].ids[0]);
    return ids;
  }

  base::TemporaryFolder folder_;
};

TEST_F(RunDataTest, ARowFallsOnTheSameSideWhateverElseTheFileHolds) {
  write("a.jsonl", 0, 1000);
  write("b.jsonl", 500, 1000);
  const RunData a = load("{train: a.jsonl, eval_fraction: 0.2}"), b = load("{train: b.jsonl, eval_fraction: 0.2}");
  EXPECT_EQ(a.train.size() + a.eval.size(), 1000);
  EXPECT_NEAR(static_cast<double>(a.eval.size()), 200, 40);
  const std::set<int32_t> a_eval = first_ids(a.eval), b_eval = first_ids(b.eval);
  for (int32_t id = 500; id < 1000; ++id) EXPECT_EQ(a_eval.count(id), b_eval.count(id)) << id;
  // A larger share takes more rows and gives none back.
  const std::set<int32_t> larger = first_ids(load("{train: a.jsonl, eval_fraction: 0.4}").eval);
  for (const int32_t id : a_eval) EXPECT_TRUE(larger.count(id)) << id;
}

TEST_F(RunDataTest, DuplicatesFallOnOneSideAcrossFiles) {
  write("a.jsonl", 0, 300);
  write("b.jsonl", 0, 300);
  const RunData data = load("{train: [a.jsonl, b.jsonl], eval_fraction: 0.3}");
  EXPECT_EQ(data.train.size() + data.eval.size(), 600);
  for (const int32_t id : first_ids(data.eval)) EXPECT_FALSE(first_ids(data.train).count(id)) << id;
  EXPECT_EQ(data.reports.size(), 2u);
  EXPECT_NE(data.digests.at("train"), load("{train: a.jsonl}").digests.at("train"));
}

TEST_F(RunDataTest, ASideWithoutRowsIsRefused) {
  write("a.jsonl", 0, 1);
  EXPECT_EQ(base::thrown([&] { load("{train: a.jsonl, eval_fraction: 0.5}"); }).where().field, "dataset.eval_fraction");
}

TEST_F(RunDataTest, ObjectiveAndFormatMustFit) {
  write("a.jsonl", 0, 10);
  EXPECT_EQ(base::thrown([&] { load("{train: a.jsonl}", "dpo"); }).code(), base::Code::kFailedPrecondition);
  check_objective("dpo", Format::kPreference, "f");
  check_objective("kto", Format::kKto, "f");
  check_objective("sft", Format::kPromptCompletion, "f");
  EXPECT_THROW(check_objective("sft", Format::kPreference, "f"), base::Error);
  EXPECT_THROW(check_objective("kto", Format::kPreference, "f"), base::Error);
}

}  // namespace
}  // namespace masbak::trainer
