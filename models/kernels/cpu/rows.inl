// The bodies of RowKernels, compiled once for each instruction set: the including file sets the target and
// defines MASBAK_ISA, the namespace. Loops are written so that the compiler vectorises them: no branches,
// sums in kLanes separate lanes, an exponential without a library call.

#include "models/kernels/cpu/numbers.inl"

namespace masbak::models::kernels::MASBAK_ISA {
namespace {

constexpr int kLanes = 16;

// exp for the float path: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial of degree 6 in r, then the exponent
// by bits. Relative error below 2e-7; arguments are held within what float can say.
MASBAK_INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float n = __builtin_floorf(x * 1.44269504f + 0.5f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666667e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  return p * __builtin_bit_cast(float, exponent);
}
MASBAK_INLINE double exponential(double x) { return __builtin_exp(x); }

template <typename A>
MASBAK_INLINE A sigmoid(A x) {
  return A(1) / (A(1) + exponential(-x));
}

// The sum of term(i) for i < size, in kLanes lanes that are added pairwise at the end.
template <typename A, typename Term>
MASBAK_INLINE A lane_sum(int64_t size, const Term& term) {
  A lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lanes[l] += term(i + l);
  }
  for (int l = 0; i < size; ++i, ++l) lanes[l] += term(i);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lanes[l] += lanes[l + width];
  }
  return lanes[0];
}

template <typename T, typename A = typename Accumulate<T>::type>
void rms_norm(int64_t rows, int64_t size, const T* x, int64_t x_stride, const T* weight, A epsilon, T* y, A* scales) {
  for (int64_t r = 0; r < rows; ++r, x += x_stride, y += size) {
    const A squares = lane_sum<A>(
        size, [x](int64_t i) __attribute__((always_inline)) {
          const A v = load(x[i]);
          return v * v;
        });
    const A scale = A(1) / static_cast<A>(__builtin_sqrt(squares / size + epsilon));
    scales[r] = scale;
    for (int64_t i = 0; i < size; ++i) store(y[i], rounded<T>(load(x[i]) * scale) * load(weight[i]));
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
void rms_norm_backward(int64_t rows, int64_t size, const T* dy, const T* x, int64_t x_stride, const T* weight,
                       const A* scales, T* dx) {
  for (int64_t r = 0; r < rows; ++r, dy += size, x += x_stride, dx += size) {
    const A scale = scales[r];
    const A dot = lane_sum<A>(
        size, [=](int64_t i) __attribute__((always_inline)) { return load(dy[i]) * load(weight[i]) * load(x[i]); });
    const A back = dot * scale * scale / size;
    for (int64_t i = 0; i < size; ++i) {
      store(dx[i], scale * (load(dy[i]) * load(weight[i]) - load(x[i]) * back));
    }
  }
}

template <typename T>
void silu_times(int64_t rows, int64_t size, const T* gate, int64_t gate_stride, const T* up, int64_t up_stride, T* y) {
  for (int64_t r = 0; r < rows; ++r, gate += gate_stride, up += up_stride, y += size) {
    for (int64_t i = 0; i < size; ++i) {
      const auto g = load(gate[i]);
      store(y[i], g * sigmoid(g) * load(up[i]));
    }
  }
}

template <typename T>
void silu_times_backward(int64_t rows, int64_t size, const T* __restrict dy, const T* __restrict gate,
                         int64_t gate_stride, const T* __restrict up, int64_t up_stride, T* __restrict dgate,
                         int64_t dgate_stride, T* __restrict dup, int64_t dup_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < size; ++i) {
      const auto g = load(gate[i]), u = load(up[i]), d = load(dy[i]);
      const auto s = sigmoid(g);
      store(dup[i], d * g * s);
      store(dgate[i], d * u * s * (1 + g * (1 - s)));
    }
    gate += gate_stride, up += up_stride, dy += size, dgate += dgate_stride, dup += dup_stride;
  }
}

template <typename T, typename A = typename Accumulate<T>::type>
A silu_times_weighted_backward(int64_t size, A weight, const T* __restrict dy, const T* __restrict gate,
                               const T* __restrict up, T* __restrict y, T* __restrict dgate, T* __restrict dup) {
  for (int64_t i = 0; i < size; ++i) {
    const A g = load(gate[i]), u = load(up[i]), d = weight * load(dy[i]);
    const A s = sigmoid(g);
    store(y[i], g * s * u);
    store(dup[i], d * g * s);
    store(dgate[i], d * u * s * (1 + g * (1 - s)));
  }
  return lane_sum<A>(
      size, [=](int64_t i) __attribute__((always_inline)) { return load(dy[i]) * load(y[i]); });
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
  A lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) lanes[l] = load(row[0]);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const A v = load(row[i + l]);
      lanes[l] = v > lanes[l] ? v : lanes[l];
    }
  }
  A top = lanes[0];
  for (int l = 1; l < kLanes; ++l) top = lanes[l] > top ? lanes[l] : top;
  for (; i < size; ++i) top = load(row[i]) > top ? load(row[i]) : top;
  return top;
}

template <typename T, typename A = typename Accumulate<T>::type>
A softmax(int64_t seen, int64_t size, A scale, A* __restrict scores, T* __restrict weights) {
  const A top = row_maximum<A>(seen, scores);
  for (int64_t j = 0; j < seen; ++j) scores[j] = exponential(scale * (scores[j] - top));
  const A sum = lane_sum<A>(
      seen, [=](int64_t j) __attribute__((always_inline)) { return scores[j]; });
  const A share = A(1) / sum;
  for (int64_t j = 0; j < seen; ++j) store(weights[j], scores[j] * share);
  __builtin_memset(static_cast<void*>(weights + seen), 0, (size - seen) * sizeof(T));
  return scale * top + static_cast<A>(__builtin_log(sum));
}

template <typename T, typename A = typename Accumulate<T>::type>
void softmax_backward(int64_t seen, int64_t size, A scale, A log_sum, A delta, const A* __restrict scores,
                      const A* __restrict dweights, T* __restrict weights, T* __restrict dscores) {
  for (int64_t j = 0; j < seen; ++j) {
    const A weight = exponential(scale * scores[j] - log_sum);
    store(weights[j], weight);
    store(dscores[j], weight * (dweights[j] - delta) * scale);
  }
  __builtin_memset(static_cast<void*>(weights + seen), 0, (size - seen) * sizeof(T));
  __builtin_memset(static_cast<void*>(dscores + seen), 0, (size - seen) * sizeof(T));
}

template <typename T, typename A = typename Accumulate<T>::type>
A dot(int64_t size, const T* x, const T* y) {
  return lane_sum<A>(
      size, [=](int64_t i) __attribute__((always_inline)) { return load(x[i]) * load(y[i]); });
}

template <typename T, typename A = typename Accumulate<T>::type>
void round(int64_t size, const A* __restrict x, T* __restrict y) {
  for (int64_t i = 0; i < size; ++i) store(y[i], x[i]);
}

template <typename T, typename A = typename Accumulate<T>::type>
A cross_entropy(int64_t size, int64_t target, A scale, bool gradient, T* logits) {
  const A top = row_maximum(size, logits), chosen = load(logits[target]);
  const A sum = lane_sum<A>(
      size, [=](int64_t j) __attribute__((always_inline)) { return exponential(load(logits[j]) - top); });
  if (gradient) {
    const A share = scale / sum;
    for (int64_t j = 0; j < size; ++j) store(logits[j], exponential(load(logits[j]) - top) * share);
    // From the number itself, not from the rounded product above.
    store(logits[target], exponential(chosen - top) * share - scale);
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
