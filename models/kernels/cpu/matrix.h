// Products of matrices of a few hundred rows and columns, as attention and low-rank updates are made of, in versions
// (AVX-512, AVX2, portable; with AVX-512 bfloat16 in several ways) from one source, chosen at run time.
// Single-threaded: the caller divides the work. No LibTorch but c10's bfloat16.
//
// The right factor is packed first, into panels of kPanel columns: step by step along the depth, all of a panel's
// columns side by side, or, where registers are fewer, those of one strip of it after another (matrix.inl). bfloat16
// is packed as it is multiplied (BFloat16Way); an odd depth is filled up with zeros. Sums are float for float and
// bfloat16, double for double, in the order of the depth, so that results do not depend on how the caller divides rows
// and columns.
#pragma once

#include <cstdint>

#include "models/kernels/cpu/rows.h"

namespace masbak::models::kernels {

constexpr int64_t kPanel = 64;

// Where bfloat16 is multiplied in half precision each part of the depth of so many numbers has a scale of its own.
constexpr int64_t kScaledDepth = 256;

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
  // Of bfloat16 that is packed as another type, else null: a left factor in rows, prepared once for several products.
  // prepared_size: how many floats the depth takes; of a multiple of kScaledDepth, also where the rest of it begins.
  int64_t (*prepared_size)(int64_t depth) = nullptr;
  void (*prepare)(int64_t rows, int64_t depth, const T* a, int64_t a_stride, float* to, int64_t stride) = nullptr;
  // As multiply; a: of rows `a_stride` floats apart.
  void (*multiply_prepared)(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride,
                            const T* packed, int64_t panel, bool add, A* c, int64_t c_stride) = nullptr;
  int64_t packed_bytes = sizeof(T);  // that a number of a right factor takes
};

// How bfloat16 is multiplied: as floats; by the dot product of pairs (AVX-512 BF16); or in half precision (AVX-512
// FP16), where few products at a time are summed as halves and these sums as floats. Halves take half the time of
// floats. Pairs do so on some processors, and twice that on Intel's Emerald Rapids, since it has tile units for such
// products (which virtual machines may hide).
enum class BFloat16Way { kFloats, kPairs, kHalves };
bool supported(BFloat16Way way);  // by this processor
// By the processor's kind, the same in every run: halves where there are any, else pairs, whose dot product a processor
// without half precision has at full rate. MASBAK_CPU below avx512_fp16 leaves halves out.
BFloat16Way fastest_way();
BFloat16Way fastest_exact_way();  // of those that sum in floats
// `way`: from Isa::kAvx512Bf16 on.
template <typename T>
const MatrixKernels<T>& matrix_kernels(Isa isa = best_isa(), BFloat16Way way = fastest_way());

}  // namespace masbak::models::kernels
