// The bodies of MatrixKernels, compiled once for each instruction set: the including file sets the target, defines
// MASBAK_ISA, the namespace, and MASBAK_PAIR_PRODUCTS where the target multiplies pairs of bfloat16 itself. Vectors are
// GCC's own, which the compiler cuts to what the target has.

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the target's are passed to inlined functions only

#include "models/kernels/cpu/numbers.inl"

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

// Vectors of 64 bytes: of sums, and of one depth step of a right factor.
template <typename T>
struct Lanes {
  typedef T Sums __attribute__((vector_size(64)));
  using Right = Sums;
  static constexpr int kCount = 64 / sizeof(T);
  static MASBAK_INLINE T left(const T* a) { return *a; }
  static MASBAK_INLINE T last(const T* a) { return *a; }
  static MASBAK_INLINE Sums multiply(Sums sums, T a, Right b) { return sums + a * b; }
};
// Two numbers of the depth in 32 bits.
template <>
struct Lanes<c10::BFloat16> {
  typedef float Sums __attribute__((vector_size(64)));
  typedef uint32_t Right __attribute__((vector_size(64)));
  static constexpr int kCount = 16;
  static MASBAK_INLINE uint32_t left(const c10::BFloat16* a) {
    uint32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return pair;
  }
  static MASBAK_INLINE uint32_t last(const c10::BFloat16* a) { return a->x; }
  static MASBAK_INLINE Sums multiply(Sums sums, uint32_t a, Right b) {
    const Right pairs = Right{} + a;
#ifdef MASBAK_PAIR_PRODUCTS
    return (Sums)_mm512_dpbf16_ps((__m512)sums, (__m512bh)pairs, (__m512bh)b);
#else
    const Right high = Right{} + 0xFFFF0000u;
    sums += (Sums)(pairs << 16) * (Sums)(b << 16);
    return sums + (Sums)(pairs & high) * (Sums)(b & high);
#endif
  }
};

constexpr int kRows = 6;  // rows whose sums stay in registers beside a panel's width

// `vectors`: how many of a panel's are computed.
template <int rows, int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void tile(int64_t columns, int64_t depth, Left<T> a, const T* panel, bool add, A* c, int64_t c_stride) {
  using L = Lanes<T>;
  using Sums = typename L::Sums;
  using Right = typename L::Right;
  constexpr int kVectors = static_cast<int>(kPanel) / L::kCount;
  Sums sums[rows][vectors] = {};
  const auto* right = reinterpret_cast<const Right*>(panel);
  const int64_t steps = depth / kDepthStep<T>;
  const T* left = a.data;
  for (int64_t p = 0; p < steps; ++p, right += kVectors, left += a.step) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const auto number = L::left(left + r * a.row);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] = L::multiply(sums[r][v], number, right[v]);
    }
  }
  if (steps * kDepthStep<T> < depth) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const auto number = L::last(left + r * a.row);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] = L::multiply(sums[r][v], number, right[v]);
    }
  }
  if (columns < vectors * L::kCount) {
    for (int r = 0; r < rows; ++r, c += c_stride) {
      A row[vectors * L::kCount];
      __builtin_memcpy(row, sums[r], sizeof row);
      for (int64_t i = 0; i < columns; ++i) c[i] = add ? c[i] + row[i] : row[i];
    }
    return;
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      A* to = c + r * c_stride + v * L::kCount;
      Sums sum = sums[r][v];
      if (add) {
        Sums before;
        __builtin_memcpy(&before, to, sizeof before);
        sum += before;
      }
      __builtin_memcpy(to, &sum, sizeof sum);
    }
  }
}

