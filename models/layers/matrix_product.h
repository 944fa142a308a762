// Products of bfloat16 on the CPU through the matrix kernels.
//
// LibTorch's way is oneDNN, which keeps machine code and half a megabyte of notes for each size of a product: rows of
// experts have dozens of sizes, and a LoRA on them six products each. Here a size costs nothing. oneDNN also takes the
// dot product of bfloat16 pairs wherever there is one, where floats can be twice as fast and halves four times
// (kernels::BFloat16Way). Below AVX-512 LibTorch has plain loops instead, at a tenth of what a processor reaches with
// floats, or, where w lies in columns, at a hundredth.
//
// Shape letters: T rows, I input size, O output size, R rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace masbak::models {

// Whether products of many rows come here at all: on a processor with AVX2 and without tile units (AMX, for which there
// is oneDNN). Then a size costs nothing, and rows need not be filled up to one that is known (filled_size.h).
bool sizes_are_free();
// Rows from which on it is worth packing a wide W: few where LibTorch has no fast way of its own, below AVX-512.
int64_t fewest_product_rows();
// Rows from which on a size costs nothing, where sizes_are_free(): fewer are oneDNN's, with AVX-512.
int64_t fewest_free_rows();

// Whether matrix_product takes x and w: bfloat16 on the CPU, x in rows and w in rows or columns; and I or O at most 64,
// or enough rows where sizes_are_free().
bool takes_product(const at::Tensor& x_TI, const at::Tensor& w_OI);
// y = x W^T + h B^T + bias; without h and B or the bias where they are undefined. b [O, R] in rows or columns, h [T, R]
// in rows.
struct ProductTerms {
  at::Tensor y_TO, x_TI, w_OI, h_TR = {}, b_OR = {}, bias_O = {};
};
bool takes_terms(const ProductTerms& terms);
// y = scale * (x W^T + h B^T + bias) of each, or += with `add`, summed in float32 (where that is the fastest way, few
// products at a time in half precision) and rounded once; y in rows, x and w
// such that takes_product. Threads share the work where several are free; results do not depend on how many. Knows
// nothing of gradients.
void matrix_products(const std::vector<ProductTerms>& terms, double scale, bool add);
void matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI, double scale, bool add, at::Tensor& y_TO);
at::Tensor matrix_product(const at::Tensor& x_TI, const at::Tensor& w_OI);  // x W^T
// y = x W^T, or += scale * x W^T, of any types: through matrix_product where it takes them, else through ATen. Knows
// nothing of gradients.
void multiply_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI);
void add_product_into(at::Tensor& y_TO, const at::Tensor& x_TI, const at::Tensor& w_OI, double scale = 1);

// Whether narrow_outer takes y and x: bfloat16 on the CPU, in rows, one of them of at most 64 columns.
bool is_narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI);
// Y^T X [O, I] in float32, never in half precision: the gradient of a factor.
at::Tensor narrow_outer(const at::Tensor& y_TO, const at::Tensor& x_TI);

}  // namespace masbak::models
