#include "models/layers/router.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>

#include <limits>

namespace masbak::models {
namespace {

constexpr float kClosed = -std::numeric_limits<float>::infinity();

// The scores with the experts of all but the best groups closed.
at::Tensor close_groups(const at::Tensor& scores_TE, const RouterRule& rule) {
  const at::Tensor grouped = scores_TE.unflatten(1, {rule.groups, -1});
  const at::Tensor rating = std::get<0>(grouped.topk(rule.rated_by, -1)).sum(-1);
  const at::Tensor best = std::get<1>(rating.topk(rule.chosen_groups, -1));
  const at::Tensor closed = at::ones_like(rating, at::kBool).scatter_(1, best, false);
  return grouped.masked_fill(closed.unsqueeze(2), kClosed).flatten(1, 2);
}

}  // namespace

RoutingDecision Router::decide(const at::Tensor& x_TD) const {
  using Scoring = RouterRule::Scoring;
  const at::Tensor logits_TE = gate->forward(x_TD.to(dtype)).to(at::kFloat);
  RoutingDecision decision;
  decision.scores_TE = rule.scoring == Scoring::kSigmoid ? at::sigmoid(logits_TE) : at::softmax(logits_TE, -1);
  {
    const at::NoGradGuard no_grad;
    // Softmax keeps the order of the logits, but very unlike ones all become zero.
    at::Tensor choice = rule.scoring == Scoring::kSoftmaxOfChosen ? logits_TE : decision.scores_TE;
    if (correction_E.defined()) choice = choice + correction_E;
    if (rule.chosen_groups < rule.groups) choice = close_groups(choice, rule);
    decision.chosen_TK = std::get<1>(choice.topk(rule.experts_per_token, -1));
  }
  if (rule.scoring == Scoring::kSoftmaxOfChosen) {
    decision.weights_TK = at::softmax(logits_TE.gather(1, decision.chosen_TK), -1);
  } else {
    decision.weights_TK = decision.scores_TE.gather(1, decision.chosen_TK);
    if (rule.normalise) {
      at::Tensor sum = decision.weights_TK.sum(-1, true);
      if (rule.epsilon > 0) sum = sum + rule.epsilon;
      decision.weights_TK = decision.weights_TK / sum;
    }
  }
  if (rule.scale != 1.0) decision.weights_TK = decision.weights_TK * rule.scale;
  if (rule.round) decision.weights_TK = decision.weights_TK.to(x_TD.scalar_type()).to(at::kFloat);
  return decision;
}

}  // namespace masbak::models
