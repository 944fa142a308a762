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
  at::Tensor bias_O;       // of B, so that scale · bias is added; undefined: none
  at::Tensor magnitude_O;  // DoRA's; undefined: plain LoRA
  at::Tensor full;         // the whole weight, in place of everything else
  // PiSSA: what A and B were at the start, which the base is without. Not trained.
  at::Tensor start_a, start_b;
};

// Dropout on what enters A, shared by every wrapper of one adapter. Off outside of training.
struct LoraDropout {
  double probability = 0;
  bool training = false;
  at::Generator generator;
};

// y = W x + scale · B A dropout(x). With a magnitude m (DoRA, Liu et al. 2024, arXiv:2402.09353) each output's row of
// W + scale · B A is brought to the norm m, where the norm itself carries no gradient (section 4.3). With a start
// (PiSSA, Meng et al. 2024, arXiv:2404.02948) W stands for W - scale · B0 A0. A full weight replaces W.
std::shared_ptr<models::Projection> wrap_linear(std::shared_ptr<models::Projection> base, LoraFactors factors,
                                                std::shared_ptr<LoraDropout> dropout = nullptr);
std::shared_ptr<models::ExpertProjection> wrap_experts(std::shared_ptr<models::ExpertProjection> base,
                                                       LoraFactors factors);

// The same for rows of a table: A [R, V], B [D, R] as PEFT's lora_embedding_A and _B. No dropout.
std::shared_ptr<models::TokenEmbedding> wrap_embedding(std::shared_ptr<models::TokenEmbedding> base,
                                                       LoraFactors factors);

// What takes the place of W: W + scale · B A (and DoRA's norms, PiSSA's start, or the whole copy), computed in float32
// (float64 for a float64 weight) and rounded once to W's type.
at::Tensor merged_weight(const at::Tensor& weight, const LoraFactors& factors);
at::Tensor merged_embedding(const at::Tensor& weight_VD, const LoraFactors& factors);

// ‖W + scale · B A‖ of each output, float32: where DoRA's magnitude starts. For the embedding, of each column.
at::Tensor row_norms(const at::Tensor& weight, const LoraFactors& factors);
at::Tensor column_norms(const at::Tensor& weight_VD, const LoraFactors& factors);

}  // namespace masbak::adapters
