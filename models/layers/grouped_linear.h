// One matrix product for each group of rows: what experts are made of.
//
// Shape letters: T rows sorted by group, I input size, O output size, E groups.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace masbak::models {

// y[t] = w[e] x[t] for the rows t in [offsets[e], offsets[e+1]). offsets has E + 1 entries, from 0 to T.
// Differentiable in x and in w, each only if it asks for a gradient; groups may be empty. The result
// does not depend on the number of threads beyond what at::mm itself does.
at::Tensor grouped_linear(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets);

}  // namespace masbak::models
