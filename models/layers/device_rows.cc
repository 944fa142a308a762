#include "models/layers/device_rows.h"

#include <ATen/ops/empty.h>

#include "models/kernels/cuda/library.h"

namespace masbak::models::device {
namespace {

// Rows as the kernels want them: features side by side, any stride between rows.
at::Tensor as_rows(const at::Tensor& x) {
  return x.stride(1) == 1 && (x.size(0) <= 1 || x.stride(0) >= x.size(1)) ? x : x.contiguous();
}

// The table was there when the forward pass asked for it, and stays.
const cuda::KernelTable& kernels(const at::Tensor& x) { return *cuda::kernels_for(x); }

}  // namespace

ExpertOrder sort_by_expert(const cuda::KernelTable& kernels, const at::Tensor& x_TD, const at::Tensor& chosen_TK,
                           int64_t experts) {
  const at::Tensor chosen = chosen_TK.contiguous();
  const at::TensorOptions numbers = chosen.options().dtype(at::kInt);
  const at::Tensor offsets = at::empty({experts + 1}, numbers);
  const at::Tensor workspace = at::empty({cuda::sort_workspace(chosen.numel(), experts)}, numbers);
  ExpertOrder order;
  order.token_of_row_N = at::empty({chosen.numel()}, numbers);
  order.row_of_pair_TK = at::empty(chosen.sizes(), numbers);
  cuda::SortByExpert a;
  a.chosen = chosen.const_data_ptr<int64_t>();
  a.pairs = a.capacity = chosen.numel();
  a.per_token = chosen.size(1);
  a.experts = experts;
  a.offsets = offsets.mutable_data_ptr<int32_t>();
  a.token_of_row = order.token_of_row_N.mutable_data_ptr<int32_t>();
  a.row_of_pair = order.row_of_pair_TK.mutable_data_ptr<int32_t>();
  a.workspace = workspace.mutable_data_ptr<int32_t>();
  cuda::launch(kernels.sort_by_expert, x_TD, a);
  // The products of the experts are queued one by one, so their sizes have to be known here: one wait a layer.
  const at::Tensor here = offsets.cpu();
  const int32_t* first = here.const_data_ptr<int32_t>();
  order.offsets.assign(first, first + experts + 1);
  return order;
}

at::Tensor gather_rows(const at::Tensor& x, const at::Tensor& row_of) {
  const at::Tensor rows = as_rows(x);
  at::Tensor out = at::empty({row_of.size(0), x.size(1)}, x.options());
  cuda::GatherRows a;
  a.type = cuda::type_of(x);
  a.x = rows.const_data_ptr();
  a.x_stride = rows.stride(0);
  a.x_rows = rows.size(0);
  a.row_of = row_of.const_data_ptr<int32_t>();
  a.rows = row_of.size(0);
  a.size = x.size(1);
  a.out = out.mutable_data_ptr();
  cuda::launch(kernels(x).gather_rows, x, a);
  return out;
}

at::Tensor sum_rows(const at::Tensor& y, const at::Tensor& weights_TK, const at::Tensor& rows_TK) {
  const at::Tensor rows = as_rows(y);
  at::Tensor out = at::empty({rows_TK.size(0), y.size(1)}, y.options());
  cuda::SumRows a;
  a.type = cuda::type_of(y);
  a.y = rows.const_data_ptr();
  a.y_stride = rows.stride(0);
  a.y_rows = rows.size(0);
  a.rows_of = rows_TK.const_data_ptr<int32_t>();
  a.weights = weights_TK.defined() ? weights_TK.const_data_ptr<float>() : nullptr;
  a.tokens = rows_TK.size(0);
  a.count = rows_TK.size(1);
  a.size = y.size(1);
  a.out = out.mutable_data_ptr();
  cuda::launch(kernels(y).sum_rows, y, a);
  return out;
}

double cross_entropy_rows(const cuda::KernelTable& kernels, at::Tensor& logits_NV, const at::Tensor& targets_N,
                          double scale, bool gradient) {
  const at::Tensor targets = targets_N.contiguous();
  const at::Tensor losses = at::empty({logits_NV.size(0)}, logits_NV.options().dtype(at::kFloat));
  const at::Tensor sum = at::empty({1}, logits_NV.options().dtype(at::kDouble));
  cuda::CrossEntropy a;
  a.type = cuda::type_of(logits_NV);
  a.logits = logits_NV.mutable_data_ptr();
  a.stride = logits_NV.stride(0);
  a.rows = logits_NV.size(0);
  a.size = logits_NV.size(1);
  a.targets = targets.const_data_ptr<int64_t>();
  a.scale = static_cast<float>(scale);
  a.gradient = gradient;
  a.losses = losses.mutable_data_ptr<float>();
  a.sum = sum.mutable_data_ptr<double>();
  cuda::launch(kernels.cross_entropy, logits_NV, a);
  return sum.item<double>();
}

}  // namespace masbak::models::device
