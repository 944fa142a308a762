// Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): what a layer keeps for its gradient is computed a
// second time in the backward pass instead of being kept, so that only the layer's input stays in memory.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace masbak::models {

// Computes `body(x)` and forgets how; backward computes it again from x. The numbers and gradients are those of a
// plain call: the random numbers that `body` draws from `random` (may be undefined) are drawn again. Only the
// floating-point results carry gradient. `body` is kept until the gradient has passed and must not change x.
std::vector<at::Tensor> recompute(const at::Tensor& x, std::function<std::vector<at::Tensor>(const at::Tensor&)> body,
                                  const at::Generator& random);

}  // namespace masbak::models
