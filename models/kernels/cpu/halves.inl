// Products of bfloat16 in half precision (IEEE binary16), which AVX-512 FP16 multiplies and adds at twice the rate of
// floats. Part of matrix.inl.
//
// A half keeps the 8 bits of a bfloat16 number and has three more, but 5 bits of exponent. So each row of a left factor
// and each panel of a right one is scaled by a power of two, for every kScaledDepth numbers of the depth anew: its
// largest number comes to lie in [2^4, 2^5). Numbers down to 2^-21 of the largest stay exact, smaller ones are off by
// at most 2^-29 of it. kHalfSums products at a time are summed in half precision, at most 2^15 in all where the largest
// half is 65504; these sums are summed in float32. (DeepSeek-V3's report, section 3.3.2, does so with its products of
// FP8, 128 at a time.) With random factors sums are off by 0.9e-3 of their size, root mean square, where rounding the
// result to bfloat16 takes 1.7e-3.

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

constexpr int64_t kHalfSums = 32;
// Before the numbers of each kScaledDepth: what their product is multiplied by, the inverse of the scale.
constexpr int64_t kScaleRoom = 64;  // bytes, so that numbers begin at a line of the cache
constexpr int64_t kRowHead = kScaleRoom / sizeof(float), kPanelHead = kScaleRoom / sizeof(Half);

// Of rows or a panel by the bits of their largest number without its sign; Bits: one, or lanes of them.
template <typename Bits, typename Numbers>
struct Scales {
  explicit Scales(Bits largest) {
    const Bits least = Bits{} + 7u;  // 2^-120, so that both are normal numbers
    const Bits own = largest >> 7, exponent = own > least ? own : least;  // 255: there is an infinity or a NaN
    factor = __builtin_bit_cast(Numbers, (258u - exponent) << 23);
    inverse = __builtin_bit_cast(Numbers, (exponent - 4u) << 23);
  }
  Numbers factor, inverse;
};
using Scale = Scales<uint32_t, float>;

// The largest of some rows' numbers, as bits without a sign.
MASBAK_INLINE uint32_t largest(int64_t rows, int64_t size, const c10::BFloat16* x, int64_t stride) {
  typedef uint16_t Bits __attribute__((vector_size(64)));
  constexpr int kCount = 32;
  constexpr uint16_t kUnsigned = 0x7FFF;
  Bits most = {};
  uint16_t rest = 0;
  for (int64_t r = 0; r < rows; ++r, x += stride) {
    int64_t i = 0;
    for (; i + kCount <= size; i += kCount) {
      Bits bits;
      __builtin_memcpy(&bits, x + i, sizeof bits);
      bits &= kUnsigned;
      most = bits > most ? bits : most;
    }
    for (; i < size; ++i) {
      const uint16_t bits = x[i].x & kUnsigned;
      rest = bits > rest ? bits : rest;
    }
  }
  const Words pairs = (Words)most, low = pairs & 0xFFFFu, high = pairs >> 16;
  const uint32_t whole = largest_lane(low > high ? low : high);
  return whole > rest ? whole : rest;
}

MASBAK_INLINE void store_halves(Half* to, Wide<float> v) {
  const Halves halves = to_halves(v);
  __builtin_memcpy(to, &halves, sizeof halves);
}
// Each half twice in 32 bits: one instruction loads such a pair into all lanes.
MASBAK_INLINE Wide<float> doubled_halves(Wide<float> v) {
  const Words halves = __builtin_convertvector(to_halves(v), Words);
  return (Wide<float>)(halves | halves << 16);
}

// A left factor in doubled halves. Number k of row r is at r * row + k * step, its inverse scale at r * scale_row.
struct HalfLeft {
  const float *data, *scales;
  int64_t row, step, scale_row;
};
MASBAK_INLINE HalfLeft below(HalfLeft a, int64_t rows) {
  a.data += rows * a.row;
  a.scales += rows * a.scale_row;
  return a;
}

// Converted rows, kept for several products: floats that one takes, a head before each block of the depth.
constexpr int64_t converted_size(int64_t depth) { return depth + (depth + kScaledDepth - 1) / kScaledDepth * kRowHead; }
MASBAK_INLINE void convert_row(int64_t depth, const c10::BFloat16* a, float* to) {
  for (int64_t k = 0; k < depth; k += kScaledDepth, to += kRowHead + kScaledDepth) {
    const int64_t count = depth - k < kScaledDepth ? depth - k : kScaledDepth;
    const Scale scale(largest(1, count, a + k, 0));
    *to = scale.inverse;
    for_wide<float>(count, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      store_some(to + kRowHead + i, doubled_halves(load_some(a + k + i, some) * scale.factor), some);
    });
  }
}
MASBAK_INLINE HalfLeft converted_rows(const float* a, int64_t stride) { return {a + kRowHead, a, stride, 1, stride}; }

constexpr int64_t kLeftRows = 48, kLeftDepth = kScaledDepth;  // that are converted at once
constexpr int64_t kLeftRoom = kLeftRows * converted_size(kLeftDepth);

