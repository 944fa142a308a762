// What stands behind the attention in a layer: a gated MLP or a mixture of experts.
//
// Shape letters: T tokens, D hidden size, I inner size, E experts, K experts a token.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "models/layers/projection.h"

namespace masbak::models {

// What a mixture of experts did with the tokens, for the auxiliary loss.
struct Routing {
  at::Tensor scores_TE, chosen_TK;
};

class FeedForward {
 public:
  virtual ~FeedForward() = default;
  // `routing` may be null, and stays as it is where nothing is routed.
  virtual at::Tensor forward(const at::Tensor& x_TD, Routing* routing) = 0;
  virtual void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) = 0;
  virtual std::unique_ptr<FeedForward> clone() const = 0;
};

// down(silu(gate(x)) * up(x)) (Shazeer 2020, "GLU variants").
struct GatedMlp final : FeedForward {
  Group group = Group::kDenseMlp;
  std::shared_ptr<Projection> gate_proj, up_proj, down_proj;

  at::Tensor forward(const at::Tensor& x_TD, Routing* routing) override;
  void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) override;
  std::unique_ptr<FeedForward> clone() const override { return std::make_unique<GatedMlp>(*this); }
};

}  // namespace masbak::models
