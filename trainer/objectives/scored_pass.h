// A forward pass whose log-probabilities are seen first and learnt from afterwards, as preferences need it: how
// strongly an answer is learnt depends on its own probability.
//
// Shape letters: N labelled rows, D hidden size, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "models/families/causal_model.h"
#include "trainer/objectives/sft.h"

namespace masbak::trainer {

class ScoredPass {
 public:
  // Runs the model, with a graph for the gradient if autograd is on. The objects given must outlive this one.
  ScoredPass(models::CausalModel& model, const LabelledBatch& batch,
             std::vector<models::RouterRecord>* routers = nullptr);

  // The log-probability of each labelled row's target.
  const std::vector<double>& log_probs() const { return log_probs_; }
  // Adds the gradient of Σ by_row[n] · log_probs[n] + also to every parameter that trains. `also` is a scalar of the
  // same pass, undefined for none. Once only. The head runs again, in chunks: its logits are never kept.
  void backward(const std::vector<double>& by_row, const at::Tensor& also = {});

 private:
  models::CausalModel& model_;
  const LabelledBatch& batch_;
  at::Tensor hidden_ND_, targets_N_;
  std::vector<double> log_probs_;
};

}  // namespace masbak::trainer
