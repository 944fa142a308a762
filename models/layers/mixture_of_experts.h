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

// The tokens of each expert side by side. Stable: an expert's rows are in the order of the tokens. Behind
// them there may be a few rows that belong to no pair: they hold the first token, nothing reads what becomes of
// them, and their gradient is zero.
struct ExpertOrder {
  std::vector<int64_t> offsets;  // E + 1
  at::Tensor token_of_row_N;     // int32, N >= T * K
  at::Tensor row_of_pair_TK;     // int32, the row of each token's k-th expert
};
ExpertOrder sort_by_expert(const at::Tensor& chosen_TK, int64_t experts);

}  // namespace masbak::models
