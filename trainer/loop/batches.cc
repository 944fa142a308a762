#include "trainer/loop/batches.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace masbak::trainer {

Batches::Batches(Examples examples, const TrainingConfig& training)
    : examples_(std::move(examples)), training_(training) {
  if (examples_.empty()) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "the training data hold no example to learn from; masbak-worker validate names the bad rows");
  }
  rows_ = rows_of_epoch(0);
  const int64_t per_step = training_.batch_size * training_.gradient_accumulation_steps;
  steps_of_epoch_ = (rows_.size() + per_step - 1) / per_step;
  total_steps_ =
      training_.max_steps > 0
          ? training_.max_steps
          : static_cast<int64_t>(std::ceil(training_.num_train_epochs * static_cast<double>(steps_of_epoch_)));
}

PackedRows Batches::rows_of_epoch(int64_t epoch) const {
  const std::vector<uint32_t> order = epoch_order(examples_.size(), training_.shuffle, training_.seed, epoch);
  return pack_rows(examples_, order, training_.packing, training_.max_length);
}

void Batches::seek(int64_t step) {
  const int64_t epoch = step / steps_of_epoch_;
  if (epoch == epoch_) return;
  if (training_.shuffle) rows_ = rows_of_epoch(epoch);
  epoch_ = epoch;
}

std::vector<std::vector<TokenView>> Batches::step(int64_t step) {
  seek(step);
  const int64_t rows = rows_.size();
  int64_t row = (step - epoch_ * steps_of_epoch_) * training_.batch_size * training_.gradient_accumulation_steps;
  std::vector<std::vector<TokenView>> result;
  for (int64_t i = 0; i < training_.gradient_accumulation_steps && row < rows; ++i) {
    std::vector<TokenView> batch;
    for (const int64_t end = std::min(rows, row + training_.batch_size); row < end; ++row) {
      const auto place = static_cast<size_t>(row);
      for (uint32_t i = rows_.begins[place]; i < rows_.begins[place + 1]; ++i) {
        batch.push_back(examples_[rows_.examples[i]]);
      }
    }
    result.push_back(std::move(batch));
  }
  return result;
}

double Batches::epochs_after(int64_t steps) const {
  return static_cast<double>(steps) / static_cast<double>(steps_of_epoch_);
}

Batches::RowUse Batches::row_use() const {
  RowUse use;
  use.examples = examples_.size();
  use.rows = rows_.size();
  for (int64_t i = 0; i < use.examples; ++i) use.tokens += examples_.tokens(i);
  use.room = use.rows * training_.max_length;
  return use;
}

}  // namespace masbak::trainer
