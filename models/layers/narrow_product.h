// Products with a factor of few rows or columns, as low-rank adapters are made of, through the matrix kernels.
//
// LibTorch's way is oneDNN, which keeps machine code and half a megabyte of notes for each size of a product: rows of
// experts have dozens of sizes, and a LoRA on them six products each. Here a size costs nothing.
//
// Shape letters: T rows, I input size, O output size.
#pragma once

#include <ATen/core/Tensor.h>

namespace masbak::models {

// Whether narrow_product takes x and w: bfloat16 on the CPU, I or O at most 64, x in rows and w in rows or columns.
bool is_narrow(const at::Tensor& x_TI, const at::Tensor& w_OI);
// y = scale * x W^T, or += with `add`, summed in float32 and rounded once. Threads share the rows where several are
// free; the result does not depend on how many.
void narrow_product(const at::Tensor& x_TI, const at::Tensor& w_OI, double scale, bool add, at::Tensor& y_TO);

// Whether narrow_outer takes y and x: bfloat16 on the CPU, in rows, one of them of at most 64 columns.
bool is_narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI);
// Y^T X [O, I] in float32.
at::Tensor narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI);

}  // namespace masbak::models
