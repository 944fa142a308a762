// The bodies of MatrixKernels, compiled once for each instruction set: the including file sets the target, defines
// MASBAK_ISA, the namespace, what numbers.inl asks for, and MASBAK_PAIR_PRODUCTS where the target multiplies pairs of
// bfloat16 itself. Vectors are GCC's own, which the compiler cuts to what the target has.

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
    return (Sums)_mm512_dpbf16_ps((__m512)sums, (__m512bh)pairs, (__m512bh)b);
  }
};
#endif

// Rows whose sums stay in registers beside that many vectors of a panel's width; one product waits for four before it.
template <int vectors>
constexpr int kRows = vectors <= 2 ? 12 : 6;

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

template <int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void tiles(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* panel, bool add, A* c,
                         int64_t c_stride) {
  constexpr int kMost = kRows<vectors>;
  for (; rows >= kMost; rows -= kMost, a.data += kMost * a.row, c += kMost * c_stride) {
    tile<kMost, vectors>(columns, depth, a, panel, add, c, c_stride);
  }
  if constexpr (kMost > 6) {
    if (rows >= 6) {
      tile<6, vectors>(columns, depth, a, panel, add, c, c_stride);
      rows -= 6, a.data += 6 * a.row, c += 6 * c_stride;
    }
  }
  switch (rows) {
    case 5: tile<5, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 4: tile<4, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 3: tile<3, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 2: tile<2, vectors>(columns, depth, a, panel, add, c, c_stride); break;
    case 1: tile<1, vectors>(columns, depth, a, panel, add, c, c_stride); break;
  }
}

// One panel's width. The depth is cut so that a panel's part (48 KB) stays in the first cache, or nearly, while the
// rows pass over it: the sums go on from what they were, in the same order.
template <int vectors, typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void panel_product(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* panel, bool add,
                                 A* c, int64_t c_stride) {
  constexpr int64_t kBlock = 49152 / (kPanel * static_cast<int64_t>(sizeof(T)));
  int64_t k = 0;
  do {  // once without a depth too: the sums are zero then
    const int64_t count = depth - k < kBlock ? depth - k : kBlock;
    const Left<T> left{a.data + k / kDepthStep<T> * a.step, a.row, a.step};
    tiles<vectors>(rows, columns, count, left, panel + k * kPanel, add || k > 0, c, c_stride);
    k += kBlock;
  } while (k < depth);
}

template <typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE void product(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* packed, int64_t panel,
                           bool add, A* c, int64_t c_stride) {
  constexpr int kVectors = static_cast<int>(kPanel) / Lanes<T>::kCount;
  for (int64_t begin = 0; begin < columns; begin += kPanel, packed += panel, c += kPanel) {
    const int64_t width = columns - begin < kPanel ? columns - begin : kPanel;
    // Low-rank factors are this narrow.
    if constexpr (Lanes<T>::kCount == 16) {
      if (width <= Lanes<T>::kCount) {
        panel_product<1>(rows, width, depth, a, packed, add, c, c_stride);
        continue;
      }
      if (width <= 2 * Lanes<T>::kCount) {
        panel_product<2>(rows, width, depth, a, packed, add, c, c_stride);
        continue;
      }
    }
    panel_product<kVectors>(rows, width, depth, a, packed, add, c, c_stride);
  }
}

template <typename T>
constexpr bool kWidens = false;
#ifndef MASBAK_PAIR_PRODUCTS
template <>
inline constexpr bool kWidens<c10::BFloat16> = true;
#endif

