// Forward and backward of one micro-batch, its examples divided among the threads.
//
// Threads that share every operation wait for each other at the end of each, some thousands of times a step. Here each
// takes some of the examples through the whole model and back, and they meet once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"
#include "models/families/causal_model.h"
#include "trainer/loop/adamw.h"
#include "trainer/objectives/objective.h"
#include "trainer/training_config.h"

namespace masbak::trainer {

// Examples dealt to at most `most` parts, by tokens as evenly as whole examples allow: the indices of each part, in
// their order. One part if the parts would be too small or too uneven to be worth it. A pure function.
std::vector<std::vector<size_t>> divide(const std::vector<TokenView>& examples, int64_t most);

// What a part of a micro-batch gave; `weight` is Objective::weight of it, never 0.
struct PartResult {
  int64_t weight = 0;
  BatchResult batch;
};

class Passes {
 public:
  // `model` with `adapter` attached, whose tensors are the optimiser's, and `base`, the same without it. A further
  // thread takes a model that shares every number with it and has a gradient of its own (as large as the adapter in
  // float32), made when first needed. `reference` and `noise` are null or as in make_objective. All references must
  // outlive this.
  Passes(models::CausalModel& model, std::unique_ptr<models::CausalModel> base, adapters::Adapter& adapter,
         AdamW& optimizer, std::string objective, const TrainingConfig& training, models::CausalModel* reference,
         const EmbeddingNoise* noise);

  // The examples as they are divided among the threads; one part where their losses do not add up (see divide).
  static std::vector<std::vector<TokenView>> parts(const std::vector<TokenView>& examples, const std::string& objective,
                                                   const TrainingConfig& training, double dropout);

  const Objective& objective() const { return *seats_[0].objective; }

  // Sets every gradient to zero.
  void begin_step();
  // Adds to the gradients what the examples give, each weighing by its share of `all`. In the order of the parts.
  std::vector<PartResult> backward(const std::vector<TokenView>& examples, int64_t all);
  std::vector<PartResult> evaluate(const std::vector<TokenView>& examples);
  // The optimiser's gradients are whole from here on.
  void end_step();

 private:
  // What one thread works with.
  struct Seat {
    std::unique_ptr<models::CausalModel> model;  // null for the first, whose is the model itself; adapter too
    std::unique_ptr<adapters::Adapter> adapter;
    at::Tensor gradients;
    std::unique_ptr<Objective> objective;
  };
  Seat& seat(size_t index);
  std::vector<std::vector<TokenView>> parts_of(const std::vector<TokenView>& examples);
  template <typename Pass>
  std::vector<PartResult> run(const std::vector<TokenView>& examples, const Pass& pass);

  const std::unique_ptr<models::CausalModel> base_;
  adapters::Adapter& adapter_;
  AdamW& optimizer_;
  const std::string objective_name_;
  const TrainingConfig training_;
  models::CausalModel* reference_;
  const double dropout_;
  std::vector<Seat> seats_;
};

}  // namespace masbak::trainer
