#include "models/layers/mixture_of_experts.h"

#include <ATen/TensorOperators.h>

#include "models/kernels/cuda/library.h"
#include "models/layers/device_rows.h"
#include "models/layers/expert_block.h"

namespace masbak::models {

at::Tensor MixtureOfExperts::forward(const at::Tensor& x_TD, Routing* routing) {
  const RoutingDecision decision = router.decide(x_TD);
  if (routing) *routing = {decision.scores_TE, decision.chosen_TK};
  const auto* kernels = cuda::kernels_for(x_TD);
  const ExpertOrder order = kernels
                                ? device::sort_by_expert(*kernels, x_TD, decision.chosen_TK, gate_up_proj->experts())
                                : sort_by_expert(decision.chosen_TK, gate_up_proj->experts());
  const at::Tensor routed = expert_block(x_TD, decision.weights_TK, order, gate_up_proj, down_proj);
  return shared_experts ? routed + shared_experts->forward(x_TD, nullptr) : routed;
}

void MixtureOfExperts::collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) {
  slots.push_back({prefix + "." + router_name, Group::kRouter, layer, &router.gate, nullptr});
  slots.push_back({prefix + ".experts.gate_up_proj", Group::kExperts, layer, nullptr, &gate_up_proj});
  slots.push_back({prefix + ".experts.down_proj", Group::kExperts, layer, nullptr, &down_proj});
  if (shared_experts) shared_experts->collect_slots(prefix + ".shared_experts", layer, slots);
}

std::unique_ptr<FeedForward> MixtureOfExperts::clone() const {
  auto copy = std::make_unique<MixtureOfExperts>(*this);
  if (shared_experts) copy->shared_experts = std::make_shared<GatedMlp>(*shared_experts);
  return copy;
}

}  // namespace masbak::models
