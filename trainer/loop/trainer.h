// One model, one adapter, one optimiser: takes optimiser steps and evaluates. Knows no job folder and no events.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "adapters/adapter.h"
#include "models/families/causal_model.h"
#include "trainer/data/examples.h"
#include "trainer/loop/adamw.h"
#include "trainer/run_config.h"

namespace masbak::trainer {

// What the routers did with the tokens of one optimiser step.
struct RouterStats {
  // For each layer with experts the share of all choices that each expert got; a layer's shares sum to 1.
  std::vector<std::vector<double>> load;
  // The entropy in nats of a token's normalised scores, averaged over tokens and layers: ln(experts) if the
  // routers have no preference, 0 if they are certain.
  double entropy = 0;
};

struct StepResult {
  double loss = 0;       // mean over the labelled tokens of the step
  double grad_norm = 0;  // before clipping
  int64_t tokens = 0;    // all tokens
  int64_t labelled = 0;
  RouterStats routers;  // empty without experts
};

class Trainer {
 public:
  // Attaches the adapter to the model; its factors become views of the optimiser's buffer.
  Trainer(models::CausalModel& model, adapters::Adapter& adapter, const TrainingConfig& training);

  // One optimiser step over the micro-batches. ABORTED if loss or gradient is not finite: then nothing was changed.
  StepResult step(const std::vector<std::vector<TokenView>>& micro_batches, double learning_rate);

  // Mean loss over all labelled tokens, in batches of per_device_train_batch_size examples.
  double evaluate(const Examples& examples);

  AdamW& optimizer() { return *optimizer_; }

 private:
  models::CausalModel& model_;
  adapters::Adapter& adapter_;
  const TrainingConfig training_;
  std::unique_ptr<AdamW> optimizer_;
};

}  // namespace masbak::trainer
