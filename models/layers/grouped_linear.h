// One matrix product for each group of rows: what experts and their backward passes are made of. Without autograd.
//
// Shape letters: T rows sorted by group, I input size, O output size, E groups, R rank. Rows [offsets[e], offsets[e +
// 1]) belong to group e; offsets has E + 1 entries, from 0 to T. Groups may be empty. Results do not depend on the
// number of threads beyond what at::mm itself does.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace masbak::models {

// y[t] = w[e] x[t]; w may be any view.
at::Tensor grouped_product(const at::Tensor& x_TI, const at::Tensor& w_EOI, const std::vector<int64_t>& offsets);
// y[t] += scale * w[e] x[t]
void add_grouped_product(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_EOI, double scale,
                         const std::vector<int64_t>& offsets);
// With a change of low rank to every w: y[t] = (w[e] + scale * b[e] a[e]) x[t], where what enters b[e] is
// h[t] = scale * a[e] x[t] in x's type. The bias, where there is one, is added to all. In one pass where
// matrix_product.h takes the products.
struct ChangedProduct {
  at::Tensor y_TO, h_TR;
};
ChangedProduct grouped_changed_product(const at::Tensor& x_TI, const at::Tensor& w_EOI, const at::Tensor& a_ERI,
                                       const at::Tensor& b_EOR, double scale, const std::vector<int64_t>& offsets,
                                       const at::Tensor& bias_O = {});
// g[e] = sum over the group's rows of y[t] x[t]^T: [E, O, I], zero for an empty group. In float32 if narrow_outer does
// it, else in x's type.
at::Tensor grouped_outer(const at::Tensor& y_TO, const at::Tensor& x_TI, const std::vector<int64_t>& offsets);

}  // namespace masbak::models
