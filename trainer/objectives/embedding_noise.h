// NEFTune (Jain et al. 2023, arXiv:2310.05914): uniform noise on what the embedding gives while a run learns.
//
// Shape letters: T packed tokens, D hidden size; L is the length of one sequence.
#pragma once

#include <ATen/core/Generator.h>

#include <memory>
#include <utility>
#include <vector>

#include "models/families/causal_model.h"

namespace masbak::trainer {

// Between add() and the end of what it returns, each sequence of the batch gets noise from ±alpha / sqrt(L · D), as
// transformers adds it (trainer_utils.py, neftune_post_forward_hook); L is the sequence's own length, whatever it is
// packed with. At any other time the embedding is as it was.
class EmbeddingNoise {
 public:
  // `generator` is the run's, which checkpoints hold: a run that goes on draws the same noise.
  EmbeddingNoise(double alpha, at::Generator generator);

  // UNIMPLEMENTED if the model's embedding cannot be replaced.
  void attach(models::CausalModel& model) const;

  class Pass {
   public:
    explicit Pass(std::vector<models::Slice>* current) : current_(current) {}
    Pass(Pass&& other) noexcept : current_(std::exchange(other.current_, nullptr)) {}
    ~Pass() {
      if (current_) current_->clear();
    }

   private:
    std::vector<models::Slice>* current_;
  };
  // For the next forward pass over these sequences.
  [[nodiscard]] Pass add(const std::vector<models::Slice>& sequences) const;

 private:
  struct State;
  class Embedding;
  std::shared_ptr<State> state_;
};

}  // namespace masbak::trainer
