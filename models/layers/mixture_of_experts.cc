#include "models/layers/mixture_of_experts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "models/layers/fused.h"

namespace masbak::models {

namespace {

// Each expert's rows are filled up to a multiple: the sizes of the products would otherwise be new at every step,
// and oneDNN makes machine code anew for each. Not where an expert has only few rows.
int64_t row_multiple(int64_t pairs, int64_t experts) {
  const int64_t mean = pairs / experts;
  return mean >= 96 ? 16 : (mean >= 48 ? 8 : 1);
}

}  // namespace

ExpertOrder sort_by_expert(const at::Tensor& chosen_TK, int64_t experts) {
  const at::Tensor chosen = chosen_TK.to(at::kCPU).contiguous();
  const int64_t pairs = chosen.numel(), per_token = chosen.size(1);
  const int64_t* expert = chosen.const_data_ptr<int64_t>();
  ExpertOrder order;
  order.offsets.assign(experts + 1, 0);
  for (int64_t pair = 0; pair < pairs; ++pair) ++order.offsets[expert[pair] + 1];
  const int64_t multiple = row_multiple(pairs, experts);
  for (int64_t e = 0; e < experts; ++e) {
    order.offsets[e + 1] = order.offsets[e] + (order.offsets[e + 1] + multiple - 1) / multiple * multiple;
  }
  order.token_of_row_N = at::zeros({order.offsets[experts]}, at::TensorOptions().dtype(at::kInt));
  order.row_of_pair_TK = at::empty(chosen.sizes(), at::TensorOptions().dtype(at::kInt));
  auto* token_of_row = order.token_of_row_N.mutable_data_ptr<int32_t>();
  auto* row_of_pair = order.row_of_pair_TK.mutable_data_ptr<int32_t>();
  std::vector<int64_t> next(order.offsets.begin(), order.offsets.end() - 1);
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int64_t row = next[expert[pair]]++;
    token_of_row[row] = static_cast<int32_t>(pair / per_token);
    row_of_pair[pair] = static_cast<int32_t>(row);
  }
  if (!chosen_TK.is_cpu()) {
    order.token_of_row_N = order.token_of_row_N.to(chosen_TK.device());
    order.row_of_pair_TK = order.row_of_pair_TK.to(chosen_TK.device());
  }
  return order;
}

at::Tensor MixtureOfExperts::forward(const at::Tensor& x_TD, Routing* routing) {
  const RoutingDecision decision = router.decide(x_TD);
  if (routing) *routing = {decision.scores_TE, decision.chosen_TK};
  const ExpertOrder order = sort_by_expert(decision.chosen_TK, gate_up_proj->experts());
  const at::Tensor rows = dispatch_rows(x_TD, order.token_of_row_N, order.row_of_pair_TK);
  const at::Tensor inner = silu_times_halves(gate_up_proj->forward(rows, order.offsets));
  const at::Tensor outer = down_proj->forward(inner, order.offsets);
  const at::Tensor routed = combine_rows(outer, decision.weights_TK, order.row_of_pair_TK);
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