// A left factor as floats, a row after another, or, where the rows of each pair of the depth lie side by side, number
// after number of the depth.
MASBAK_INLINE Left<float> widened(int64_t rows, int64_t depth, Left<c10::BFloat16> a, float* to, int64_t rows_apart,
                                  int64_t depth_apart) {
  if (a.row != kDepthStep<c10::BFloat16>) {
    for (int64_t r = 0; r < rows; ++r) {
      const c10::BFloat16* from = a.data + r * a.row;
      float* row = to + r * depth_apart;
      if (a.step == kDepthStep<c10::BFloat16>) {
        for (int64_t k = 0; k < depth; ++k) row[k] = load(from[k]);
      } else {
        for (int64_t k = 0; k < depth; ++k) row[k] = load(from[k / 2 * a.step + k % 2]);
      }
    }
    return {to, depth_apart, 1};
  }
  for (int64_t k = 0; k < depth; k += 2) {
    const c10::BFloat16* from = a.data + k / 2 * a.step;
    float *first = to + k * rows_apart, *second = first + rows_apart;
    for (int64_t r = 0; r < rows; ++r) first[r] = load(from[2 * r]);
    if (k + 1 == depth) break;
    for (int64_t r = 0; r < rows; ++r) second[r] = load(from[2 * r + 1]);
  }
  return {to, 1, rows_apart};
}

template <typename T, typename A = typename Accumulate<T>::type>
void multiply(int64_t rows, int64_t columns, int64_t depth, Left<T> a, const T* packed, int64_t panel, bool add, A* c,
              int64_t c_stride) {
  if constexpr (kWidens<T>) {
    constexpr int64_t kRowBlock = 48, kDepthBlock = 128;
    alignas(64) float room[kRowBlock * kDepthBlock];
    for (int64_t r = 0; r < rows; r += kRowBlock) {
      const int64_t row_count = rows - r < kRowBlock ? rows - r : kRowBlock;
      int64_t k = 0;
      do {
        const int64_t count = depth - k < kDepthBlock ? depth - k : kDepthBlock;
        const Left<T> block{a.data + r * a.row + k / kDepthStep<T> * a.step, a.row, a.step};
        const Left<float> left = widened(row_count, count, block, room, kRowBlock, kDepthBlock);
        product(row_count, columns, count, left, reinterpret_cast<const float*>(packed) + k * kPanel, panel / 2,
                add || k > 0, c + r * c_stride, c_stride);
        k += kDepthBlock;
      } while (k < depth);
    }
  } else {
    product(rows, columns, depth, a, packed, panel, add, c, c_stride);
  }
}

template <typename T>
void widen(int64_t rows, int64_t depth, const T* a, int64_t a_stride, float* to, int64_t stride) {
  if constexpr (kWidens<T>) {
    for (int64_t r = 0; r < rows; ++r, a += a_stride, to += stride) {
      for_wide<float>(depth, [&](int64_t k, int64_t count) __attribute__((always_inline)) {
        store_some(to + k, load_some(a + k, count), count);
      });
    }
  }
}

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

// One depth step of a panel, b(k, n) = b[k * by_depth + n * by_column]: `width` columns and `depth` numbers are there.
// Returns how many numbers of the depth it took.
template <typename T>
MASBAK_INLINE int64_t pack_step(int64_t width, int64_t depth, const T* b, int64_t by_depth, int64_t by_column,
                                void* to) {
  if constexpr (kWidens<T> || kDepthStep<T> == 1) {
    auto* numbers = static_cast<typename Accumulate<T>::type*>(to);
    if (width < kPanel) __builtin_memset(to, 0, kPanel * sizeof *numbers);
    for (int64_t n = 0; n < width; ++n) numbers[n] = load(b[n * by_column]);
    return 1;
  } else {
    auto* pairs = static_cast<uint32_t*>(to);
    if (width < kPanel) __builtin_memset(to, 0, kPanel * sizeof *pairs);
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
    return 2;
  }
}

// The target's own macros are not seen here: GCC 12 reads the whole file before it follows the pragmas. clang passes
// over them, and has another shuffle.
#if MASBAK_VECTOR_BYTES == 64 && !defined(__clang__)
#define MASBAK_TURNS
#endif

#ifdef MASBAK_TURNS
typedef uint32_t Pairs __attribute__((vector_size(64)));
constexpr int kSide = 16;  // pairs in a vector

