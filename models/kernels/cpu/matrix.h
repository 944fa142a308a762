// Products of matrices of a few hundred rows and columns, as attention and low-rank updates are made of, in versions
// (AVX-512 with the dot product of bfloat16 pairs, AVX-512, AVX2, portable) from one source, chosen at run time.
// Single-threaded: the caller divides the work. No LibTorch but c10's bfloat16.
//
// The right factor is packed first, into panels of kPanel columns: step by step along the depth, kPanel columns side by
// side. bfloat16 is packed in pairs of two numbers of the depth where pairs are multiplied, else as float; an odd depth
// is filled up with zeros. Sums are float for float and bfloat16, double for double, in the order of the depth, so
// that results do not depend on how the caller divides rows and columns.
#pragma once

#include <cstdint>

#include "models/kernels/cpu/rows.h"

namespace masbak::models::kernels {

constexpr int64_t kPanel = 64;

// Numbers of the depth that lie side by side in a left factor.
template <typename T>
constexpr int64_t kDepthStep = 1;
template <>
inline constexpr int64_t kDepthStep<c10::BFloat16> = 2;

// In numbers of T; for bfloat16 with room for floats.
template <typename T>
constexpr int64_t panel_size(int64_t depth) {
  return (depth + kDepthStep<T> - 1) / kDepthStep<T> * kDepthStep<T> * kPanel *
         static_cast<int64_t>(sizeof(typename Accumulate<T>::type) / sizeof(T));
}
template <typename T>
constexpr int64_t packed_size(int64_t depth, int64_t columns) {
  return (columns + kPanel - 1) / kPanel * panel_size<T>(depth);
}

// Where the numbers of a left factor lie: row r begins at r * row, its depth step p (kDepthStep numbers side by side)
// of it at p * step behind.
template <typename T>
struct Left {
  const T* data;
  int64_t row;
  int64_t step = kDepthStep<T>;
};

template <typename T>
struct MatrixKernels {
  using A = typename Accumulate<T>::type;

  // Packs b[depth, columns], rows of the depth `stride` numbers apart. `to`, 64-byte aligned, takes packed_size.
  void (*pack)(int64_t depth, int64_t columns, const T* b, int64_t stride, T* to);
  // The same of a matrix that lies transposed, [columns, depth].
  void (*pack_transposed)(int64_t depth, int64_t columns, const T* b, int64_t stride, T* to);
  // c[rows, columns] = a[rows, depth] b, or += with `add`. b's panels are `panel` apart: panel_size of the depth
  // that it was packed with, of which `depth` may be the first part.
  void (*multiply)(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* packed, int64_t panel, bool add,
                   A* c, int64_t c_stride);
  // to[rows, columns] = scale * (c + bias), or += with `add`, rounded once; bias[columns] may be null.
  void (*round_to)(int64_t rows, int64_t columns, const A* c, int64_t c_stride, const T* bias, A scale, bool add, T* to,
                   int64_t stride);
  // Two rows as pairs: to[2 i] = first[i], to[2 i + 1] = second[i].
  void (*interleave)(int64_t size, const T* first, const T* second, T* to);
  // Of bfloat16 that is packed as float, else null: a[rows, depth] as floats, `stride` apart. With them as left factor
  // and the same packed one, the product is MatrixKernels<float>::multiply (whose panels are panel / 2 apart).
  void (*widen)(int64_t rows, int64_t depth, const T* a, int64_t a_stride, float* to, int64_t stride);
};

// Whether the processor has the dot product of bfloat16 pairs (Isa::kAvx512Bf16), and whether it is worth using: some
// take it at twice the rate of floats, Intel's Emerald Rapids at half of it, since it has tile units for such products
// (which virtual machines may hide). Both are tried once, in less than a millisecond.
bool has_pair_products();
bool pairs_are_faster();
template <typename T>
const MatrixKernels<T>& matrix_kernels(Isa isa = best_isa(), bool pairs = pairs_are_faster());

}  // namespace masbak::models::kernels
