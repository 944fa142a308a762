// The pieces of fused.h and expert_block.h that a GPU does with kernels of its own. Each takes tensors for which
// cuda::kernels_for gives a table, and has the meaning that those headers say.
//
// Shape letters: T tokens, D features, K experts a token, N rows sorted by expert, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include "models/kernels/cuda/kernels.h"
#include "models/layers/expert_block.h"

namespace masbak::models::device {

// Nothing is filled up here: N = T * K.
ExpertOrder sort_by_expert(const cuda::KernelTable& kernels, const at::Tensor& x_TD, const at::Tensor& chosen_TK,
                           int64_t experts);
at::Tensor gather_rows(const at::Tensor& x_ND, const at::Tensor& rows_N);
at::Tensor sum_rows(const at::Tensor& x_ND, const at::Tensor& weights_TK, const at::Tensor& rows_TK);
double cross_entropy_rows(const cuda::KernelTable& kernels, at::Tensor& logits_NV, const at::Tensor& targets_N,
                          double scale, bool gradient);

}  // namespace masbak::models::device