template <int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void tiles(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* panel, bool add, A* c,
                         int64_t c_stride) {
  for (; rows >= kRows; rows -= kRows, a.data += kRows * a.row, c += kRows * c_stride) {
    tile<kRows, vectors>(columns, depth, a, panel, add, c, c_stride);
  }
  switch (rows) {
    case 5: tile<5, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 4: tile<4, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 3: tile<3, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 2: tile<2, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 1: tile<1, vectors>(columns, depth, a, panel, add, c, c_stride); break;
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void multiply(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* packed, int64_t panel, bool add, A* c,
              int64_t c_stride) {
  constexpr int kVectors = static_cast<int>(kPanel) / Lanes<T>::kCount;
  for (int64_t begin = 0; begin < columns; begin += kPanel, packed += panel, c += kPanel) {
    const int64_t width = columns - begin < kPanel ? columns - begin : kPanel;
    // Low-rank factors are this narrow.
    if constexpr (kDepthStep<T> == 2) {
      if (width <= Lanes<T>::kCount) {
        tiles<1>(rows, width, depth, a, packed, add, c, c_stride);
        continue;
      }
      if (width <= 2 * Lanes<T>::kCount) {
        tiles<2>(rows, width, depth, a, packed, add, c, c_stride);
        continue;
      }
    }
    tiles<kVectors>(rows, width, depth, a, packed, add, c, c_stride);
  }
}

// A number of `to` at a time, so that the compiler makes vectors of them.
template <typename T, typename A = typename Accumulate<T>::type>
void round_to(int64_t rows, int64_t columns, const A* c, int64_t c_stride, A scale, bool add, T* to, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r, c += c_stride, to += stride) {
    if (add) {
      for (int64_t i = 0; i < columns; ++i) store(to[i], load(to[i]) + scale * c[i]);
    } else {
      for (int64_t i = 0; i < columns; ++i) store(to[i], scale * c[i]);
    }
  }
}

// One depth step of a panel, b(k, n) = b[k * by_depth + n * by_column]: `width` columns and `depth` numbers are there.
template <typename T>
MASBAK_INLINE void pack_step(int64_t width, int64_t depth, const T* b, int64_t by_depth, int64_t by_column, T* to) {
  if (width < kPanel) __builtin_memset(static_cast<void*>(to), 0, kPanel * kDepthStep<T> * sizeof(T));
  if constexpr (kDepthStep<T> == 1) {
    for (int64_t n = 0; n < width; ++n) to[n] = b[n * by_column];
  } else {
    auto* pairs = reinterpret_cast<uint32_t*>(to);
    if (depth < 2) {
      for (int64_t n = 0; n < width; ++n) pairs[n] = b[n * by_column].x;
    } else if (by_depth == 1) {
      for (int64_t n = 0; n < width; ++n) __builtin_memcpy(pairs + n, b + n * by_column, sizeof(uint32_t));
    } else {
      const T* next = b + by_depth;
      for (int64_t n = 0; n < width; ++n) {
        pairs[n] = b[n * by_column].x | static_cast<uint32_t>(next[n * by_column].x) << 16;
      }
    }
  }
}

template <typename T>
MASBAK_INLINE void pack_panels(int64_t depth, int64_t columns, const T* b, int64_t by_depth, int64_t by_column, T* to) {
  for (int64_t begin = 0; begin < columns; begin += kPanel) {
    const int64_t width = columns - begin < kPanel ? columns - begin : kPanel;
    for (int64_t k = 0; k < depth; k += kDepthStep<T>, to += kPanel * kDepthStep<T>) {
      const T* from = b + k * by_depth + begin * by_column;
      if (width == kPanel) {  // a constant for the compiler
        pack_step(kPanel, depth - k, from, by_depth, by_column, to);
      } else {
        pack_step(width, depth - k, from, by_depth, by_column, to);
      }
    }
  }
}

template <typename T>
void pack(int64_t depth, int64_t columns, const T* b, int64_t stride, T* to) {
  pack_panels(depth, columns, b, stride, 1, to);
}

template <typename T>
void pack_transposed(int64_t depth, int64_t columns, const T* b, int64_t stride, T* to) {
  pack_panels(depth, columns, b, 1, stride, to);
}

template <typename T>
void interleave(int64_t size, const T* __restrict first, const T* __restrict second, T* __restrict to) {
  if constexpr (kDepthStep<T> == 2) {
    auto* pairs = reinterpret_cast<uint32_t*>(to);
    for (int64_t i = 0; i < size; ++i) pairs[i] = first[i].x | static_cast<uint32_t>(second[i].x) << 16;
  } else {
    for (int64_t i = 0; i < size; ++i) to[2 * i] = first[i], to[2 * i + 1] = second[i];
  }
}

}  // namespace

template <typename T>
const MatrixKernels<T>& matrices() {
  static constexpr MatrixKernels<T> kTable = {&pack<T>, &pack_transposed<T>, &multiply<T>, &round_to<T>,
                                              &interleave<T>};
  return kTable;
}
template const MatrixKernels<float>& matrices<float>();
template const MatrixKernels<double>& matrices<double>();
template const MatrixKernels<c10::BFloat16>& matrices<c10::BFloat16>();

}  // namespace masbak::models::kernels::MASBAK_ISA

