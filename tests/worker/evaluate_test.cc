// masbak-worker evaluate: its answers are those of generate, its loss that of the logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/digest.h"
#include "base/document.h"
#include "base/durable_file.h"
#include "tests/base/temporary_folder.h"
#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

using base::Json;
using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 272;

class Evaluate : public ::testing::Test {
 protected:
  void SetUp() override {
    // A tiny model: threads would only wait for one another, for long where the machine is busy.
    setenv("OMP_NUM_THREADS", "1", 0);
    const base::Output output = run_worker({"adopt", tiny_gguf(), "--family", "deepseek_v3", "--experts", "4",
                                            "--top-k", "2", "--shared", "64", "--out", model()});
    ASSERT_EQ(output.exit.status, 0) << output.err;
    write("ask.yaml", "name: ask\nkind: contains\nquestions: questions.jsonl\nmax_tokens: 8\n");
    write("loss.yaml", "name: loss\nkind: loss\ndataset: rows.jsonl\nmax_length: 64\n");
  }
  std::string model() { return (folder / "model").string(); }
  void write(const std::string& name, const std::string& text) { base::write_file_durably(folder / name, text); }
  base::Output evaluate(const std::string& suite, std::vector<std::string> options = {}) {
    std::vector<std::string> arguments{"evaluate", model(),       "--suite", (folder / suite).string(),
                                       "--out",    report_file(), "--dtype", "float32"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_worker(arguments);
  }
  std::string report_file() { return (folder / "report.json").string(); }
  std::string answer_of(const std::string& question) {
    const Json input{{"messages", {{{"role", "user"}, {"content", question}}}}};
    const base::Output output =
        run_worker({"generate", model(), "--max-tokens", "8", "--dtype", "float32"}, input.dump() + "\n");
    EXPECT_EQ(output.exit.status, 0) << output.err;
    return base::parse_json(output.out)["text"];
  }
  // The mean loss of one row of tokens, from the logits that the worker writes.
  double loss_of(const std::vector<int>& ids, const std::vector<int>& labels) {
    write("t.json", Json::array({ids}).dump());
    const base::Output output = run_worker({"logits", model(), "--tokens", (folder / "t.json").string(), "--out",
                                            (folder / "l.safetensors").string(), "--dtype", "float32"});
    EXPECT_EQ(output.exit.status, 0) << output.err;
    const std::string bytes = base::read_file(folder / "l.safetensors");
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    std::vector<float> logits(ids.size() * kVocabulary);
    EXPECT_EQ(bytes.size(), 8 + header + logits.size() * sizeof(float));
    std::memcpy(logits.data(), bytes.data() + 8 + header, logits.size() * sizeof(float));
    double sum = 0;
    int count = 0;
    for (size_t i = 1; i < ids.size(); ++i) {
      if (labels[i] == -100) continue;
      const float* line = &logits[(i - 1) * kVocabulary];
      double total = 0;
      for (int64_t v = 0; v < kVocabulary; ++v) total += std::exp(static_cast<double>(line[v]));
      sum += std::log(total) - line[labels[i]];
      ++count;
    }
    return sum / count;
  }

  base::TemporaryFolder folder;
};

TEST_F(Evaluate, AsksAsGenerateAnswersAndCountsTheRightOnes) {
  write("questions.jsonl",
        "{\"id\": \"a\", \"question\": \"A?\", \"key\": \"no such thing at all\"}\n"
        "{\"id\": \"b\", \"question\": \"Pump?\", \"key\": \"nor this\"}\n");
  const base::Output output = evaluate("ask.yaml");
  ASSERT_EQ(output.exit.status, 0) << output.err;
  EXPECT_THAT(output.err, HasSubstr("ask: 2 of 2 questions"));
  const Json report = base::read_json(report_file());
  EXPECT_EQ(report["kind"], "contains");
  EXPECT_EQ(report["items"][0]["answer"], answer_of("A?"));
  EXPECT_EQ(report["items"][1]["answer"], answer_of("Pump?"));
  EXPECT_EQ(report["metrics"]["accuracy"], 0.0);
  EXPECT_EQ(report["model_digest"], base::digest_folder(model()));
  EXPECT_TRUE(report["adapter_digest"].is_null());
  EXPECT_EQ(base::parse_json(output.out)["metrics"], report["metrics"]);
}

TEST_F(Evaluate, TheLossIsThatOfTheLogits) {
  const std::vector<int> ids{5, 60, 7, 200, 9, 10}, labels{-100, -100, 7, 200, -100, 10};
  write("rows.jsonl", Json{{"input_ids", ids}, {"labels", labels}}.dump() + "\n");
  const base::Output output = evaluate("loss.yaml");
  ASSERT_EQ(output.exit.status, 0) << output.err;
  const Json report = base::read_json(report_file());
  EXPECT_EQ(report["metrics"]["tokens"], 3.0);
  EXPECT_NEAR(report["metrics"]["loss"].get<double>(), loss_of(ids, labels), 1e-4);
}

TEST_F(Evaluate, AnAdapterChangesTheLossAndIsNamedByDigest) {
  write("rows.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"A?\"}, "
        "{\"role\": \"assistant\", \"content\": \"b\"}]}\n");
  write("run.yaml",
        "model: model\ndataset: {train: rows.jsonl}\n"
        "adapter: {r: 4, target_modules: [attention, experts]}\n"
        "training: {learning_rate: 0.01, max_length: 64, max_steps: 5, dtype: float32}\n");
  ASSERT_EQ(evaluate("loss.yaml").exit.status, 0);
  const Json before = base::read_json(report_file());
  const base::Output trained =
      run_worker({"train", (folder / "run.yaml").string(), "--out", (folder / "job").string()});
  ASSERT_EQ(trained.exit.status, 0) << trained.err;
  const base::Output output = evaluate("loss.yaml", {"--adapter", (folder / "job/adapter").string()});
  ASSERT_EQ(output.exit.status, 0) << output.err;
  const Json after = base::read_json(report_file());
  EXPECT_LT(after["metrics"]["loss"].get<double>(), before["metrics"]["loss"].get<double>());
  EXPECT_TRUE(base::is_digest(after["adapter_digest"].get<std::string>()));
  EXPECT_EQ(after["suite_digest"], before["suite_digest"]);
  EXPECT_EQ(after["model_digest"], before["model_digest"]);
}

TEST_F(Evaluate, RefusesInOneLineAndWritesNothing) {
  const auto refuse = [&](const std::string& suite, const std::string& message) {
    const base::Output output = evaluate(suite);
    EXPECT_EQ(output.exit.status, 2);
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, HasSubstr("error: "));
    EXPECT_THAT(output.err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(report_file()));
  };
  refuse("nowhere.yaml", "NOT_FOUND: expected the path of a suite file");
  refuse("ask.yaml", "questions.jsonl");
  write("rows.jsonl", "{\"input_ids\": [1, 2], \"labels\": [1, 2]}\n{\"input_ids\": [1, 272], \"labels\": [1, 2]}\n");
  refuse("loss.yaml", "rows.jsonl:2, input_ids[1]");
}

}  // namespace
}  // namespace masbak::worker
