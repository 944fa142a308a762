// Learning rates over the steps, as transformers' get_scheduler computes them.
#pragma once

#include <cstdint>

#include "trainer/training_config.h"

namespace masbak::trainer {

// The rate of optimiser step `step` (from 0) of `total`: a warm-up of warmup_steps, or ceil(warmup_ratio · total),
// steps that starts at 0, then the schedule. The plain constant schedule has no warm-up.
double learning_rate(const TrainingConfig& training, int64_t step, int64_t total);

}  // namespace masbak::trainer
