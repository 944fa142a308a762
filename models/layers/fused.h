// The elementwise pieces between the matrix products, each one pass over memory, differentiable in
// its activations. Weights of norms and tables of angles are taken as constants.
//
// Shape letters: T tokens, D features, H heads, F rotary frequencies (half the rotary size), K experts
// a token, N rows sorted by expert, at least T * K.
//
// On the CPU float32, float64 and bfloat16 run through models/kernels/cpu, rounded once at the end; on a GPU dispatch,
// combine and the cross entropy run through models/kernels/cuda. The rest is put together from ATen's operators.
#pragma once

#include <ATen/core/Tensor.h>

namespace masbak::models {

// x / sqrt(mean(x^2) + epsilon) * weight over the last dimension; the quotient is rounded to x's type
// before the product, as in transformers.
at::Tensor rms_norm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon);

// silu(gate) * up, of equal shapes.
at::Tensor silu_times(const at::Tensor& gate_TD, const at::Tensor& up_TD);
// The same with gate and up side by side: [T, 2 D] -> [T, D].
at::Tensor silu_times_halves(const at::Tensor& gate_up);

// Rotates the last 2 F features of each head by the token's angles; the features before them are copied.
// cos and sin are float32 [T, F]. interleaved: the features come in pairs (0, 1), (2, 3) …, and leave
// as halves, as DeepSeek's rotation does; else feature i pairs with i + F.
at::Tensor rotate(const at::Tensor& x_THD, const at::Tensor& cos_TF, const at::Tensor& sin_TF, bool interleaved);

// What follows is without autograd, for layers that write their backward pass by hand (expert_block.cc).

// The way back through y = silu_times_halves(gate_up) where row n of y counts weights[n] times.
struct SiluGradients {
  at::Tensor y_ND;      // again
  at::Tensor dgate_up;  // [N, 2 D]
  at::Tensor dweights_N;
};
SiluGradients silu_times_halves_backward(const at::Tensor& dy_ND, const at::Tensor& gate_up,
                                         const at::Tensor& weights_N);

// out[n] = x[rows[n]]; rows are int32.
at::Tensor gather_rows(const at::Tensor& x_ND, const at::Tensor& rows_N);

// out[t] = sum over k of weights[t, k] * x[rows[t, k]], in the order of k: deterministic. rows are int32, weights
// float32 (float64 for float64 rows), or undefined for ones.
at::Tensor sum_rows(const at::Tensor& x_ND, const at::Tensor& weights_TK, const at::Tensor& rows_TK);

// The cross entropies of rows of logits [N, V] (contiguous) against targets int64 [N], summed in the order of the rows.
// With `gradient` the logits become scale times the sum's gradient by them. Not differentiable itself: head and
// loss go together, chunk by chunk, so that no logits outlive their chunk.
double cross_entropy_rows(at::Tensor& logits_NV, const at::Tensor& targets_N, double scale, bool gradient);

}  // namespace masbak::models
