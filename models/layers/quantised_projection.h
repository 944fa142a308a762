// Projections over weights that stay small in memory. A product widens a piece of the weight at a time, uses it and
// lets it go, forward and backward, so that training a LoRA needs the small weights and one piece. Gradients go to the
// input only: stored weights do not train.
#pragma once

#include <memory>
#include <vector>

#include "models/checkpoint/quantised_tensor.h"
#include "models/layers/projection.h"

namespace masbak::models {

// `dtype`: what weight() gives and x must have. INTERNAL if the weight is no matrix.
std::shared_ptr<Projection> make_quantised_projection(std::shared_ptr<const QuantisedTensor> weight,
                                                      at::ScalarType dtype, at::Tensor bias_O = {});

// Rows [row, row + rows of `weight`) of expert `expert`; a weight [experts, rows, columns] is that of all, expert 0.
struct ExpertPart {
  std::shared_ptr<const QuantisedTensor> weight;
  int64_t expert = 0, row = 0;
};

// The parts must fill [E, O, I].
std::shared_ptr<ExpertProjection> make_quantised_experts(std::vector<ExpertPart> parts, int64_t experts,
                                                         int64_t out_features, int64_t in_features,
                                                         at::ScalarType dtype);

}  // namespace masbak::models
