// Attention in which groups of query heads share keys and values; with as many groups as heads it is plain
// multi-head attention.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/layers/attention.h"

namespace masbak::models {

// RMSNorm of queries and keys before they turn: none, of each head by itself (Qwen3), or of all heads together
// (OLMoE).
enum class HeadNorm { kNone, kEach, kWhole };

struct GroupedQueryAttention final : Attention {
  int64_t heads = 0, groups = 0, head_size = 0;
  double scale = 1.0;
  int64_t window = 0;  // keys that a token sees, itself included; 0: all
  HeadNorm norm = HeadNorm::kNone;
  at::Tensor q_norm, k_norm;
  double norm_epsilon = 1e-6;
  double clip = 0;  // bound of queries (after the norm), keys and values; 0: none
  std::shared_ptr<Projection> q_proj, k_proj, v_proj, o_proj;

  at::Tensor forward(const at::Tensor& x_TD, const Context& context, int layer) override;
  void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) override;
  std::unique_ptr<Attention> clone() const override { return std::make_unique<GroupedQueryAttention>(*this); }

 private:
  // [T, heads, Q], normed, clipped and turned.
  at::Tensor turned(const at::Tensor& x_TX, const at::Tensor& norm_weight, const Context& context) const;
  at::Tensor clipped(const at::Tensor& x_TX) const;
};

}  // namespace masbak::models
