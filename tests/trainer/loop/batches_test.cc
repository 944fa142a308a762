#include "trainer/loop/batches.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace masbak::trainer {
namespace {

std::vector<TokenSequence> examples_of(int count) {
  std::vector<TokenSequence> examples;
  for (int i = 0; i < count; ++i) examples.push_back({std::vector<int32_t>(3 + i % 4, i), {}, i + 1});
  return examples;
}

std::vector<std::vector<int>> lines_of(const std::vector<std::vector<TokenView>>& step) {
  std::vector<std::vector<int>> lines;
  for (const auto& batch : step) {
    lines.emplace_back();
    for (const TokenView& example : batch) lines.back().push_back(example.line);
  }
  return lines;
}

TrainingConfig settings(int64_t batch, int64_t accumulation, double epochs) {
  TrainingConfig training;
  training.batch_size = batch;
  training.gradient_accumulation_steps = accumulation;
  training.num_train_epochs = epochs;
  training.packing = false;
  training.shuffle = false;
  return training;
}

TEST(Batches, CountsStepsAsTransformers) {
  const Examples examples = examples_of(10);
  EXPECT_EQ(Batches(examples, settings(3, 1, 1)).total_steps(), 4);
  EXPECT_EQ(Batches(examples, settings(3, 2, 2)).total_steps(), 4);
  EXPECT_EQ(Batches(examples, settings(3, 1, 1.3)).total_steps(), 6);  // ceil(1.3 * 4)
  TrainingConfig training = settings(3, 1, 1);
  training.max_steps = 9;
  EXPECT_EQ(Batches(examples, training).total_steps(), 9);
}

TEST(Batches, TakesTheRowsInOrderAndEndsTheEpochWithWhatIsLeft) {
  const Examples examples = examples_of(10);
  Batches batches(examples, settings(3, 2, 2));
  EXPECT_EQ(batches.step(0).size(), 2u);
  EXPECT_EQ(batches.step(0)[1][0].line, 4);
  const auto last = batches.step(1);
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[1].size(), 1u);
  EXPECT_EQ(last[1][0].line, 10);
  EXPECT_EQ(batches.step(2)[0][0].line, 1);
  EXPECT_DOUBLE_EQ(batches.epochs_after(1), 0.5);
  EXPECT_DOUBLE_EQ(batches.epochs_after(4), 2.0);
}

TEST(Batches, AnyStepCanBeAskedForInAnyOrder) {
  const Examples examples = examples_of(23);
  TrainingConfig training = settings(2, 2, 3);
  training.shuffle = training.packing = true;
  training.max_length = 12;
  Batches forward(examples, training), backward(examples, training);
  const int64_t total = forward.total_steps();
  std::vector<std::vector<std::vector<int>>> steps;
  for (int64_t i = 0; i < total; ++i) steps.push_back(lines_of(forward.step(i)));
  for (int64_t i = total - 1; i >= 0; --i) EXPECT_EQ(lines_of(backward.step(i)), steps[static_cast<size_t>(i)]) << i;
}

TEST(Batches, EachEpochSeesEveryExampleOnce) {
  const Examples examples = examples_of(23);
  TrainingConfig training = settings(2, 1, 1);
  training.shuffle = training.packing = true;
  training.max_length = 12;
  Batches batches(examples, training);
  std::multiset<int> lines;
  for (int64_t i = 0; i < batches.total_steps(); ++i) {
    for (const auto& batch : batches.step(i)) {
      for (const TokenView& example : batch) lines.insert(example.line);
    }
  }
  EXPECT_EQ(lines.size(), 23u);
  EXPECT_EQ(std::set<int>(lines.begin(), lines.end()).size(), 23u);
}

TEST(Batches, RefusesNoExamples) {
  const std::vector<TokenSequence> none;
  EXPECT_THROW(Batches(none, settings(1, 1, 1)), base::Error);
}

}  // namespace
}  // namespace masbak::trainer
