#include "trainer/loop/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace masbak::trainer {

double learning_rate(const TrainingConfig& training, int64_t step, int64_t total) {
  if (training.schedule == Schedule::kConstant) return training.learning_rate;
  const auto warmup = static_cast<int64_t>(std::ceil(training.warmup_ratio * static_cast<double>(total)));
  if (step < warmup) {
    return training.learning_rate * static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  }
  if (training.schedule == Schedule::kConstantWithWarmup) return training.learning_rate;
  const auto rest = static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (training.schedule == Schedule::kLinear) {
    return training.learning_rate * std::max(0.0, static_cast<double>(total - step) / rest);
  }
  const double progress = static_cast<double>(step - warmup) / rest;
  return training.learning_rate * std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

}  // namespace masbak::trainer
