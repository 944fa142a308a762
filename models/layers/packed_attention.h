// Causal latent attention over packed sequences without a past, for training and for reading prompts.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "models/layers/context.h"

namespace masbak::models {

// Shape letters: T tokens of all segments, H heads, Q = N + P query size, N part without position, P rotary part,
// V value size.
//
// Each segment attends to itself: softmax(scale q k^T) v, with k of a head the N features of kv and then the
// rotary key that all heads share. q_THQ, kv_THX (X = N + V: the key's part, then the value), shared_TP
// -> [T, H * V]. Differentiable in all three.
//
// Scores exist for a block of queries at a time. For the way back the softmax weights of segments of up to 1,024 tokens
// are kept (kept_weights), those of longer ones are computed anew, so that memory grows with the length and not with
// its square. CPU: float32, float64, bfloat16 (scores are float32 then, weights and their gradients are rounded).
at::Tensor packed_latent_attention(const at::Tensor& q_THQ, const at::Tensor& kv_THX, const at::Tensor& shared_TP,
                                   int64_t value_size, double scale, const std::vector<Segment>& segments);

// How many weights that keeps of each head of a segment of so many tokens, in the type of q: half of the square, or 0.
int64_t kept_weights(int64_t length);

}  // namespace masbak::models
