// A mixture of experts with optional shared experts (DeepSeekMoE, 2024).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/layers/feed_forward.h"
#include "models/layers/router.h"

namespace masbak::models {

struct MixtureOfExperts final : FeedForward {
  Router router;
  std::string router_name = "gate";                // in the slots
  std::shared_ptr<ExpertProjection> gate_up_proj;  // [E, 2 I, D], gate first
  std::shared_ptr<ExpertProjection> down_proj;     // [E, D, I]
  std::shared_ptr<GatedMlp> shared_experts;        // null if there are none

  at::Tensor forward(const at::Tensor& x_TD, Routing* routing) override;
  void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) override;
  std::unique_ptr<FeedForward> clone() const override;
};

}  // namespace masbak::models
