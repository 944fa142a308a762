// Which experts a token goes to, and with what weights.
//
// Shape letters: T tokens, D hidden size, E experts, K experts a token.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "models/layers/projection.h"

namespace masbak::models {

struct RoutingDecision {
  at::Tensor scores_TE;   // float32, carries gradient where the router trains
  at::Tensor chosen_TK;   // int64
  at::Tensor weights_TK;  // float32, the same
};

// How logits become a choice. The choice looks at the scores (plus a correction bias, where there is one), first
// among groups of experts, then among the experts of the chosen groups; the weights are the scores without the bias.
// That is DeepSeek-V3's router (2024, section 2.1.2) with sigmoid scores and a group rated by its two best;
// DeepSeek-V2's (2024, section 2.2.2) with softmax scores and a group rated by its best; Mixtral's, Qwen's and OLMoE's
// with softmax scores and one group; Granite's takes the softmax over the chosen experts alone.
struct RouterRule {
  enum class Scoring { kSigmoid, kSoftmax, kSoftmaxOfChosen };
  Scoring scoring = Scoring::kSigmoid;
  int64_t experts_per_token = 1, groups = 1, chosen_groups = 1;
  int64_t rated_by = 2;  // the best so many of a group are added up to rate it
  bool normalise = true;
  double epsilon = 0;  // added to the sum that normalises
  double scale = 1.0;
  bool round = false;  // weights are rounded to the type of the tokens
};

struct Router {
  RouterRule rule;
  std::shared_ptr<Projection> gate;   // [E, D]
  at::Tensor correction_E;            // float32; undefined: none
  at::ScalarType dtype = at::kFloat;  // in which the gate computes

  RoutingDecision decide(const at::Tensor& x_TD) const;
};

}  // namespace masbak::models
