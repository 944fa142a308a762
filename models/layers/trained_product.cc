#include "models/layers/trained_product.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "models/layers/differentiable.h"
#include "models/layers/grouped_linear.h"
#include "models/layers/matrix_product.h"

namespace masbak::models {
namespace {

// Of scale * x W^T.
std::vector<at::Tensor> factor_gradients(const at::Tensor& dy_TO, const at::Tensor& x_TI, const at::Tensor& w_OI,
                                         double scale, at::ScalarType w_type, bool wants_x, bool wants_w) {
  std::vector<at::Tensor> gradients(2);
  const std::vector<int64_t> all{0, x_TI.size(0)};
  if (wants_x) {
    gradients[0] = grouped_product(dy_TO, w_OI.t().unsqueeze(0), all);
    if (scale != 1) gradients[0].mul_(scale);
  }
  if (wants_w) {
    gradients[1] = grouped_outer(dy_TO, x_TI, all).squeeze(0).to(w_type);
    if (scale != 1) gradients[1].mul_(scale);
  }
  return gradients;
}

}  // namespace

at::Tensor trained_product(const at::Tensor& x_TI, const at::Tensor& w_OI) {
  at::Tensor w, y_TO;
  {
    const at::NoGradGuard no_grad;
    w = w_OI.detach().to(x_TI.scalar_type());
    y_TO = at::empty({x_TI.size(0), w.size(0)}, x_TI.options());
    multiply_into(y_TO, x_TI.detach(), w);
  }
  const auto back = [x = x_TI.detach(), w, type = w_OI.scalar_type()](const at::Tensor& dy_TO,
                                                                      const std::vector<bool>& wanted) {
    return factor_gradients(dy_TO, x, w, 1, type, wanted[0], wanted[1]);
  };
  return differentiable(y_TO, {x_TI, w_OI}, back);
}

at::Tensor add_trained_product(const at::Tensor& y_TO, const at::Tensor& h_TR, const at::Tensor& b_OR, double scale) {
  at::Tensor b, sum_TO;
  {
    const at::NoGradGuard no_grad;
    b = b_OR.detach().to(h_TR.scalar_type());
    sum_TO = y_TO.detach();
    if (sum_TO.scalar_type() == h_TR.scalar_type()) {
      add_product_into(sum_TO, h_TR.detach(), b, scale);
    } else {
      at::Tensor product_TO = at::empty(sum_TO.sizes(), h_TR.options());
      multiply_into(product_TO, h_TR.detach(), b);
      sum_TO = sum_TO.add(product_TO, scale);
    }
  }
  const auto back = [h = h_TR.detach(), b, scale, type = b_OR.scalar_type()](const at::Tensor& dy_TO,
                                                                             const std::vector<bool>& wanted) {
    std::vector<at::Tensor> gradients =
        factor_gradients(dy_TO.to(h.scalar_type()), h, b, scale, type, wanted[1], wanted[2]);
    gradients.insert(gradients.begin(), dy_TO);
    return gradients;
  };
  return differentiable(sum_TO, {y_TO, h_TR, b_OR}, back);
}

}  // namespace masbak::models
