// One model, one adapter, one optimiser: takes optimiser steps and evaluates. Knows no job folder and no events.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "base/error.h"
#include "models/families/causal_model.h"
#include "trainer/data/examples.h"
#include "trainer/loop/adamw.h"
#include "trainer/loop/passes.h"
#include "trainer/objectives/objective.h"
#include "trainer/training_config.h"

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
  double loss = 0;                        // of the objective, and the routers' auxiliary loss times its coefficient
  double router_loss = 0;                 // the auxiliary loss alone; 0 if it is off
  double grad_norm = 0;                   // before clipping
  int64_t tokens = 0;                     // that went through the model
  std::map<std::string, double> metrics;  // of the objective, by trl's names
  RouterStats routers;                    // empty without experts

  bool finite() const;
};

struct EvalResult {
  double loss = 0;
  std::map<std::string, double> metrics;
};

class Trainer {
 public:
  // Attaches the adapter to the model; its factors become views of the optimiser's buffer. An objective that compares
  // with a reference compares with the model as it is before: without an adapter, or with `adapter` as it starts if
  // that was trained before (`adapter_is_old`). The reference shares every weight with the model.
  Trainer(models::CausalModel& model, adapters::Adapter& adapter, const std::string& objective,
          const TrainingConfig& training, bool adapter_is_old = false);

  // Loss and clipped gradient of one optimiser step over the micro-batches; changes nothing that is learnt.
  StepResult compute(const std::vector<std::vector<TokenView>>& micro_batches);
  // The step itself, by the gradient of the last compute.
  void apply(double learning_rate);
  // Both. ABORTED if loss or gradient is not finite: then nothing was changed.
  StepResult step(const std::vector<std::vector<TokenView>>& micro_batches, double learning_rate);

  // The mean over all examples, as each weighs in a step, in batches of per_device_eval_batch_size.
  EvalResult evaluate(const Examples& examples);

  // AdamW's, one for each of trained_tensors(adapter): zero where no step has given a gradient.
  std::vector<at::Tensor> second_moments();

  AdamW& optimizer() { return *optimizer_; }

 private:
  models::CausalModel& model_;
  adapters::Adapter& adapter_;
  const TrainingConfig training_;
  const bool drops_;  // dropout is on while learning
  std::unique_ptr<models::CausalModel> reference_;
  adapters::Adapter reference_adapter_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<EmbeddingNoise> noise_;
  std::unique_ptr<Passes> passes_;
};

// Why a step that is not finite cannot be taken.
base::Error not_finite(const StepResult& result);

}  // namespace masbak::trainer
