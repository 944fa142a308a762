// Attention in which groups of query heads share keys and values; with as many groups as heads it is plain
// multi-head attention.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/layers/attention.h"

namespace masbak::models {

struct GroupedQueryAttention final : Attention {
  int64_t heads = 0, groups = 0, head_size = 0;
  double scale = 1.0;
  std::shared_ptr<Projection> q_proj, k_proj, v_proj, o_proj;

  at::Tensor forward(const at::Tensor& x_TD, const Context& context, int layer) override;
  void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) override;
  std::unique_ptr<Attention> clone() const override { return std::make_unique<GroupedQueryAttention>(*this); }
};

}  // namespace masbak::models
