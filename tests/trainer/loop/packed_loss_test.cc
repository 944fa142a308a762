// Packing leaks nothing: each example has the loss that it has alone, and a packed step has the gradient of its parts.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "adapters/plan.h"
#include "models/families/causal_model.h"
#include "tests/base/temporary_folder.h"
#include "tests/models/families/random_folder.h"
#include "trainer/loop/batches.h"
#include "trainer/loop/trainer.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

constexpr int64_t kMaxLength = 64;

std::vector<TokenSequence> random_examples(int count, int64_t vocabulary) {
  std::vector<TokenSequence> examples;
  uint64_t state = 7;
  const auto below = [&](uint64_t bound) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<int32_t>((state >> 33) % bound);
  };
  for (int i = 0; i < count; ++i) {
    TokenSequence example;
    example.line = i + 1;
    const int length = 3 + below(28), unlearnt = below(3);
    for (int k = 0; k < length; ++k) {
      example.ids.push_back(below(static_cast<uint64_t>(vocabulary)));
      example.labels.push_back(k <= unlearnt ? kIgnoredLabel : example.ids.back());
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

class PackedLoss : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    models::testing::write_random_folder(models::testing::small_config(GetParam()), folder_ / "model");
    model_ = models::load_model(folder_ / "model", "float32");
    training_.max_length = kMaxLength;
    training_.batch_size = 1;
    examples_ = random_examples(24, model_->info().vocabulary);
  }

  adapters::Adapter new_adapter() {
    adapters::LoraConfig config;
    config.r = 4;
    config.target_modules = {"all-linear"};
    adapters::Adapter adapter = adapters::new_adapter(make_plan(config, adapters::places(*model_)), 3);
    for (adapters::LoraFactors& pair : adapter.factors) pair.b.detach().normal_(0, 0.02);
    return adapter;
  }

  base::TemporaryFolder folder_;
  std::unique_ptr<models::CausalModel> model_;
  TrainingConfig training_;
  std::vector<TokenSequence> examples_;
};

TEST_P(PackedLoss, EachExampleHasTheLossThatItHasAlone) {
  Batches batches(examples_, training_);
  int64_t seen = 0, shared_rows = 0;
  for (int64_t step = 0; step < batches.row_use().rows; ++step) {
    const std::vector<TokenView> row = batches.step(step)[0];
    shared_rows += row.size() > 1 ? 1 : 0;
    for (size_t i = 0; i < row.size(); ++i) {
      // The whole row is computed, the labels of one example alone are asked for.
      std::vector<TokenSequence> others;
      for (const TokenView& view : row) {
        others.push_back(
            {{view.ids.begin(), view.ids.end()}, std::vector<int32_t>(view.ids.size(), kIgnoredLabel), view.line});
      }
      others[i].labels.assign(row[i].labels.begin(), row[i].labels.end());
      const LabelledBatch packed =
          label_batch({others.begin(), others.end()}, model_->info().vocabulary, /*fill=*/true);
      const LabelledBatch alone = label_batch({row[i]}, model_->info().vocabulary);
      ASSERT_EQ(packed.labelled(), alone.labelled());
      const auto labels = static_cast<double>(alone.labelled());
      EXPECT_NEAR(sft_loss(*model_, packed) / labels, sft_loss(*model_, alone) / labels, 1e-5)
          << "line " << row[i].line;
      ++seen;
    }
  }
  EXPECT_EQ(seen, 24);
  EXPECT_GE(shared_rows, 5);
}

TEST_P(PackedLoss, APackedStepHasTheGradientOfItsParts) {
  adapters::Adapter adapter = new_adapter();
  Trainer trainer(*model_, adapter, "sft", training_);
  AdamW& optimizer = trainer.optimizer();
  int64_t labels = 0;
  for (const TokenSequence& example : examples_) labels += count_trained(example);
  double loss_alone = 0, loss_packed = 0;
  for (const TokenSequence& example : examples_) {
    loss_alone += sft_backward(*model_, label_batch({example}, model_->info().vocabulary), labels);
  }
  const at::Tensor alone = optimizer.gradients().clone();
  optimizer.zero_gradients();
  Batches batches(examples_, training_);
  for (int64_t step = 0; step < batches.row_use().rows; ++step) {
    loss_packed += sft_backward(*model_, label_batch(batches.step(step)[0], model_->info().vocabulary, true), labels);
  }
  EXPECT_NEAR(loss_packed / static_cast<double>(labels), loss_alone / static_cast<double>(labels), 1e-5);
  const double largest = alone.abs().max().item<double>();
  EXPECT_GT(largest, 1e-4);
  EXPECT_LT((optimizer.gradients() - alone).abs().max().item<double>(), 1e-4 * largest);
}

// Attention by groups, with norms on heads, with a sliding window; latent attention; dense and with every router.
INSTANTIATE_TEST_SUITE_P(Families, PackedLoss,
                         ::testing::Values("llama", "granite", "granitemoe", "mixtral", "qwen3_moe", "olmoe",
                                           "deepseek_v2", "deepseek_v3", "glm4_moe_lite"));

}  // namespace
}  // namespace masbak::trainer
