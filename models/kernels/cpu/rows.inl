// The bodies of RowKernels, compiled once for each instruction set: the including file sets the target and defines
// MASBAK_ISA, the namespace. Loops take vectors at a time (numbers.inl); sums are in the lanes of one, which are added
// pairwise at the end.

#include "models/kernels/cpu/numbers.inl"

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

#define MASBAK_EACH [&](int64_t i, int64_t count) __attribute__((always_inline))

// exp for the float path: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of degree 6 in r, then the exponent
// by bits. Relative error below 2e-7; arguments are held within what float can say. Vectors, not a loop that the
// compiler makes into them: it would cut off the arguments that are held as a branch of its own, whose constant result
// is so small that multiplying with it takes a hundred cycles.
MASBAK_INLINE Wide<float> exponential(Wide<float> x) {
  const Wide<float> low = Wide<float>{} - 87.0f, high = Wide<float>{} + 88.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  // Beside this number there is no fraction, so that the last bits of the sum are x / ln 2 to the nearest.
  const float whole = 12582912.0f;
  const Wide<float> shifted = x * 1.44269504f + whole, n = shifted - whole;
  const Wide<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Wide<float> p = r * 1.3888889e-3f + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const WideBits<float> exponent = ((WideBits<float>)shifted - __builtin_bit_cast(int32_t, whole) + 127) << 23;
  return p * (Wide<float>)exponent;
}
MASBAK_INLINE Wide<double> exponential(Wide<double> x) {
  for (int l = 0; l < kWide<double>; ++l) x[l] = __builtin_exp(x[l]);
  return x;
}

template <typename V>
MASBAK_INLINE V sigmoid(V x) {
  return 1 / (1 + exponential(-x));
}

