// Tensors as the kernels' arguments, and how far results are from those in double precision.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/models/kernels/cuda/host_grid.h"

namespace masbak::models::cuda {

struct Precision {
  at::ScalarType dtype;
  Type type;
  double tolerance;  // of numbers about 1
};
inline constexpr Precision kPrecisions[] = {
    {at::kFloat, Type::kFloat32, 1e-5}, {at::kHalf, Type::kFloat16, 2e-3}, {at::kBFloat16, Type::kBFloat16, 1.6e-2}};

// [rows, size] with `gap` numbers between the rows, which are NaN, and the first row `offset` numbers into its memory.
inline at::Tensor rows_with_gaps(const at::Tensor& values, at::ScalarType dtype, int64_t gap, int64_t offset = 0) {
  const int64_t rows = values.size(0), size = values.size(1);
  at::Tensor memory = at::full({offset + rows * (size + gap)}, std::numeric_limits<double>::quiet_NaN(), dtype);
  at::Tensor view = memory.as_strided({rows, size}, {size + gap, 1}, offset);
  view.copy_(values);
  return view;
}

inline double difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

inline bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.nbytes() == b.nbytes() && std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// A result that the kernel must write whole.
inline at::Tensor unwritten(at::IntArrayRef sizes, at::ScalarType dtype) {
  if (dtype == at::kInt) return at::full(sizes, -77, dtype);
  return at::full(sizes, std::numeric_limits<double>::quiet_NaN(), dtype);
}

}  // namespace masbak::models::cuda
