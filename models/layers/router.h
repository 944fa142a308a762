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

// DeepSeek-V3's router (2024, section 2.1.2): sigmoid scores; the choice looks at the scores plus a
// correction bias, first among groups (each by its two best), then among the experts of the chosen ones; the
// weights are the scores without the bias.
struct SigmoidRouter {
  std::shared_ptr<Projection> gate;  // float32 [E, D]
  at::Tensor correction_E;           // float32
  int64_t experts_per_token = 1, groups = 1, chosen_groups = 1;
  bool normalise = true;
  double scale = 1.0;

  RoutingDecision decide(const at::Tensor& x_TD) const;
};

}  // namespace masbak::models
