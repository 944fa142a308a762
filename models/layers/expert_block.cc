#include "models/layers/expert_block.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "models/layers/differentiable.h"
#include "models/layers/filled_size.h"
#include "models/layers/fused.h"
#include "models/layers/projection_steps.h"

namespace masbak::models {
namespace {

// How many rows an expert is given for `rows` that were sent to it, in a mean of `mean`. The sizes of the products
// would otherwise be new at every step. Not where experts have only few rows on the average; without `fill` only the
// few rows that are still multiplied by oneDNN.
int64_t filled_rows(int64_t rows, int64_t mean, bool fill) {
  if (mean < kExpertRowStep || (!fill && rows >= fewest_free_rows())) return rows;
  return filled_size(rows, kExpertRowStep);
}

// A number for each row from one for each pair; 0 for the rows that belong to none.
at::Tensor spread_to_rows(const at::Tensor& pairs_TK, const ExpertOrder& order) {
  const at::Tensor rows_N = at::zeros({order.token_of_row_N.size(0)}, pairs_TK.options());
  return rows_N.index_copy(0, order.row_of_pair_TK.flatten().to(at::kLong), pairs_TK.flatten());
}

// What one pass leaves for its way back.
struct Pass {
  ExpertOrder order;
  std::shared_ptr<const ExpertSteps> gate_up, down;
  at::Tensor x_TD;  // where gate_up trains
  at::Tensor weights_TK, gate_up_N2I;
  ExpertSteps::Kept kept_gate_up, kept_down;
};

std::vector<at::Tensor> backward(Pass& pass, const at::Tensor& dout_TD, const std::vector<bool>& wanted) {
  const ExpertOrder& order = pass.order;
  const at::Tensor weights_N = spread_to_rows(pass.weights_TK, order);
  const at::Tensor dout_ND = gather_rows(dout_TD, order.token_of_row_N);
  const at::Tensor dinner_NI = pass.down->multiply_back(dout_ND, order.offsets, &pass.kept_down, true);
  const SiluGradients silu = silu_times_halves_backward(dinner_NI, pass.gate_up_N2I, weights_N);
  pass.gate_up_N2I = at::Tensor();
  std::vector<at::Tensor> of_down = pass.down->gradients(silu.y_ND, dout_ND, weights_N, order.offsets, pass.kept_down);

  std::vector<at::Tensor> gradients(2);
  if (wanted[1]) {
    const at::Tensor by_pair = silu.dweights_N.index_select(0, order.row_of_pair_TK.flatten());
    gradients[1] = by_pair.view(order.row_of_pair_TK.sizes());
  }
  const at::Tensor drows_ND = pass.gate_up->multiply_back(silu.dgate_up, order.offsets, &pass.kept_gate_up, wanted[0]);
  if (wanted[0]) gradients[0] = sum_rows(drows_ND, {}, order.row_of_pair_TK);
  if (pass.x_TD.defined()) {
    const at::Tensor rows_ND = gather_rows(pass.x_TD, order.token_of_row_N);
    for (at::Tensor& own : pass.gate_up->gradients(rows_ND, silu.dgate_up, {}, order.offsets, pass.kept_gate_up)) {
      gradients.push_back(std::move(own));
    }
  }
  for (at::Tensor& own : of_down) gradients.push_back(std::move(own));
  return gradients;
}

}  // namespace

ExpertOrder sort_by_expert(const at::Tensor& chosen_TK, int64_t experts, bool fill) {
  const at::Tensor chosen = chosen_TK.to(at::kCPU).contiguous();
  const int64_t pairs = chosen.numel(), per_token = chosen.size(1);
  const int64_t* expert = chosen.const_data_ptr<int64_t>();
  ExpertOrder order;
  order.offsets.assign(experts + 1, 0);
  for (int64_t pair = 0; pair < pairs; ++pair) ++order.offsets[expert[pair] + 1];
  for (int64_t e = 0; e < experts; ++e) {
    order.offsets[e + 1] = order.offsets[e] + filled_rows(order.offsets[e + 1], pairs / experts, fill);
  }
  order.token_of_row_N = at::zeros({order.offsets[experts]}, at::TensorOptions().dtype(at::kInt));
  order.row_of_pair_TK = at::empty(chosen.sizes(), at::TensorOptions().dtype(at::kInt));
  auto* token_of_row = order.token_of_row_N.mutable_data_ptr<int32_t>();
  auto* row_of_pair = order.row_of_pair_TK.mutable_data_ptr<int32_t>();
  std::vector<int64_t> next(order.offsets.begin(), order.offsets.end() - 1);
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const int64_t row = next[expert[pair]]++;
    token_of_row[row] = static_cast<int32_t>(pair / per_token);
    row_of_pair[pair] = static_cast<int32_t>(row);
  }
  if (!chosen_TK.is_cpu()) {
    order.token_of_row_N = order.token_of_row_N.to(chosen_TK.device());
    order.row_of_pair_TK = order.row_of_pair_TK.to(chosen_TK.device());
  }
  return order;
}

at::Tensor expert_block(const at::Tensor& x_TD, const at::Tensor& weights_TK, const ExpertOrder& order,
                        const std::shared_ptr<ExpertProjection>& gate_up_proj,
                        const std::shared_ptr<ExpertProjection>& down_proj) {
  const std::shared_ptr<const ExpertSteps> gate_up = steps_of(gate_up_proj), down = steps_of(down_proj);
  std::vector<at::Tensor> inputs{x_TD, weights_TK};
  const std::vector<at::Tensor> at_gate_up = gate_up->trained(), at_down = down->trained();
  inputs.insert(inputs.end(), at_gate_up.begin(), at_gate_up.end());
  inputs.insert(inputs.end(), at_down.begin(), at_down.end());
  const bool keeps = any_gradient(inputs);
  const auto pass = std::make_shared<Pass>();
  at::Tensor out_TD;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor rows_ND = gather_rows(x_TD, order.token_of_row_N);
    const at::Tensor gate_up_N2I = gate_up->multiply(rows_ND, order.offsets, keeps ? &pass->kept_gate_up : nullptr);
    const at::Tensor inner_NI = silu_times_halves(gate_up_N2I);
    const at::Tensor outer_ND = down->multiply(inner_NI, order.offsets, keeps ? &pass->kept_down : nullptr);
    out_TD = sum_rows(outer_ND, weights_TK.contiguous(), order.row_of_pair_TK);
    if (!keeps) return out_TD;
    pass->order = order;
    pass->gate_up = gate_up;
    pass->down = down;
    if (!at_gate_up.empty()) pass->x_TD = x_TD.detach();
    pass->weights_TK = weights_TK.detach();
    pass->gate_up_N2I = gate_up_N2I;
  }
  return differentiable(out_TD, inputs, [pass](const at::Tensor& dout_TD, const std::vector<bool>& wanted) {
    return backward(*pass, dout_TD, wanted);
  });
}

}  // namespace masbak::models
