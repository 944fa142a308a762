// Routed experts between dispatch and combination, as one autograd node.
//
// Shape letters: T tokens, D hidden size, I inner size, E experts, K experts a token, N rows sorted by expert.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/layers/matrix_product.h"
#include "models/layers/projection.h"

namespace masbak::models {

// The tokens of each expert side by side. Stable: an expert's rows are in the order of the tokens. Behind
// them there may be a few rows that belong to no pair: they hold the first token, nothing reads what becomes of
// them, and they give no gradient.
struct ExpertOrder {
  std::vector<int64_t> offsets;  // E + 1
  at::Tensor token_of_row_N;     // int32, N >= T * K
  at::Tensor row_of_pair_TK;     // int32, the row of each token's k-th expert
};
// Each expert's rows are filled up to a size that filled_size knows, in steps of kExpertRowStep from that mean on;
// without `fill`, where sizes cost nothing (matrix_product.h), only the few that are still oneDNN's.
constexpr int64_t kExpertRowStep = 8;
ExpertOrder sort_by_expert(const at::Tensor& chosen_TK, int64_t experts, bool fill = !sizes_are_free());

// out[t] = sum over k of weights[t, k] * down(silu(gate) * up), where gate and up are the halves of gate_up of t's k-th
// expert. gate_up [E, 2 I, D], down [E, D, I]; weights float32 (float64 for float64 tokens). Summed in the order of k:
// deterministic. Differentiable in x, weights and what trains in the projections.
//
// Of each row it keeps gate and up (2 I numbers) and what the projections keep, of x nothing of its own: the rows and
// the product of the halves are made again, and the result of down is not needed, since
// d/dw <dout, w down(h)> = <down^T dout, h>.
at::Tensor expert_block(const at::Tensor& x_TD, const at::Tensor& weights_TK, const ExpertOrder& order,
                        const std::shared_ptr<ExpertProjection>& gate_up,
                        const std::shared_ptr<ExpertProjection>& down);

}  // namespace masbak::models
