// One autograd node with a backward pass written by hand.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace masbak::models {

// The gradient of the result -> the gradients of the inputs, in their order; undefined where `wanted` is false. Called
// once, without autograd, and then dropped with everything that it holds.
using Backward = std::function<std::vector<at::Tensor>(const at::Tensor& gradient, const std::vector<bool>& wanted)>;

// `result` as a function of `inputs`: a tensor that nothing else refers to, computed from them without autograd.
// Returns it unchanged, and lets `backward` go, where no input asks for a gradient.
at::Tensor differentiable(at::Tensor result, const std::vector<at::Tensor>& inputs, Backward backward);

// Whether differentiable() would make a node: whether anything need be kept for `backward`.
bool any_gradient(const std::vector<at::Tensor>& inputs);

// The type that the kernels add numbers of x in.
inline at::ScalarType sum_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace masbak::models
