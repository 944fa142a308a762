#include "trainer/loop/schedule.h"

#include <gtest/gtest.h>

namespace masbak::trainer {
namespace {

// The expected values are those of transformers 5.23.0's get_scheduler with 3 warm-up steps of 10 and rate 1
// (constant: without warm-up), at steps 0, 1, 3, 6, 9.
struct Row {
  Schedule schedule;
  double at[5];
  ScheduleOptions options = {};
};

TEST(LearningRate, FollowsTransformers) {
  const int64_t steps[] = {0, 1, 3, 6, 9};
  const Row rows[] = {
      {Schedule::kLinear, {0.0, 1.0 / 3, 1.0, 4.0 / 7, 1.0 / 7}},
      {Schedule::kCosine, {0.0, 1.0 / 3, 1.0, 0.6112604669781572, 0.0495155660487905}},
      {Schedule::kConstantWithWarmup, {0.0, 1.0 / 3, 1.0, 1.0, 1.0}},
      {Schedule::kConstant, {1.0, 1.0, 1.0, 1.0, 1.0}},
      {Schedule::kCosine, {0.0, 1.0 / 3, 1.0, 0.18825509907063315, 0.38873953302184294}, {.num_cycles = 1.5}},
      {Schedule::kCosineWithRestarts, {0.0, 1.0 / 3, 1.0, 0.04951556604879048, 0.18825509907063342}, {.num_cycles = 2}},
      {Schedule::kPolynomial,
       {0.0, 1.0 / 3, 1.0, 0.3938775510204081, 0.11836734693877553},
       {.power = 2, .lr_end = 0.1}},
      {Schedule::kInverseSqrt, {0.0, 1.0 / 3, 1.0, 0.7071067811865475, 0.5773502691896258}},
      {Schedule::kInverseSqrt, {0.0, 1.0 / 3, 1.0, 0.7905694150420948, 0.674199862463242}, {.timescale = 5}},
      {Schedule::kCosineWithMinLr, {0.0, 1.0 / 3, 1.0, 0.7084453502336179, 0.28713667453659286}, {.min_lr_rate = 0.25}},
      {Schedule::kWarmupStableDecay,
       {0.1, 0.32499999999999996, 1.0, 1.0, 0.22057713659400527},
       {.min_lr_rate = 0.1, .decay_steps = 4, .warmup_type = "cosine", .decay_type = "1-sqrt"}},
      {Schedule::kWarmupStableDecay,
       {0.0, 1.0 / 3, 1.0, 2.0 / 3, 0.0},
       {.stable_steps = 2, .decay_steps = 3, .decay_type = "linear"}},
  };
  for (const Row& row : rows) {
    TrainingConfig training;
    training.learning_rate = 1.0;
    training.warmup_ratio = 0.25;  // of 10 steps: rounded up to 3
    training.schedule = row.schedule;
    training.schedule_options = row.options;
    for (int i = 0; i < 5; ++i) {
      EXPECT_NEAR(learning_rate(training, steps[i], 10), row.at[i], 1e-12)
          << schedule_name(row.schedule) << " " << steps[i];
    }
  }
}

}  // namespace
}  // namespace masbak::trainer
