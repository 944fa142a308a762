// Which examples each optimiser step sees: a pure function of the examples, the settings and the seed, so that
// the position in the data is the number of the step and nothing else. No LibTorch.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/data/dataset.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

class Batches {
 public:
  // FAILED_PRECONDITION if there are no examples.
  Batches(Examples examples, const TrainingConfig& training);

  // Optimiser steps of the whole run: max_steps, or num_train_epochs times the steps of an epoch, rounded up.
  int64_t total_steps() const { return total_steps_; }

  // The micro-batches of optimiser step `step` (from 0): at most gradient_accumulation_steps, each of at most
  // per_device_train_batch_size rows.
  std::vector<std::vector<TokenView>> step(int64_t step);
  // Epochs done after `steps` optimiser steps: 1.5 is the middle of the second.
  double epochs_after(int64_t steps) const;

  // How well the rows of an epoch are filled: batches carry no padding, so that room that is not used costs no
  // arithmetic, only fewer tokens a step.
  struct RowUse {
    int64_t examples = 0, rows = 0, tokens = 0;
    int64_t room = 0;  // rows · max_length
    double waste() const { return room > 0 ? 1 - static_cast<double>(tokens) / static_cast<double>(room) : 0; }
  };
  RowUse row_use() const;

 private:
  PackedRows rows_of_epoch(int64_t epoch) const;
  // Makes `epoch_` the one that holds the step.
  void seek(int64_t step);

  const Examples examples_;
  const TrainingConfig training_;
  int64_t total_steps_ = 0;
  int64_t steps_of_epoch_ = 0;  // of every epoch: their rows differ, their number does not
  int64_t epoch_ = 0;           // the epoch at hand
  PackedRows rows_;             // and its rows
};

}  // namespace masbak::trainer
