#include "trainer/loop/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace masbak::trainer {
namespace {

// Where a step stands in the run.
struct Place {
  int64_t step, total, warmup;

  double progress() const {  // of the part behind the warm-up
    return static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, total - warmup));
  }
};

double half_cosine(double angle_over_pi) { return 0.5 * (1.0 + std::cos(std::numbers::pi * angle_over_pi)); }

// From 1 down to 0 as `progress` goes from 0 to 1.
double fall(const std::string& type, double progress, double cycles) {
  if (type == "linear") return 1.0 - progress;
  if (type == "cosine") return half_cosine(cycles * 2.0 * progress);
  return 1.0 - std::sqrt(progress);
}

double rise(const std::string& type, double progress) {
  if (type == "linear") return progress;
  if (type == "cosine") return 1.0 - half_cosine(progress);
  return 1.0 - std::sqrt(1.0 - progress);
}

double stable_decay(const ScheduleOptions& options, const Place& place) {
  const auto above = [&](double factor) {
    return std::max(0.0, factor * (1.0 - options.min_lr_rate) + options.min_lr_rate);
  };
  const auto part = [](int64_t done, int64_t of) {
    return static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, of));
  };
  if (place.step < place.warmup) return above(rise(options.warmup_type, part(place.step, place.warmup)));
  const int64_t stable =
      options.stable_steps >= 0 ? options.stable_steps : place.total - place.warmup - options.decay_steps;
  const int64_t decayed = place.step - place.warmup - stable;
  if (decayed < 0) return 1.0;
  if (decayed >= options.decay_steps) return options.min_lr_rate;
  return above(fall(options.decay_type, part(decayed, options.decay_steps), options.num_cycles));
}

double polynomial(const TrainingConfig& training, const Place& place) {
  const ScheduleOptions& options = training.schedule_options;
  if (place.step > place.total) return options.lr_end / training.learning_rate;
  const double left = 1.0 - place.progress();
  return ((training.learning_rate - options.lr_end) * std::pow(left, options.power) + options.lr_end) /
         training.learning_rate;
}

double inverse_sqrt(const ScheduleOptions& options, const Place& place) {
  const int64_t timescale = options.timescale > 0 ? options.timescale : place.warmup > 0 ? place.warmup : 10000;
  return 1.0 / std::sqrt(static_cast<double>(place.step + timescale - place.warmup) / static_cast<double>(timescale));
}

// The share of learning_rate.
double factor(const TrainingConfig& training, const Place& place) {
  const ScheduleOptions& options = training.schedule_options;
  if (training.schedule == Schedule::kConstant) return 1.0;
  if (training.schedule == Schedule::kWarmupStableDecay) return stable_decay(options, place);
  if (place.step < place.warmup) {
    return static_cast<double>(place.step) / static_cast<double>(std::max<int64_t>(1, place.warmup));
  }
  const double progress = place.progress();
  switch (training.schedule) {
    case Schedule::kLinear: return std::max(0.0, 1.0 - progress);
    case Schedule::kCosine: return std::max(0.0, half_cosine(options.num_cycles * 2.0 * progress));
    case Schedule::kCosineWithMinLr:
      return std::max(
          0.0, half_cosine(options.num_cycles * 2.0 * progress) * (1 - options.min_lr_rate) + options.min_lr_rate);
    case Schedule::kCosineWithRestarts:
      return progress >= 1.0 ? 0.0 : std::max(0.0, half_cosine(std::fmod(options.num_cycles * progress, 1.0)));
    case Schedule::kPolynomial: return polynomial(training, place);
    case Schedule::kInverseSqrt: return inverse_sqrt(options, place);
    case Schedule::kConstant:
    case Schedule::kConstantWithWarmup:
    case Schedule::kWarmupStableDecay: break;
  }
  return 1.0;
}

}  // namespace

double learning_rate(const TrainingConfig& training, int64_t step, int64_t total) {
  return training.learning_rate * factor(training, {step, total, warmup_steps(training, total)});
}

}  // namespace masbak::trainer
