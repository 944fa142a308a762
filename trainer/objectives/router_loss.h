// The auxiliary loss that keeps the experts' loads even.
//
// Shape letters: T tokens, E experts, K experts a token.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "models/families/causal_model.h"

namespace masbak::trainer {

class RouterLoss {
 public:
  // `coefficient` is router_aux_loss_coef; 0: off. FAILED_PRECONDITION if it is on and the model has no experts.
  RouterLoss(const models::ModelInfo& model, double coefficient);

  bool on() const { return coefficient_ > 0; }
  double coefficient() const { return coefficient_; }

  // The loss of one forward pass, a scalar that carries gradient, without the coefficient. `lengths` are those of the
  // sequences that count; tokens behind them fill the batch up.
  //
  // DeepSeek's families: the sequence-wise balance loss (DeepSeek-V3, 2024, equations 17 to 20; DeepSeek-V2's softmax
  // scores alike), the mean over the sequences and the sum over the layers. Others: load_balancing_loss_func of
  // transformers, experts · Σ_e (choices of e a token) · (mean score of e), over the tokens of all layers together.
  at::Tensor operator()(const std::vector<models::RouterRecord>& records, const std::vector<int64_t>& lengths) const;

 private:
  const double coefficient_;
  const bool sequence_wise_;
};

}  // namespace masbak::trainer
