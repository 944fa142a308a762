// The elementwise pieces of a model on rows of memory, in three versions (AVX-512, AVX2, portable) from one
// source, chosen at run time. Single-threaded: the caller splits the rows. No LibTorch but c10's bfloat16.
//
// Every function works on `rows` rows. A stride counts elements from row to row; where none is given the
// rows lie one after another. Arithmetic is float for float and bfloat16, double for double; sums go
// through a fixed number of lanes, so that results do not depend on how the caller splits the rows.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace masbak::models::kernels {

template <typename T>
struct Accumulate {
  using type = T;
};
template <>
struct Accumulate<c10::BFloat16> {
  using type = float;
};

template <typename T>
struct RowKernels {
  using A = typename Accumulate<T>::type;

  // y = round(x * scale) * weight, scale = 1 / sqrt(mean(x^2) + epsilon), kept in scales[rows].
  void (*rms_norm)(int64_t rows, int64_t size, const T* x, int64_t x_stride, const T* weight, A epsilon, T* y,
                   A* scales);
  void (*rms_norm_backward)(int64_t rows, int64_t size, const T* dy, const T* x, int64_t x_stride, const T* weight,
                            const A* scales, T* dx);

  // y = silu(gate) * up.
  void (*silu_times)(int64_t rows, int64_t size, const T* gate, int64_t gate_stride, const T* up, int64_t up_stride,
                     T* y);
  void (*silu_times_backward)(int64_t rows, int64_t size, const T* dy, const T* gate, int64_t gate_stride, const T* up,
                              int64_t up_stride, T* dgate, int64_t dgate_stride, T* dup, int64_t dup_stride);

  // One row of y = silu(gate) * up under a weight: y again, the gradients of gate and up for weight * dy, and the dot
  // product of dy and y, which is the gradient of the weight.
  A(*silu_times_weighted_backward)
  (int64_t size, A weight, const T* dy, const T* gate, const T* up, T* y, T* dgate, T* dup);

  // One row is one head of one token: `plain` features copied, then 2 * frequencies rotated by cos and
  // sin. interleaved_in / interleaved_out: pairs side by side, else as halves. Pass -sin to turn back.
  void (*rotate)(int64_t plain, int64_t frequencies, const T* x, const float* cosine, const float* sine, bool turn_back,
                 bool interleaved_in, bool interleaved_out, T* y);

  // y = sum over k of weights[k] * x[rows_of[k]]; weights may be null for ones.
  void (*weighted_sum)(int64_t count, int64_t size, const T* x, const int32_t* rows_of, const A* weights, T* y);

  // One row of attention: the first `seen` weights become softmax(scale * scores), those up to `size` zero. Overwrites
  // the scores. Returns the logarithm of the sum of the exponentials.
  A (*softmax)(int64_t seen, int64_t size, A scale, A* scores, T* weights);
  // The way back of one row: the weights again (log_sum as softmax gave it) and the gradient of the unscaled scores;
  // delta is the dot product of the row's output and its gradient.
  void (*softmax_backward)(int64_t seen, int64_t size, A scale, A log_sum, A delta, const A* scores, const A* dweights,
                           T* weights, T* dscores);
  // The same from the weights, which softmax gave.
  void (*kept_softmax_backward)(int64_t seen, int64_t size, A scale, A delta, const T* weights, const A* dweights,
                                T* dscores);
  A (*dot)(int64_t size, const T* x, const T* y);
  // To the type of the rows, to nearest even.
  void (*round)(int64_t size, const A* x, T* y);

  // Cross entropy of one row of logits: returns log(sum(exp(logits))) - logits[target]. With `gradient` the logits
  // become scale times the gradient of that: scale * (softmax(logits) - onehot(target)).
  A (*cross_entropy)(int64_t size, int64_t target, A scale, bool gradient, T* logits);
};

// kAvx512Bf16: with the instructions that round to bfloat16 and that multiply pairs of it. kAvx512Fp16: with these, and
// arithmetic in half precision, which only products use.
enum class Isa { kPortable, kAvx2, kAvx512, kAvx512Bf16, kAvx512Fp16 };
bool supported(Isa isa);  // by this processor
Isa best_isa();           // MASBAK_CPU=portable|avx2|avx512|avx512_bf16|avx512_fp16 lowers it

template <typename T>
const RowKernels<T>& row_kernels(Isa isa = best_isa());

}  // namespace masbak::models::kernels
