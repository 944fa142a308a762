#include "trainer/loop/trainer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/adapters/fake_model.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {
namespace {

using tests::FakeModel;

const std::vector<TokenSequence>& examples() {
  static const std::vector<TokenSequence> rows{{{1, 2, 3, 4, 5, 6}, {-100, -100, 3, 4, -100, 6}, 1},
                                               {{7, 8, 9}, {7, 8, 9}, 2},
                                               {{10, 0, 1, 2}, {-100, -100, -100, -100}, 3}};
  return rows;
}

std::vector<TokenView> all() { return {examples().begin(), examples().end()}; }

adapters::Adapter adapter_for(FakeModel& model, std::vector<std::string> targets) {
  adapters::LoraConfig config;
  config.r = 2;
  config.target_modules = std::move(targets);
  return adapters::new_adapter(make_plan(config, adapters::places(model)), 3);
}

TEST(Sft, TakesTheRowsBeforeEachLabel) {
  const LabelledBatch batch = label_batch(all(), FakeModel::kVocabulary);
  EXPECT_TRUE(at::equal(batch.rows_N, at::tensor({1, 2, 4, 6, 7}, at::kLong)));
  EXPECT_TRUE(at::equal(batch.targets_N, at::tensor({3, 4, 6, 8, 9}, at::kLong)));
  EXPECT_EQ(batch.batch.slices.size(), 3u);
}

TEST(Sft, FillsUpBehindTheExamplesOnly) {
  const TokenSequence row{std::vector<int32_t>(130, 1), std::vector<int32_t>(130, 1), 1};
  const LabelledBatch batch = label_batch({row}, FakeModel::kVocabulary, true);
  EXPECT_EQ(batch.tokens, 130);
  EXPECT_EQ(batch.batch.ids_T.size(0), 144);
  ASSERT_EQ(batch.batch.slices.size(), 2u);
  EXPECT_EQ(batch.batch.slices[1].begin, 130);
  EXPECT_EQ(batch.labelled(), 129);
}

TEST(Sft, RefusesIdsOutsideTheVocabulary) {
  const TokenSequence row{{1, 11}, {1, 11}, 8};
  try {
    label_batch({row}, FakeModel::kVocabulary);
    FAIL() << "an id outside the vocabulary was accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kOutOfRange);
    EXPECT_EQ(error.where().line, 8);
  }
}

TEST(Sft, GivesTheLossAndGradientOfPlainCrossEntropy) {
  FakeModel model;
  adapters::Adapter adapter = adapter_for(model, {"all-linear"});
  Trainer trainer(model, adapter, "sft", TrainingConfig());
  for (adapters::LoraFactors& pair : adapter.factors) pair.b.detach().normal_(0, 0.05);
  const LabelledBatch batch = label_batch(all(), FakeModel::kVocabulary);
  const double sum = sft_backward(model, batch, 7);
  EXPECT_NEAR(sum, sft_loss(model, batch), 1e-4);
  const at::Tensor ours = trainer.optimizer().gradients().clone();

  trainer.optimizer().zero_gradients();
  const at::Tensor logits = model.logits(model.hidden(batch.batch, nullptr).index_select(0, batch.rows_N));
  const at::Tensor loss = at::cross_entropy_loss(logits, batch.targets_N, {}, at::Reduction::Sum);
  EXPECT_NEAR(sum, loss.item<double>(), 1e-4);
  (loss / 7).backward();
  const at::Tensor theirs = trainer.optimizer().gradients();
  EXPECT_LT(((ours - theirs).abs().max() / theirs.abs().max()).item<double>(), 1e-5);
  EXPECT_GT(theirs.abs().max().item<double>(), 1e-3);
}

TEST(Trainer, AccumulationEqualsOneBatch) {
  FakeModel one, two;
  adapters::Adapter whole = adapter_for(one, {"attention", "router"}),
                    parts = adapter_for(two, {"attention", "router"});
  TrainingConfig training;
  Trainer at_once(one, whole, "sft", training), accumulated(two, parts, "sft", training);
  for (int i = 0; i < 4; ++i) {
    const StepResult a = at_once.step({all()}, 1e-2);
    const StepResult b = accumulated.step({{examples()[0]}, {examples()[1], examples()[2]}}, 1e-2);
    EXPECT_NEAR(a.loss, b.loss, 1e-5);
  }
  EXPECT_LT((whole.factors[0].b - parts.factors[0].b).abs().max().item<double>(), 1e-4);
}

TEST(Trainer, LearnsAndLeavesFrozenWeightsAlone) {
  FakeModel model;
  const at::Tensor embedding = model.embedding_weight().clone();
  adapters::Adapter adapter = adapter_for(model, {"all-linear"});
  Trainer trainer(model, adapter, "sft", TrainingConfig());
  const double before = trainer.evaluate(examples()).loss;
  for (int i = 0; i < 30; ++i) trainer.step({all()}, 3e-2);
  EXPECT_LT(trainer.evaluate(examples()).loss, 0.5 * before);
  EXPECT_TRUE(at::equal(model.embedding_weight(), embedding));
}

TEST(Trainer, StopsAtALossThatIsNotFiniteAndChangesNothing) {
  FakeModel model;
  adapters::Adapter adapter = adapter_for(model, {"attention"});
  Trainer trainer(model, adapter, "sft", TrainingConfig());
  adapter.factors[0].b.detach().fill_(std::numeric_limits<float>::infinity());
  const at::Tensor before = trainer.optimizer().parameters().clone();
  try {
    trainer.step({all()}, 1e-2);
    FAIL() << "an infinite loss was accepted";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kAborted);
  }
  EXPECT_TRUE(at::equal(trainer.optimizer().parameters(), before));
}

TEST(AdamW, TakesPyTorchsSteps) {
  at::Tensor parameter = at::tensor({1.0f, -2.0f});
  AdamW optimizer({&parameter}, {.weight_decay = 0.5});
  // torch.optim.AdamW([p], lr=0.1, weight_decay=0.5) with gradients (0.5, -1) and then (0.25, 3).
  optimizer.gradients().copy_(at::tensor({0.5f, -1.0f}));
  optimizer.step(0.1);
  optimizer.gradients().copy_(at::tensor({0.25f, 3.0f}));
  const auto version = parameter._version();
  optimizer.step(0.1);
  EXPECT_GT(parameter._version(), version);
  const at::Tensor expected = at::tensor({0.71428204f, -1.75941885f});
  EXPECT_LT((parameter.detach() - expected).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(optimizer.steps(), 2);
}

TEST(AdamW, MovesTheVersionOfWhatItChanges) {
  at::Tensor parameter = at::zeros({2});
  AdamW optimizer({&parameter});
  const at::Tensor same = parameter.detach();
  const int64_t before = same._version();
  optimizer.gradients().fill_(1);
  optimizer.step(0.1);
  EXPECT_GT(parameter._version(), before);
  EXPECT_GT(same._version(), before);
}

TEST(AdamW, ClipsToTheNormAndReportsIt) {
  at::Tensor parameter = at::zeros({2});
  AdamW optimizer({&parameter});
  optimizer.gradients().copy_(at::tensor({3.0f, 4.0f}));
  EXPECT_NEAR(optimizer.clip_gradients(10), 5.0, 1e-6);
  EXPECT_NEAR(optimizer.clip_gradients(1), 5.0, 1e-6);
  EXPECT_NEAR(optimizer.clip_gradients(0), 1.0, 1e-5);
}

}  // namespace
}  // namespace masbak::trainer