template <typename T, typename A = typename Accumulate<T>::type>
void rms_norm(int64_t rows, int64_t size, const T* x, int64_t x_stride, const T* weight, A epsilon, T* y, A* scales) {
  for (int64_t r = 0; r < rows; ++r, x += x_stride, y += size) {
    Wide<A> squares = {};
    for_wide<A>(size, MASBAK_EACH {
      const Wide<A> v = load_some(x + i, count);
      squares += v * v;
    });
    const A scale = A(1) / static_cast<A>(__builtin_sqrt(sum_of<A>(squares) / size + epsilon));
    scales[r] = scale;
    for_wide<A>(size, MASBAK_EACH {
      store_some(y + i, rounded_wide<T>(load_some(x + i, count) * scale) * load_some(weight + i, count), count);
    });
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void rms_norm_backward(int64_t rows, int64_t size, const T* dy, const T* x, int64_t x_stride, const T* weight,
                       const A* scales, T* dx) {
  for (int64_t r = 0; r < rows; ++r, dy += size, x += x_stride, dx += size) {
    const A scale = scales[r];
    Wide<A> products = {};
    for_wide<A>(size, MASBAK_EACH {
      products += load_some(dy + i, count) * load_some(weight + i, count) * load_some(x + i, count);
    });
    const A back = sum_of<A>(products) * scale * scale / size;
    for_wide<A>(size, MASBAK_EACH {
      const Wide<A> weighted = load_some(dy + i, count) * load_some(weight + i, count);
      store_some(dx + i, scale * (weighted - load_some(x + i, count) * back), count);
    });
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void silu_times(int64_t rows, int64_t size, const T* gate, int64_t gate_stride, const T* up, int64_t up_stride, T* y) {
  for (int64_t r = 0; r < rows; ++r, gate += gate_stride, up += up_stride, y += size) {
    for_wide<A>(size, MASBAK_EACH {
      const Wide<A> g = load_some(gate + i, count);
      store_some(y + i, g * sigmoid(g) * load_some(up + i, count), count);
    });
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void silu_times_backward(int64_t rows, int64_t size, const T* dy, const T* gate, int64_t gate_stride, const T* up,
                         int64_t up_stride, T* dgate, int64_t dgate_stride, T* dup, int64_t dup_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for_wide<A>(size, MASBAK_EACH {
      const Wide<A> g = load_some(gate + i, count), u = load_some(up + i, count), d = load_some(dy + i, count);
      const Wide<A> s = sigmoid(g);
      store_some(dup + i, d * g * s, count);
      store_some(dgate + i, d * u * s * (1 + g * (1 - s)), count);
    });
    gate += gate_stride, up += up_stride, dy += size, dgate += dgate_stride, dup += dup_stride;
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
A silu_times_weighted_backward(int64_t size, A weight, const T* dy, const T* gate, const T* up, T* y, T* dgate,
                               T* dup) {
  Wide<A> products = {};
  for_wide<A>(size, MASBAK_EACH {
    const Wide<A> g = load_some(gate + i, count), u = load_some(up + i, count), own = load_some(dy + i, count);
    const Wide<A> s = sigmoid(g), result = g * s * u, d = weight * own;
    store_some(y + i, result, count);
    store_some(dup + i, d * g * s, count);
    store_some(dgate + i, d * u * s * (1 + g * (1 - s)), count);
    products += own * rounded_wide<T>(result);
  });
  return sum_of<A>(products);
}

template <typename T>
void rotate(int64_t plain, int64_t frequencies, const T* __restrict x, const float* cosine, const float* sine,
            bool turn_back, bool interleaved_in, bool interleaved_out, T* __restrict y) {
  __builtin_memcpy(y, x, plain * sizeof(T));
  x += plain, y += plain;
  const float sign = turn_back ? -1.0f : 1.0f;
  const int64_t in_step = interleaved_in ? 2 : 1, out_step = interleaved_out ? 2 : 1;
  const T* second = x + (interleaved_in ? 1 : frequencies);
  T* second_out = y + (interleaved_out ? 1 : frequencies);
  if (in_step == 1 && out_step == 1) {
    for (int64_t f = 0; f < frequencies; ++f) {
      const auto a = load(x[f]), b = load(second[f]);
      store(y[f], a * cosine[f] - b * (sign * sine[f]));
      store(second_out[f], b * cosine[f] + a * (sign * sine[f]));
    }
    return;
  }
  for (int64_t f = 0; f < frequencies; ++f) {
    const auto a = load(x[f * in_step]), b = load(second[f * in_step]);
    store(y[f * out_step], a * cosine[f] - b * (sign * sine[f]));
    store(second_out[f * out_step], b * cosine[f] + a * (sign * sine[f]));
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void weighted_sum(int64_t count, int64_t size, const T* x, const int32_t* rows_of, const A* weights, T* y) {
  constexpr int64_t kBlock = 64;  // features held in registers while the rows go by
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t width = size - begin < kBlock ? size - begin : kBlock;
    A sum[kBlock] = {};
    for (int64_t k = 0; k < count; ++k) {
      const T* row = x + rows_of[k] * size + begin;
      const A weight = weights ? weights[k] : A(1);
      for (int64_t i = 0; i < width; ++i) sum[i] += weight * load(row[i]);
    }
    for (int64_t i = 0; i < width; ++i) store(y[begin + i], sum[i]);
  }
}

// The largest of the first `size` > 0 numbers of a row.
template <typename T, typename A = typename Accumulate<T>::type>
MASBAK_INLINE A row_maximum(int64_t size, const T* row) {
  Wide<A> tops = Wide<A>{} + load(row[0]);
  int64_t i = 0;
  for (; i + kWide<A> <= size; i += kWide<A>) {
    const Wide<A> v = load_wide(row + i);
    tops = v > tops ? v : tops;
  }
  A top = tops[0];
  for (int l = 1; l < kWide<A>; ++l) top = tops[l] > top ? tops[l] : top;
  for (; i < size; ++i) top = load(row[i]) > top ? load(row[i]) : top;
  return top;
}

// What a sum of exponentials must not count: lanes from `count` on.
template <typename A>
MASBAK_INLINE Wide<A> first_lanes(Wide<A> v, int64_t count) {
  for (int64_t l = count; l < kWide<A>; ++l) v[l] = 0;
  return v;
}

template <typename T, typename A = typename Accumulate<T>::type>
A softmax(int64_t seen, int64_t size, A scale, A* scores, T* weights) {
  const A top = row_maximum<A>(seen, scores);
  Wide<A> sums = {};
  for_wide<A>(seen, MASBAK_EACH {
    const Wide<A> shares = exponential(scale * (load_some(scores + i, count) - top));
    store_some(scores + i, shares, count);
    sums += first_lanes<A>(shares, count);
  });
  const A sum = sum_of<A>(sums), share = A(1) / sum;
  for_wide<A>(seen, MASBAK_EACH { store_some(weights + i, load_some(scores + i, count) * share, count); });
  __builtin_memset(static_cast<void*>(weights + seen), 0, (size - seen) * sizeof(T));
  return scale * top + static_cast<A>(__builtin_log(sum));
}

template <typename T, typename A = typename Accumulate<T>::type>
void softmax_backward(int64_t seen, int64_t size, A scale, A log_sum, A delta, const A* scores, const A* dweights,
                      T* weights, T* dscores) {
  for_wide<A>(seen, MASBAK_EACH {
    const Wide<A> weight = exponential(scale * load_some(scores + i, count) - log_sum);
    store_some(weights + i, weight, count);
    store_some(dscores + i, weight * (load_some(dweights + i, count) - delta) * scale, count);
  });
  __builtin_memset(static_cast<void*>(weights + seen), 0, (size - seen) * sizeof(T));
  __builtin_memset(static_cast<void*>(dscores + seen), 0, (size - seen) * sizeof(T));
}

template <typename T, typename A = typename Accumulate<T>::type>
void kept_softmax_backward(int64_t seen, int64_t size, A scale, A delta, const T* weights, const A* dweights,
                           T* dscores) {
  for_wide<A>(seen, MASBAK_EACH {
    const Wide<A> weight = load_some(weights + i, count);
    store_some(dscores + i, weight * (load_some(dweights + i, count) - delta) * scale, count);
  });
  __builtin_memset(static_cast<void*>(dscores + seen), 0, (size - seen) * sizeof(T));
}

template <typename T, typename A = typename Accumulate<T>::type>
A dot(int64_t size, const T* x, const T* y) {
  Wide<A> products = {};
  for_wide<A>(size, MASBAK_EACH { products += load_some(x + i, count) * load_some(y + i, count); });
  return sum_of<A>(products);
}

template <typename T, typename A = typename Accumulate<T>::type>
void round(int64_t size, const A* x, T* y) {
  for_wide<A>(size, MASBAK_EACH { store_some(y + i, load_some(x + i, count), count); });
}

template <typename T, typename A = typename Accumulate<T>::type>
A cross_entropy(int64_t size, int64_t target, A scale, bool gradient, T* logits) {
  const A top = row_maximum(size, logits), chosen = load(logits[target]);
  Wide<A> sums = {};
  for_wide<A>(size, MASBAK_EACH {
    const Wide<A> shares = exponential(load_some(logits + i, count) - top);
    sums += first_lanes<A>(shares, count);
  });
  const A sum = sum_of<A>(sums);
  if (gradient) {
    const A share = scale / sum;
    for_wide<A>(size, MASBAK_EACH {
      store_some(logits + i, exponential(load_some(logits + i, count) - top) * share, count);
    });
    // From the number itself, not from the rounded product above.
    const Wide<A> own = exponential(Wide<A>{} + (chosen - top));
    store(logits[target], own[0] * share - scale);
  }
  return static_cast<A>(__builtin_log(sum)) + top - chosen;
}

}  // namespace

template <typename T>
const RowKernels<T>& table() {
  static constexpr RowKernels<T> kTable = {
      &rms_norm<T>,
      &rms_norm_backward<T>,
      &silu_times<T>,
      &silu_times_backward<T>,
      &silu_times_weighted_backward<T>,
      &rotate<T>,
      &weighted_sum<T>,
      &softmax<T>,
      &softmax_backward<T>,
      &kept_softmax_backward<T>,
      &dot<T>,
      &round<T>,
      &cross_entropy<T>,
  };
  return kTable;
}
template const RowKernels<float>& table<float>();
template const RowKernels<double>& table<double>();
template const RowKernels<c10::BFloat16>& table<c10::BFloat16>();

}  // namespace masbak::models::kernels::MASBAK_ISA
