// The bodies of MatrixKernels, compiled once for each instruction set: the including file sets the target, defines
// MASBAK_ISA, the namespace, what numbers.inl asks for, and MASBAK_PAIR_PRODUCTS where pairs of bfloat16 are multiplied
// or MASBAK_HALF_PRODUCTS where halves are. Vectors are GCC's own, which the compiler cuts to what the target has.

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the target's are passed to inlined functions only

#include "models/kernels/cpu/numbers.inl"
#ifdef MASBAK_HALF_PRODUCTS
#include "models/kernels/cpu/halves.inl"
#else
#include "models/kernels/cpu/floats.inl"
#endif

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

// Vectors of sums, and of one depth step of a right factor.
template <typename T>
struct Lanes {
  typedef T Sums __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
  using Right = Sums;
  static constexpr int kCount = MASBAK_VECTOR_BYTES / sizeof(T);
  static MASBAK_INLINE T left(const T* a) { return *a; }
  static MASBAK_INLINE T last(const T* a) { return *a; }
  static MASBAK_INLINE Sums multiply(Sums sums, T a, Right b) { return sums + a * b; }
};
#ifdef MASBAK_PAIR_PRODUCTS
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
    return add_pair_products(sums, pairs, b);
  }
};
#endif

#ifdef MASBAK_HALF_PRODUCTS
template <>
struct Lanes<Half> {
  static constexpr int kCount = kHalfLanes;
};
#endif

// Columns that lie side by side in a panel, whose sums stay in registers for a few rows: all of a panel's where there
// are 32 registers of 64 bytes. Else a panel is several strips, one behind the other.
constexpr int kStripVectors = MASBAK_VECTOR_BYTES == 64 ? 4 : 2;
template <typename N>
constexpr int64_t kStrip = kStripVectors * Lanes<N>::kCount < kPanel ? kStripVectors * Lanes<N>::kCount : kPanel;

// Rows whose sums stay in registers beside that many vectors; one product waits for four before it.
template <int vectors>
constexpr int kRows = 2 * vectors <= kStripVectors ? 12 : 6;