MASBAK_INLINE HalfLeft left_block(int64_t rows, int64_t depth, Left<c10::BFloat16> a, float* to) {
  constexpr int64_t kApart = converted_size(kLeftDepth);
  if (a.row != kDepthStep<c10::BFloat16>) {
    for (int64_t r = 0; r < rows; ++r) {
      const c10::BFloat16* from = a.data + r * a.row;
      c10::BFloat16 gathered[kLeftDepth];
      if (a.step != kDepthStep<c10::BFloat16>) {
        for (int64_t k = 0; k < depth; ++k) gathered[k] = from[k / 2 * a.step + k % 2];
        from = gathered;
      }
      convert_row(depth, from, to + r * kApart);
    }
    return converted_rows(to, kApart);
  }
  // The rows' numbers of each pair of the depth lie side by side: lanes are rows.
  float *numbers = to, *scales = to + depth * kLeftRows;
  for_wide<float>(rows, [&](int64_t r, int64_t some) __attribute__((always_inline)) {
    const auto pairs = [&](int64_t k) __attribute__((always_inline)) {
      return (Words)load_some(reinterpret_cast<const float*>(a.data + k / 2 * a.step + 2 * r), some);
    };
    Words most = {};
    for (int64_t k = 0; k < depth; k += 2) {
      const Words first = pairs(k) & 0x7FFFu, second = k + 1 < depth ? pairs(k) >> 16 & 0x7FFFu : first;
      most = first > most ? first : most;
      most = second > most ? second : most;
    }
    const Scales<Words, Wide<float>> scale(most);
    store_wide(scales + r, scale.inverse);
    for (int64_t k = 0; k < depth; ++k) {
      const Words bits = k % 2 == 0 ? pairs(k) << 16 : pairs(k) & 0xFFFF0000u;
      store_wide(numbers + k * kLeftRows + r, doubled_halves((Wide<float>)bits * scale.factor));
    }
  });
  return {numbers, scales, 1, kLeftRows, 1};
}

// c[columns] = scale * sums, or +=; at most 32 columns.
template <bool whole>
MASBAK_INLINE void add_halves(HalfSums sums, float scale, bool add, float* c, int64_t columns) {
  const Wide<float> low = to_floats<0>(sums) * scale, high = to_floats<1>(sums) * scale;
  constexpr int kWords = kWide<float>;
  if constexpr (whole) {
    store_wide(c, add ? low + load_wide(c) : low);
    store_wide(c + kWords, add ? high + load_wide(c + kWords) : high);
  } else {
    const uint32_t there = columns < 2 * kWords ? (uint32_t{1} << columns) - 1 : ~uint32_t{0};
    const auto first = static_cast<uint16_t>(there), second = static_cast<uint16_t>(there >> kWords);
    const Wide<float> before = load_lanes(first, c), after = load_lanes(second, c + kWords);
    store_lanes(first, c, add ? low + before : low);
    store_lanes(second, c + kWords, add ? high + after : high);
  }
}

// `panel`: the numbers of at most one block of the depth, behind their head. `whole`: all of the vectors' columns are
// there.
template <int rows, int vectors, bool whole>
MASBAK_INLINE void half_tile(int64_t columns, int64_t depth, HalfLeft a, const Half* panel, bool add, float* c,
                             int64_t c_stride) {
  constexpr int kCount = kHalfLanes;
  const float* left = a.data;
  const auto* right = reinterpret_cast<const HalfSums*>(panel);
  float scales[rows];
  for (int r = 0; r < rows; ++r) {
    scales[r] = a.scales[r * a.scale_row] * *reinterpret_cast<const float*>(panel - kPanelHead);
  }
  for (int64_t begin = 0; begin < depth; begin += kHalfSums, add = true) {
    const int64_t count = depth - begin < kHalfSums ? depth - begin : kHalfSums;
    HalfSums sums[rows][vectors];
    clear(sums);
    for (int64_t p = 0; p < count; ++p, left += a.step, right += kPanel / kCount) {
#pragma GCC unroll 12
      for (int r = 0; r < rows; ++r) {
        uint32_t pair;
        __builtin_memcpy(&pair, left + r * a.row, sizeof pair);
        const auto number = (HalfSums)(Words{} + pair);
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sums[r][v] = add_half_products(sums[r][v], number, right[v]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        add_halves<whole>(sums[r][v], scales[r], add, c + r * c_stride + v * kCount, columns - v * kCount);
      }
    }
  }
}

template <int rows, int vectors>
MASBAK_INLINE void tile(int64_t columns, int64_t depth, HalfLeft a, const Half* panel, bool add, float* c,
                        int64_t c_stride) {
  if (columns == vectors * kHalfLanes) {
    half_tile<rows, vectors, true>(columns, depth, a, panel, add, c, c_stride);
  } else {
    half_tile<rows, vectors, false>(columns, depth, a, panel, add, c, c_stride);
  }
}

}  // namespace
}  // namespace masbak::models::kernels::MASBAK_ISA
