// LoRA (Hu et al. 2021, arXiv:2106.09685) as wrappers around projections: the model goes on calling
// forward and does not know.
//
// Shape letters: T tokens, I input size, O output size, E experts, R rank.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>

#include "models/layers/projection.h"

namespace masbak::adapters {

// ΔW = scale · B A. For a linear a_RI and b_OR; for fused experts a_ERI and b_EOR, one pair an expert. Any
// floating type: forward casts to the type of its input, and gradients flow back to these tensors.
struct LoraFactors {
  at::Tensor a, b;
  double scale = 1;
};

// Dropout on what enters A, shared by every wrapper of one adapter. Off outside of training.
struct LoraDropout {
  double probability = 0;
  bool training = false;
  at::Generator generator;
};

// y = W x + scale · B A dropout(x)
std::shared_ptr<models::Projection> wrap_linear(std::shared_ptr<models::Projection> base, LoraFactors factors,
                                                std::shared_ptr<LoraDropout> dropout = nullptr);
std::shared_ptr<models::ExpertProjection> wrap_experts(std::shared_ptr<models::ExpertProjection> base,
                                                       LoraFactors factors);

// W + scale · B A, the product and the sum in float32 (float64 for a float64 weight), rounded once to W's type.
at::Tensor merged_weight(const at::Tensor& weight, const LoraFactors& factors);

}  // namespace masbak::adapters
