#include "trainer/loop/batches.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

Batches::Batches(Examples examples, const TrainingConfig& training)
    : examples_(std::move(examples)), training_(training) {
  if (examples_.empty()) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "the training data hold no example to learn from; masbak-worker validate names the bad rows");
  }
  rows_ = rows_of_epoch(0);
  if (training.max_steps > 0) {
    total_steps_ = training.max_steps;
    return;
  }
  const double epochs = training.num_train_epochs;
  const auto whole = static_cast<int64_t>(std::floor(epochs));
  // Packing may fill another number of rows in another order; without it all epochs are alike.
  if (!training.packing || !training.shuffle) {
    total_steps_ = static_cast<int64_t>(std::ceil(epochs * static_cast<double>(steps_for(rows_))));
    return;
  }
  for (int64_t epoch = 0; epoch < whole; ++epoch) total_steps_ += steps_for(rows_of_epoch(epoch));
  if (epochs > static_cast<double>(whole)) {
    const auto steps = static_cast<double>(steps_for(rows_of_epoch(whole)));
    total_steps_ += static_cast<int64_t>(std::ceil((epochs - static_cast<double>(whole)) * steps));
  }
}

Batches::Rows Batches::rows_of_epoch(int64_t epoch) const {
  const int64_t count = examples_.size();
  const std::vector<int64_t> order = epoch_order(count, training_.shuffle, training_.seed, epoch);
  return pack_rows(examples_, order, training_.packing, training_.max_length);
}

int64_t Batches::steps_for(const Rows& rows) const {
  const int64_t per_step = training_.batch_size * training_.gradient_accumulation_steps;
  return (static_cast<int64_t>(rows.size()) + per_step - 1) / per_step;
}

void Batches::seek(int64_t step) {
  if (step < first_step_) {
    epoch_ = first_step_ = 0;
    rows_ = rows_of_epoch(0);
  }
  for (int64_t steps = steps_for(rows_); step >= first_step_ + steps; steps = steps_for(rows_)) {
    first_step_ += steps;
    rows_ = rows_of_epoch(++epoch_);
  }
}

std::vector<std::vector<TokenView>> Batches::step(int64_t step) {
  seek(step);
  const auto rows = static_cast<int64_t>(rows_.size());
  int64_t row = (step - first_step_) * training_.batch_size * training_.gradient_accumulation_steps;
  std::vector<std::vector<TokenView>> result;
  for (int64_t i = 0; i < training_.gradient_accumulation_steps && row < rows; ++i) {
    std::vector<TokenView> batch;
    for (const int64_t end = std::min(rows, row + training_.batch_size); row < end; ++row) {
      for (int64_t example : rows_[row]) batch.push_back(examples_[example]);
    }
    result.push_back(std::move(batch));
  }
  return result;
}

double Batches::epochs_after(int64_t steps) {
  if (steps == 0) return 0;
  seek(steps - 1);
  return static_cast<double>(epoch_) + static_cast<double>(steps - first_step_) / static_cast<double>(steps_for(rows_));
}

}  // namespace masbak::trainer