// `vectors`: how many of a strip's are computed.
template <int rows, int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void tile(int64_t columns, int64_t depth, Left<T> a, const T* strip, bool add, A* c, int64_t c_stride) {
  using L = Lanes<T>;
  using Sums = typename L::Sums;
  using Right = typename L::Right;
  constexpr int kVectors = static_cast<int>(kStrip<T>) / L::kCount;
  Sums sums[rows][vectors];
  clear(sums);
  const auto* right = reinterpret_cast<const Right*>(strip);
  const int64_t steps = depth / kDepthStep<T>;
  const T* left = a.data;
  for (int64_t p = 0; p < steps; ++p, right += kVectors, left += a.step) {
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const auto number = L::left(left + r * a.row);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] = L::multiply(sums[r][v], number, right[v]);
    }
  }
  if (steps * kDepthStep<T> < depth) {
#pragma GCC unroll 12
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
#pragma GCC unroll 12
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

template <typename T>
MASBAK_INLINE Left<T> below(Left<T> a, int64_t rows) {
  a.data += rows * a.row;
  return a;
}

template <int vectors, typename Factor, typename N, typename A>
MASBAK_INLINE void tiles(int64_t rows, int64_t columns, int64_t depth, Factor a, const N* strip, bool add, A* c,
                         int64_t c_stride) {
  constexpr int kMost = kRows<vectors>;
  for (; rows >= kMost; rows -= kMost, a = below(a, kMost), c += kMost * c_stride) {
    tile<kMost, vectors>(columns, depth, a, strip, add, c, c_stride);
  }
  if constexpr (kMost > 6) {
    if (rows >= 6) {
      tile<6, vectors>(columns, depth, a, strip, add, c, c_stride);
      rows -= 6, a = below(a, 6), c += 6 * c_stride;
    }
  }
  switch (rows) {
    case 5: tile<5, vectors>(columns, depth, a, strip, add, c, c_stride); break;
    case 4: tile<4, vectors>(columns, depth, a, strip, add, c, c_stride); break;
    case 3: tile<3, vectors>(columns, depth, a, strip, add, c, c_stride); break;
    case 2: tile<2, vectors>(columns, depth, a, strip, add, c, c_stride); break;
    case 1: tile<1, vectors>(columns, depth, a, strip, add, c, c_stride); break;
  }
}

// One strip. The depth is cut so that its part stays in the first cache, or nearly, while the rows pass over it: the
// sums go on from what they were, in the same order.
template <int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void strip_product(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* strip, bool add,
                                 A* c, int64_t c_stride) {
  // Pairs of bfloat16 take more: the second cache brings it in time, and sums are read and written less often.
  constexpr int64_t kBytes = sizeof(T) == 2 ? 98304 : kStrip<T> < kPanel ? 16384 : 49152;
  constexpr int64_t kBlock = kBytes / (kStrip<T> * static_cast<int64_t>(sizeof(T)));
  int64_t k = 0;
  do {  // once without a depth too: the sums are zero then
    const int64_t count = depth - k < kBlock ? depth - k : kBlock;
    const Left<T> left{a.data + k / kDepthStep<T> * a.step, a.row, a.step};
    tiles<vectors>(rows, columns, count, left, strip + k * kStrip<T>, add || k > 0, c, c_stride);
    k += kBlock;
  } while (k < depth);
}

#ifdef MASBAK_HALF_PRODUCTS
template <int vectors>
MASBAK_INLINE void strip_product(int64_t rows, int64_t columns, int64_t depth, HalfLeft a, const Half* strip, bool add,
                                 float* c, int64_t c_stride) {
  if (depth == 0 && !add) {
    for (int64_t r = 0; r < rows; ++r) __builtin_memset(c + r * c_stride, 0, columns * sizeof *c);
  }
  for (int64_t k = 0; k < depth; k += kScaledDepth) {
    const int64_t count = depth - k < kScaledDepth ? depth - k : kScaledDepth;
    tiles<vectors>(rows, columns, count, a, strip + kPanelHead, add || k > 0, c, c_stride);
    a.data += converted_size(kScaledDepth), a.scales += converted_size(kScaledDepth);
    strip += kPanelHead + kScaledDepth * kPanel;
  }
}
#endif

// N: what the right factor is packed as.
template <typename Factor, typename N, typename A>
MASBAK_INLINE void product(int64_t rows, int64_t columns, int64_t depth, Factor a, const N* packed, int64_t panel,
                           bool add, A* c, int64_t c_stride) {
  constexpr int kCount = Lanes<N>::kCount, kVectors = static_cast<int>(kStrip<N>) / kCount;
  for (int64_t begin = 0; begin < columns; begin += kPanel, packed += panel) {
    const int64_t end = columns - begin < kPanel ? columns : begin + kPanel;
    const N* strip = packed;
    for (int64_t column = begin; column < end; column += kStrip<N>, strip += panel * kStrip<N> / kPanel) {
      const int64_t width = end - column < kStrip<N> ? end - column : kStrip<N>;
      // Low-rank factors are this narrow.
      if constexpr (kVectors > 1) {
        if (width <= kCount) {
          strip_product<1>(rows, width, depth, a, strip, add, c + column, c_stride);
          continue;
        }
      }
      if constexpr (kVectors > 2) {
        if (width <= 2 * kCount) {
          strip_product<2>(rows, width, depth, a, strip, add, c + column, c_stride);
          continue;
        }
      }
      strip_product<kVectors>(rows, width, depth, a, strip, add, c + column, c_stride);
    }
  }
}

// What a right factor is packed as.
template <typename T>
struct Packed {
  using Number = T;
};
#if defined(MASBAK_HALF_PRODUCTS)
template <>
struct Packed<c10::BFloat16> {
  using Number = Half;
};
#elif !defined(MASBAK_PAIR_PRODUCTS)
template <>
struct Packed<c10::BFloat16> {
  using Number = float;
};
#endif
// Whether that is another type, which left factors are prepared as too.
template <typename T>
constexpr bool kConverts = !__is_same(typename Packed<T>::Number, T);
template <typename T>
constexpr int64_t kPackedStrip = kStrip<typename Packed<T>::Number>;
template <typename T>
constexpr bool kHalves = kConverts<T> && sizeof(typename Packed<T>::Number) == 2;

// Where number k of the depth begins in a strip.
template <typename N>
constexpr int64_t place_in_strip(int64_t k) {
  return k * kStrip<N>;
}
#ifdef MASBAK_HALF_PRODUCTS
template <>
constexpr int64_t place_in_strip<Half>(int64_t k) {
  return k * kPanel + k / kScaledDepth * kPanelHead;
}
#endif

template <typename T, typename A = typename Accumulate<T>::type>
void multiply(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* packed, int64_t panel, bool add, A* c,
              int64_t c_stride) {
  if constexpr (kConverts<T>) {
    using N = typename Packed<T>::Number;
    alignas(64) float room[kLeftRoom];
    for (int64_t r = 0; r < rows; r += kLeftRows) {
      const int64_t row_count = rows - r < kLeftRows ? rows - r : kLeftRows;
      int64_t k = 0;
      do {
        const int64_t count = depth - k < kLeftDepth ? depth - k : kLeftDepth;
        const Left<T> block{a.data + r * a.row + k / kDepthStep<T> * a.step, a.row, a.step};
        product(row_count, columns, count, left_block(row_count, count, block, room),
                reinterpret_cast<const N*>(packed) + place_in_strip<N>(k), panel * sizeof(T) / sizeof(N), add || k > 0,
                c + r * c_stride, c_stride);
        k += kLeftDepth;
      } while (k < depth);
    }
  } else {
    product(rows, columns, depth, a, packed, panel, add, c, c_stride);
  }
}

// A left factor in rows, converted once for several products.
template <typename T>
struct Prepared {
  static constexpr int64_t size(int64_t depth) { return converted_size(depth); }
  static void prepare(int64_t rows, int64_t depth, const T* a, int64_t a_stride, float* to, int64_t stride) {
    for (int64_t r = 0; r < rows; ++r, a += a_stride, to += stride) convert_row(depth, a, to);
  }
  static void multiply(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride, const T* packed,
                       int64_t panel, bool add, float* c, int64_t c_stride) {
    using N = typename Packed<T>::Number;
    product(rows, columns, depth, converted_rows(a, a_stride), reinterpret_cast<const N*>(packed),
            panel * sizeof(T) / sizeof(N), add, c, c_stride);
  }
};

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA

#include "models/kernels/cpu/packing.inl"

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

template <typename T, typename A = typename Accumulate<T>::type>
void round_to(int64_t rows, int64_t columns, const A* c, int64_t c_stride, const T* bias, A scale, bool add, T* to,
              int64_t stride) {
  for (int64_t r = 0; r < rows; ++r, c += c_stride, to += stride) {
    for_wide<A>(columns, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
      Wide<A> scaled = load_some(c + i, count);
      if (bias != nullptr) scaled += load_some(bias + i, count);
      scaled *= scale;
      store_some(to + i, add ? load_some(to + i, count) + scaled : scaled, count);
    });
  }
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
  static constexpr MatrixKernels<T> kTable = [] {
    MatrixKernels<T> table = {&pack<T>, &pack_transposed<T>, &multiply<T>, &round_to<T>, &interleave<T>};
    if constexpr (kConverts<T>) {
      table.prepared_size = &Prepared<T>::size;
      table.prepare = &Prepared<T>::prepare;
      table.multiply_prepared = &Prepared<T>::multiply;
      table.packed_bytes = sizeof(typename Packed<T>::Number);
    }
    return table;
  }();
  return kTable;
}
template const MatrixKernels<float>& matrices<float>();
template const MatrixKernels<double>& matrices<double>();
template const MatrixKernels<c10::BFloat16>& matrices<c10::BFloat16>();

}  // namespace masbak::models::kernels::MASBAK_ISA
