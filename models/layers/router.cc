#include "models/layers/router.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>

#include <limits>

namespace masbak::models {

RoutingDecision SigmoidRouter::decide(const at::Tensor& x_TD) const {
  RoutingDecision decision;
  decision.scores_TE = at::sigmoid(gate->forward(x_TD.to(at::kFloat)).to(at::kFloat));
  {
    const at::NoGradGuard no_grad;
    at::Tensor choice = decision.scores_TE + correction_E;
    if (chosen_groups < groups) {
      const at::Tensor best_two = std::get<0>(choice.unflatten(1, {groups, -1}).topk(2, -1)).sum(-1);
      const at::Tensor chosen = std::get<1>(best_two.topk(chosen_groups, -1));
      const at::Tensor closed = at::ones_like(best_two, at::kBool).scatter_(1, chosen, false);
      choice = choice.unflatten(1, {groups, -1})
                   .masked_fill(closed.unsqueeze(2), -std::numeric_limits<float>::infinity())
                   .flatten(1, 2);
    }
    decision.chosen_TK = std::get<1>(choice.topk(experts_per_token, -1));
  }
  decision.weights_TK = decision.scores_TE.gather(1, decision.chosen_TK);
  if (normalise) decision.weights_TK = decision.weights_TK / (decision.weights_TK.sum(-1, true) + 1e-20);
  if (scale != 1.0) decision.weights_TK = decision.weights_TK * scale;
  return decision;
}

}  // namespace masbak::models
