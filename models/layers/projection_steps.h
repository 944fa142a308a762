// Projections step by step and without autograd, for layers that join several products to one node and write its
// backward pass by hand (expert_block.h, LoRA).
//
// Shape letters: T tokens, I input size, O output size, E experts, R rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "models/layers/grouped_linear.h"
#include "models/layers/projection.h"

namespace masbak::models {

// dy_TO W_OI, the gradient of the input of a projection in which nothing trains; from weight() where it does not offer
// a way of its own.
at::Tensor multiply_back(const Projection& projection, const at::Tensor& dy_TO);

class BackwardProjection : public Projection {
 public:
  virtual at::Tensor multiply_back(const at::Tensor& dy_TO) const = 0;
  // W where it lies in memory as it is multiplied, else undefined.
  virtual at::Tensor stored_weight() const { return {}; }
};

// A change of low rank to a weight: W + scale * B A, with a [R, I] and b [O, R], for experts [E, R, I] and [E, O, R].
struct LowRank {
  at::Tensor a, b;
  double scale = 1;
};
// The projection's product with that change, and its gradient of the input, in which h is scale * dy B.
ChangedProduct multiply_changed(const Projection& projection, const at::Tensor& x_TI, const LowRank& change);
ChangedProduct multiply_back_changed(const Projection& projection, const at::Tensor& dy_TO, const LowRank& change);

// What every ExpertProjection is made of.
class ExpertSteps : public ExpertProjection, public std::enable_shared_from_this<ExpertSteps> {
 public:
  // Differentiable in x and in trained().
  at::Tensor forward(const at::Tensor& x_TI, const std::vector<int64_t>& offsets) const final;

  // `kept` is the projection's own from one step to the next; null: no backward pass will follow.
  using Kept = std::vector<at::Tensor>;
  virtual at::Tensor multiply(const at::Tensor& x_TI, const std::vector<int64_t>& offsets, Kept* kept) const = 0;
  // The gradient of x, undefined unless it is wanted.
  virtual at::Tensor multiply_back(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets, Kept* kept,
                                   bool wanted) const = 0;
  // Both with a change to the weight; the gradient of x is wanted.
  virtual ChangedProduct multiply_changed(const at::Tensor& x_TI, const std::vector<int64_t>& offsets,
                                          const LowRank& change) const;
  virtual ChangedProduct multiply_back_changed(const at::Tensor& dy_TO, const std::vector<int64_t>& offsets,
                                               const LowRank& change) const;
  // The tensors that train, and after multiply_back their gradients if row t of y counts weights_T[t] times (float32,
  // float64 for float64 rows; undefined: once).
  virtual std::vector<at::Tensor> trained() const { return {}; }
  virtual std::vector<at::Tensor> gradients(const at::Tensor& /*x_TI*/, const at::Tensor& /*dy_TO*/,
                                            const at::Tensor& /*weights_T*/, const std::vector<int64_t>& /*offsets*/,
                                            const Kept& /*kept*/) const {
    return {};
  }
};

// INTERNAL if the projection is of another kind.
std::shared_ptr<const ExpertSteps> steps_of(const std::shared_ptr<ExpertProjection>& projection);

}  // namespace masbak::models
