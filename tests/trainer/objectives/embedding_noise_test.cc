#include "trainer/objectives/embedding_noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "tests/models/families/small_model.h"
#include "trainer/loop/trainer.h"

namespace masbak::trainer {
namespace {

using models::testing::kHidden;

TEST(EmbeddingNoise, IsBoundedByTheLengthOfEachSequenceAndThereOnlyDuringAPass) {
  const auto model = models::testing::small_model();
  const at::Tensor ids = at::arange(0, 20, at::kLong), plain = (*model->embedding())->forward(ids);
  const EmbeddingNoise noise(5, at::detail::createCPUGenerator(1));
  noise.attach(*model);
  EXPECT_TRUE(at::equal((*model->embedding())->forward(ids), plain));
  {
    const auto pass = noise.add({{0, 4, nullptr}, {4, 12, nullptr}});
    const at::Tensor change = (*model->embedding())->forward(ids) - plain;
    const double first = 5 / std::sqrt(4.0 * kHidden), second = 5 / std::sqrt(12.0 * kHidden);
    EXPECT_LT(change.narrow(0, 0, 4).abs().max().item<double>(), first * 1.001);
    EXPECT_GT(change.narrow(0, 0, 4).abs().max().item<double>(), second);
    EXPECT_LT(change.narrow(0, 4, 12).abs().max().item<double>(), second * 1.001);
    EXPECT_NEAR(change.narrow(0, 4, 12).std().item<double>(), second / std::sqrt(3.0), 0.1 * second);
    EXPECT_EQ(change.narrow(0, 16, 4).abs().max().item<double>(), 0.0);  // no sequence of the batch
  }
  EXPECT_TRUE(at::equal((*model->embedding())->forward(ids), plain));
}

std::vector<double> losses(double alpha, uint64_t seed, bool evaluate) {
  const auto model = models::testing::small_model();
  adapters::LoraConfig config;
  config.r = 2;
  adapters::Adapter adapter = adapters::new_adapter(make_plan(config, adapters::places(*model)), seed);
  TrainingConfig training;
  training.neftune_noise_alpha = alpha;
  Trainer trainer(*model, adapter, "sft", training);
  const std::vector<TokenSequence> rows{{{1, 2, 3, 4, 5, 6}, {-100, 2, 3, 4, 5, 6}, 1}, {{7, 8, 9}, {7, 8, 9}, 2}};
  std::vector<double> list;
  for (int i = 0; i < 3; ++i) {
    list.push_back(evaluate ? trainer.evaluate(rows).loss : trainer.compute({{rows.begin(), rows.end()}}).loss);
  }
  return list;
}

TEST(EmbeddingNoise, ChangesWhatIsLearntAndNotWhatIsEvaluated) {
  EXPECT_EQ(losses(5, 1, true), losses(0, 1, true));
  EXPECT_EQ(losses(5, 1, false), losses(5, 1, false));
  EXPECT_NE(losses(5, 1, false), losses(0, 1, false));
  EXPECT_NE(losses(5, 1, false)[0], losses(5, 1, false)[1]);
}

}  // namespace
}  // namespace masbak::trainer