// Exchanges blocks of `step` x `step` pairs across the diagonal of each block twice as large. All is unrolled, so that
// the square stays in registers and each exchange is an instruction with a constant.
template <unsigned step>
MASBAK_INLINE void exchange(Pairs (&v)[kSide]) {
  constexpr auto low = [](unsigned lane) { return lane & step ? kSide + lane - step : lane; };
  constexpr auto high = [](unsigned lane) { return lane & step ? kSide + lane : lane + step; };
  constexpr Pairs kLow = {low(0), low(1), low(2),  low(3),  low(4),  low(5),  low(6),  low(7),
                          low(8), low(9), low(10), low(11), low(12), low(13), low(14), low(15)};
  constexpr Pairs kHigh = {high(0), high(1), high(2),  high(3),  high(4),  high(5),  high(6),  high(7),
                           high(8), high(9), high(10), high(11), high(12), high(13), high(14), high(15)};
#pragma GCC unroll 16
  for (unsigned i = 0; i < kSide; ++i) {
    if (i & step) continue;
    const Pairs first = v[i], second = v[i + step];
    v[i] = __builtin_shuffle(first, second, kLow);
    v[i + step] = __builtin_shuffle(first, second, kHigh);
  }
}

// 32 numbers of the depth of a whole panel's columns, which lie `by_column` apart, in squares of 16 pairs.
MASBAK_INLINE void pack_turned(const c10::BFloat16* b, int64_t by_column, void* to) {
  auto* out = static_cast<uint32_t*>(to);
  for (int64_t column = 0; column < kPanel; column += kSide) {
    Pairs v[kSide];
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) __builtin_memcpy(&v[i], b + (column + i) * by_column, sizeof v[i]);
    exchange<1>(v);
    exchange<2>(v);
    exchange<4>(v);
    exchange<8>(v);
#pragma GCC unroll 16
    for (int p = 0; p < kSide; ++p) {
      if constexpr (kWidens<c10::BFloat16>) {
        const Pairs first = v[p] << 16, second = v[p] & 0xFFFF0000u;
        __builtin_memcpy(out + 2 * p * kPanel + column, &first, sizeof first);
        __builtin_memcpy(out + (2 * p + 1) * kPanel + column, &second, sizeof second);
      } else {
        __builtin_memcpy(out + p * kPanel + column, &v[p], sizeof v[p]);
      }
    }
  }
}
#endif

template <typename T>
MASBAK_INLINE void pack_panels(int64_t depth, int64_t columns, const T* b, int64_t by_depth, int64_t by_column,
                               void* packed) {
  constexpr int64_t kNumber = kWidens<T> ? sizeof(float) : sizeof(T);  // packed, in bytes
  auto* to = static_cast<char*>(packed);
  for (int64_t begin = 0; begin < columns; begin += kPanel, to += panel_size<T>(depth) * sizeof(T)) {
    const int64_t width = columns - begin < kPanel ? columns - begin : kPanel;
    int64_t k = 0;
#ifdef MASBAK_TURNS
    if constexpr (kDepthStep<T> == 2) {
      constexpr int64_t kTurned = 32;
      for (; by_depth == 1 && width == kPanel && k + kTurned <= depth; k += kTurned) {
        pack_turned(b + k + begin * by_column, by_column, to + k * kPanel * kNumber);
      }
    }
#endif
    while (k < depth) {
      const T* from = b + k * by_depth + begin * by_column;
      void* place = to + k * kPanel * kNumber;
      // A whole panel's width is a constant for the compiler.
      k += width == kPanel ? pack_step(kPanel, depth - k, from, by_depth, by_column, place)
                           : pack_step(width, depth - k, from, by_depth, by_column, place);
    }
    // A depth that the caller rounds up to whole steps finds zeros, as it does in a pair.
    if (kWidens<T> && depth % 2 != 0) __builtin_memset(to + depth * kPanel * kNumber, 0, kPanel * kNumber);
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
  static constexpr MatrixKernels<T> kTable = {
      &pack<T>, &pack_transposed<T>, &multiply<T>, &round_to<T>, &interleave<T>, kWidens<T> ? &widen<T> : nullptr};
  return kTable;
}
template const MatrixKernels<float>& matrices<float>();
template const MatrixKernels<double>& matrices<double>();
template const MatrixKernels<c10::BFloat16>& matrices<c10::BFloat16>();

}  // namespace masbak::models::kernels::MASBAK_ISA

