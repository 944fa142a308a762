// Matrix products with a gradient to both factors, through the kernels of matrix_product.h where these take them:
// autograd's own would multiply bfloat16 by LibTorch's way, forward and back.
//
// Shape letters: T rows, I input size, O output size, R rank.
#pragma once

#include <ATen/core/Tensor.h>

namespace masbak::models {

// x W^T, w cast to x's type; w's gradient is in w's own.
at::Tensor trained_product(const at::Tensor& x_TI, const at::Tensor& w_OI);
// y + scale * h B^T, b cast to h's type, in y's place where the types agree: nothing else may need y's numbers.
at::Tensor add_trained_product(const at::Tensor& y_TO, const at::Tensor& h_TR, const at::Tensor& b_OR, double scale);

}  // namespace masbak::models
