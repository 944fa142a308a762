// Examples divided among threads: how they are dealt out, and that the step stays the same.
#include "trainer/loop/passes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "tests/adapters/fake_model.h"
#include "trainer/loop/trainer.h"

namespace masbak::trainer {
namespace {

using tests::FakeModel;
using Parts = std::vector<std::vector<size_t>>;

std::vector<TokenSequence> sequences(const std::vector<int64_t>& lengths) {
  std::vector<TokenSequence> result;
  for (const int64_t length : lengths) {
    TokenSequence row;
    for (int64_t i = 0; i < length; ++i) {
      row.ids.push_back(static_cast<int32_t>((7 * i * i + length + i) % FakeModel::kVocabulary));
      row.labels.push_back(i % 3 == 0 ? kIgnoredLabel : row.ids.back());
    }
    result.push_back(std::move(row));
  }
  return result;
}

Parts parts_of(const std::vector<int64_t>& lengths, int64_t most) {
  const std::vector<TokenSequence> owned = sequences(lengths);
  return divide({owned.begin(), owned.end()}, most);
}

TEST(Divide, DealsTheLongestFirstAndKeepsTheOrder) {
  EXPECT_EQ(parts_of({512, 512}, 2), (Parts{{0}, {1}}));
  EXPECT_EQ(parts_of({200, 900, 300, 500}, 2), (Parts{{1}, {0, 2, 3}}));
  EXPECT_EQ(parts_of({400, 400, 400, 400}, 2), (Parts{{0, 2}, {1, 3}}));
  EXPECT_EQ(parts_of({400, 400, 400, 400}, 4), (Parts{{0}, {1}, {2}, {3}}));
}

TEST(Divide, LeavesABatchWholeThatWouldGainNothing) {
  EXPECT_EQ(parts_of({512, 512}, 1), (Parts{{0, 1}}));
  EXPECT_EQ(parts_of({2048}, 4), (Parts{{0}}));                  // one example
  EXPECT_EQ(parts_of({30, 30, 40}, 2), (Parts{{0, 1, 2}}));      // too few tokens
  EXPECT_EQ(parts_of({2000, 100, 100}, 2), (Parts{{0, 1, 2}}));  // the second thread would wait for the first
  EXPECT_EQ(parts_of({}, 2), (Parts{{}}));
}

// What a run of five steps leaves.
struct Outcome {
  std::vector<double> losses, norms;
  at::Tensor parameters;
  double eval_loss = 0;
  std::map<std::string, double> metrics;
};

Outcome train(int threads, const std::string& objective = "sft", double dropout = 0) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  FakeModel model;
  adapters::LoraConfig config;
  config.r = 2;
  config.lora_dropout = dropout;
  config.target_modules = {dropout > 0 ? "attention" : "all-linear"};  // PEFT has no dropout on fused experts
  adapters::Adapter adapter = adapters::new_adapter(make_plan(config, adapters::places(model)), 3);
  TrainingConfig training;
  training.objective.loss_type = "sigmoid";
  Trainer trainer(model, adapter, objective, training);
  std::vector<TokenSequence> rows = sequences({300, 290, 280, 310, 305});
  if (objective == "dpo") {
    for (TokenSequence& row : rows) {
      row.rejected_ids.assign(row.ids.rbegin(), row.ids.rend());
      row.rejected_labels = row.rejected_ids;
    }
  }
  const std::vector<TokenView> all(rows.begin(), rows.end());
  Outcome run;
  for (int i = 0; i < 5; ++i) {
    const StepResult result = trainer.step({{all[0], all[1], all[2], all[3]}, {all[4]}}, 1e-2);
    run.losses.push_back(result.loss);
    run.norms.push_back(result.grad_norm);
    run.metrics = result.metrics;
    EXPECT_EQ(result.tokens, (objective == "dpo" ? 2 : 1) * (300 + 290 + 280 + 310 + 305));
  }
  run.parameters = trainer.optimizer().parameters().clone();
  run.eval_loss = trainer.evaluate(Examples(rows)).loss;
  at::set_num_threads(before);
  return run;
}

// In float32 the sums of a batch come in another order: 1e-5 of a loss, 1e-4 of what was learnt.
void expect_close(const Outcome& a, const Outcome& b) {
  for (size_t i = 0; i < a.losses.size(); ++i) {
    EXPECT_NEAR(a.losses[i], b.losses[i], 1e-5 * (1 + a.losses[i]));
    EXPECT_NEAR(a.norms[i], b.norms[i], 1e-4 * (1 + a.norms[i]));
  }
  EXPECT_NEAR(a.eval_loss, b.eval_loss, 1e-5 * (1 + a.eval_loss));
  EXPECT_LT((a.parameters - b.parameters).abs().max().item<double>(), 1e-4);
  for (const auto& [name, value] : a.metrics) EXPECT_NEAR(value, b.metrics.at(name), 1e-4 * (1 + std::abs(value)));
}

TEST(Passes, DoNotDependOnThreads) {
  const Outcome one = train(1);
  EXPECT_LT(one.losses.back(), one.losses.front());
  for (const int threads : {2, 3, 4}) expect_close(one, train(threads));
}

TEST(Passes, DividePreferencesToo) { expect_close(train(1, "dpo"), train(2, "dpo")); }

TEST(Passes, RepeatBitForBit) {
  for (const int threads : {1, 2, 3}) {
    const Outcome first = train(threads), second = train(threads);
    EXPECT_EQ(first.losses, second.losses);
    EXPECT_EQ(first.norms, second.norms);
    EXPECT_TRUE(at::equal(first.parameters, second.parameters));
  }
}

// One stream of random numbers serves the whole batch.
TEST(Passes, DropTheSameOnAnyNumberOfThreads) { expect_close(train(1, "sft", 0.3), train(2, "sft", 0.3)); }

}  // namespace
}  // namespace masbak::trainer
