#include "trainer/loop/schedule.h"

#include <gtest/gtest.h>

namespace masbak::trainer {
namespace {

// The expected values are those of transformers 5.23.0's get_scheduler with 3 warm-up steps of 10 and rate 1
// (constant: without warm-up), at steps 0, 1, 3, 6, 9.
struct Row {
  Schedule schedule;
  double at[5];
};

TEST(LearningRate, FollowsTransformers) {
  const int64_t steps[] = {0, 1, 3, 6, 9};
  const Row rows[] = {
      {Schedule::kLinear, {0.0, 1.0 / 3, 1.0, 4.0 / 7, 1.0 / 7}},
      {Schedule::kCosine, {0.0, 1.0 / 3, 1.0, 0.6112604669781572, 0.0495155660487905}},
      {Schedule::kConstantWithWarmup, {0.0, 1.0 / 3, 1.0, 1.0, 1.0}},
      {Schedule::kConstant, {1.0, 1.0, 1.0, 1.0, 1.0}},
  };
  for (const Row& row : rows) {
    TrainingConfig training;
    training.learning_rate = 1.0;
    training.warmup_ratio = 0.25;  // of 10 steps: rounded up to 3
    training.schedule = row.schedule;
    for (int i = 0; i < 5; ++i) {
      EXPECT_NEAR(learning_rate(training, steps[i], 10), row.at[i], 1e-12)
          << schedule_name(row.schedule) << " " << steps[i];
    }
  }
}

}  // namespace
}  // namespace masbak::trainer
