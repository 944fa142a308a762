// Gradient checkpointing changes memory alone: losses, gradients and the adapter after several steps are those of a
// plain run, bit for bit, dropout included, whichever layers are computed again.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/base/temporary_folder.h"
#include "tests/models/families/random_folder.h"
#include "trainer/loop/start.h"
#include "trainer/loop/trainer.h"

namespace masbak::trainer {
namespace {

struct Case {
  const char* family;
  const char* dtype;
};

class ComputedAgain : public ::testing::TestWithParam<Case> {
 protected:
  struct Outcome {
    std::vector<double> losses;
    std::vector<at::Tensor> gradients;
    at::Tensor parameters;
  };

  void SetUp() override {
    models::testing::write_random_folder(models::testing::small_config(GetParam().family), folder_ / "model");
    for (int i = 0; i < 6; ++i) {
      TokenSequence row;
      for (int k = 0; k < 40 + 7 * i; ++k) row.ids.push_back((k * 31 + i * 17) % 53);
      row.labels = row.ids;
      rows_.push_back(std::move(row));
    }
  }

  Outcome train(const std::string& targets, double dropout, const Checkpointing& checkpointing) {
    RunConfig run;
    run.model = folder_ / "model";
    run.adapter.r = 4;
    run.adapter.target_modules = {targets};
    run.adapter.lora_dropout = dropout;
    run.training.dtype = GetParam().dtype;
    run.training.checkpointing = checkpointing;
    run.training.router_aux_loss_coef = router_coefficient();
    const auto model = load_base_model(run);
    adapters::Adapter adapter = starting_adapter(run, adapters::places(*model));
    Trainer trainer(*model, adapter, "sft", run.training);
    Outcome outcome;
    for (size_t step = 0; step < 3; ++step) {
      const StepResult result = trainer.compute({{rows_[2 * step], rows_[2 * step + 1]}});
      outcome.losses.push_back(result.loss);
      outcome.gradients.push_back(trainer.optimizer().gradients().clone());
      trainer.apply(1e-2);
    }
    outcome.parameters = trainer.optimizer().parameters().clone();
    return outcome;
  }

  void check(const std::string& targets, double dropout) {
    const Outcome plain = train(targets, dropout, {});
    check_same(plain, train(targets, dropout, {Checkpointing::Choice::kAll}));
    check_same(plain, train(targets, dropout, {Checkpointing::Choice::kFirst, 1}));
    check_same(plain, train(targets, dropout, {Checkpointing::Choice::kThese, 0, {1}}));
  }

  static void check_same(const Outcome& plain, const Outcome& checkpointed) {
    EXPECT_EQ(plain.losses, checkpointed.losses);
    for (size_t step = 0; step < plain.gradients.size(); ++step) {
      EXPECT_GT(plain.gradients[step].abs().max().item<float>(), 1e-4) << "step " << step;
      EXPECT_TRUE(at::equal(plain.gradients[step], checkpointed.gradients[step])) << "step " << step;
    }
    EXPECT_TRUE(at::equal(plain.parameters, checkpointed.parameters));
  }

  static double router_coefficient() { return std::string(GetParam().family) == "llama" ? 0 : 0.1; }

  base::TemporaryFolder folder_;
  std::vector<TokenSequence> rows_;
};

TEST_P(ComputedAgain, GivesTheSameBits) { check("all-linear", 0); }

// Experts take no dropout.
TEST_P(ComputedAgain, GivesTheSameBitsWithDropout) { check("attention", 0.2); }

TEST(CheckpointedLayers, AreThoseThatWereNamed) {
  using Choice = Checkpointing::Choice;
  using Layers = std::vector<bool>;
  EXPECT_EQ((Checkpointing{}.of(3)), (Layers{false, false, false}));
  EXPECT_EQ((Checkpointing{Choice::kAll}.of(3)), (Layers{true, true, true}));
  EXPECT_EQ((Checkpointing{Choice::kFirst, 2}.of(3)), (Layers{true, true, false}));
  EXPECT_EQ((Checkpointing{Choice::kFirst, 3}.of(3)), (Layers{true, true, true}));
  EXPECT_EQ((Checkpointing{Choice::kThese, 0, {0, 2}}.of(3)), (Layers{true, false, true}));
  EXPECT_EQ((Checkpointing{Choice::kAuto}.of(3)), (Layers{false, false, false}));
  EXPECT_EQ((Checkpointing{Choice::kAuto, 1}.of(3)), (Layers{true, false, false}));
  EXPECT_THROW((Checkpointing{Choice::kFirst, 4}.of(3)), base::Error);
  EXPECT_THROW((Checkpointing{Choice::kThese, 0, {3}}.of(3)), base::Error);
}

INSTANTIATE_TEST_SUITE_P(Families, ComputedAgain,
                         ::testing::Values(Case{"deepseek_v3", "float32"}, Case{"deepseek_v3", "bfloat16"},
                                           Case{"llama", "float32"}, Case{"qwen3_moe", "bfloat16"},
                                           Case{"mixtral", "float32"}),
                         [](const auto& info) { return std::string(info.param.family) + "_" + info.param.dtype; });

}  // namespace
}  // namespace masbak::trainer
