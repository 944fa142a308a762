// Packing right factors into panels. Part of matrix.inl.

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

// One depth step of a strip, b(k, n) = b[k * by_depth + n * by_column]: `width` columns and `depth` numbers are there.
// Halves are scaled. Returns how many numbers of the depth it took.
template <typename T>
MASBAK_INLINE int64_t pack_step(int64_t width, int64_t depth, const T* b, int64_t by_depth, int64_t by_column,
                                [[maybe_unused]] float scale, void* to) {
  if constexpr (kConverts<T> || kDepthStep<T> == 1) {
    auto* numbers = static_cast<typename Packed<T>::Number*>(to);
    if (width < kPackedStrip<T>) __builtin_memset(to, 0, kPackedStrip<T> * sizeof *numbers);
#ifdef MASBAK_HALF_PRODUCTS
    if constexpr (kHalves<T>) {
      int64_t n = 0;
      if (by_column == 1) {
        for (; n + kWide<float> <= width; n += kWide<float>) store_halves(numbers + n, load_wide(b + n) * scale);
      }
      for (; n < width; ++n) numbers[n] = to_half(load(b[n * by_column]) * scale);
      return 1;
    }
#endif
    for (int64_t n = 0; n < width; ++n) numbers[n] = load(b[n * by_column]);
    return 1;
  } else {
    auto* pairs = static_cast<uint32_t*>(to);
    if (width < kPackedStrip<T>) __builtin_memset(to, 0, kPackedStrip<T> * sizeof *pairs);
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
#if MASBAK_VECTOR_BYTES >= 32 && !defined(__clang__)
#define MASBAK_TURNS
#endif

#ifdef MASBAK_TURNS
typedef uint32_t Pairs __attribute__((vector_size(MASBAK_VECTOR_BYTES)));
constexpr int kSide = MASBAK_VECTOR_BYTES / sizeof(uint32_t);  // pairs in a vector

// Exchanges blocks of `step` x `step` pairs across the diagonal of each block twice as large. All is unrolled, so that
// the square stays in registers and each exchange is an instruction with a constant.
template <unsigned step>
MASBAK_INLINE void exchange(Pairs (&v)[kSide]) {
  constexpr auto low = [](unsigned lane) { return lane & step ? kSide + lane - step : lane; };
  constexpr auto high = [](unsigned lane) { return lane & step ? kSide + lane : lane + step; };
#if MASBAK_VECTOR_BYTES == 64
  constexpr Pairs kLow = {low(0), low(1), low(2),  low(3),  low(4),  low(5),  low(6),  low(7),
                          low(8), low(9), low(10), low(11), low(12), low(13), low(14), low(15)};
  constexpr Pairs kHigh = {high(0), high(1), high(2),  high(3),  high(4),  high(5),  high(6),  high(7),
                           high(8), high(9), high(10), high(11), high(12), high(13), high(14), high(15)};
#else
  constexpr Pairs kLow = {low(0), low(1), low(2), low(3), low(4), low(5), low(6), low(7)};
  constexpr Pairs kHigh = {high(0), high(1), high(2), high(3), high(4), high(5), high(6), high(7)};
#endif
#pragma GCC unroll 16
  for (unsigned i = 0; i < kSide; ++i) {
    if (i & step) continue;
    const Pairs first = v[i], second = v[i + step];
    v[i] = __builtin_shuffle(first, second, kLow);
    v[i + step] = __builtin_shuffle(first, second, kHigh);
  }
}

constexpr int64_t kTurned = 2 * kSide;  // numbers of the depth that are turned at once

// kTurned numbers of the depth of a whole strip's columns, which lie `by_column` apart, in squares of kSide pairs.
MASBAK_INLINE void pack_turned(const c10::BFloat16* b, int64_t by_column, [[maybe_unused]] float scale, void* to) {
  constexpr int64_t kWidth = kPackedStrip<c10::BFloat16>;
  auto* out = static_cast<typename Packed<c10::BFloat16>::Number*>(to);
  for (int64_t column = 0; column < kWidth; column += kSide) {
    Pairs v[kSide];
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) __builtin_memcpy(&v[i], b + (column + i) * by_column, sizeof v[i]);
    exchange<1>(v);
    exchange<2>(v);
    exchange<4>(v);
    if constexpr (kSide > 8) exchange<8>(v);
#pragma GCC unroll 16
    for (int p = 0; p < kSide; ++p) {
#ifdef MASBAK_PAIR_PRODUCTS
      __builtin_memcpy(out + 2 * p * kWidth + 2 * column, &v[p], sizeof v[p]);
#else
      const auto first = (Wide<float>)(v[p] << 16), second = (Wide<float>)(v[p] & 0xFFFF0000u);
      auto *row = out + 2 * p * kWidth + column, *next = row + kWidth;
#ifdef MASBAK_HALF_PRODUCTS
      store_halves(row, first * scale);
      store_halves(next, second * scale);
#else
      store_wide(row, first);
      store_wide(next, second);
#endif
#endif
    }
  }
}
#endif

// A part of one strip's depth, which lies without gaps in what is packed.
template <typename T>
MASBAK_INLINE void pack_part(int64_t depth, int64_t width, const T* b, int64_t by_depth, int64_t by_column, float scale,
                             char* to) {
  constexpr int64_t kWhole = kPackedStrip<T>, kStep = kWhole * sizeof(typename Packed<T>::Number);
  int64_t k = 0;
#ifdef MASBAK_TURNS
  if constexpr (kDepthStep<T> == 2) {
    for (; by_depth == 1 && width == kWhole && k + kTurned <= depth; k += kTurned) {
      pack_turned(b + k, by_column, scale, to + k * kStep);
    }
  }
#endif
  while (k < depth) {
    // A whole strip's width is a constant for the compiler.
    k += width == kWhole ? pack_step(kWhole, depth - k, b + k * by_depth, by_depth, by_column, scale, to + k * kStep)
                         : pack_step(width, depth - k, b + k * by_depth, by_depth, by_column, scale, to + k * kStep);
  }
  // A depth that the caller rounds up to whole steps finds zeros, as it does in a pair.
  if (kConverts<T> && depth % 2 != 0) __builtin_memset(to + depth * kStep, 0, kStep);
}

template <typename T>
MASBAK_INLINE void pack_panels(int64_t depth, int64_t columns, const T* b, int64_t by_depth, int64_t by_column,
                               void* packed) {
  auto* to = static_cast<char*>(packed);
  for (int64_t begin = 0; begin < columns; begin += kPanel, to += panel_size<T>(depth) * sizeof(T)) {
    const int64_t width = columns - begin < kPanel ? columns - begin : kPanel;
    const T* from = b + begin * by_column;
#ifdef MASBAK_HALF_PRODUCTS
    if constexpr (kHalves<T>) {
      for (int64_t k = 0; k < depth; k += kScaledDepth) {
        const int64_t count = depth - k < kScaledDepth ? depth - k : kScaledDepth;
        const T* block = from + k * by_depth;
        const Scale scale(by_column == 1 ? largest(count, width, block, by_depth)
                                         : largest(width, count, block, by_column));
        char* head = to + place_in_strip<Half>(k) * sizeof(Half);
        __builtin_memcpy(head, &scale.inverse, sizeof scale.inverse);
        pack_part(count, width, block, by_depth, by_column, scale.factor, head + kScaleRoom);
      }
      continue;
    }
#endif
    // Some of the depth at a time, so that a panel's rows are read while they are in the first cache.
    using N = typename Packed<T>::Number;
    constexpr int64_t kWhole = kStrip<N>, kAtOnce = kWhole < kPanel ? 64 : int64_t{1} << 62;
    for (int64_t k = 0; k < depth; k += kAtOnce) {
      const int64_t count = depth - k < kAtOnce ? depth - k : kAtOnce;
      for (int64_t column = 0; column < width; column += kWhole) {
        const int64_t place = panel_size<T>(depth) * column / kPanel;
        pack_part(count, width - column < kWhole ? width - column : kWhole, from + k * by_depth + column * by_column,
                  by_depth, by_column, 1, to + place * sizeof(T) + place_in_strip<N>(k) * sizeof(N));
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

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
