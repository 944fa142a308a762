// Self-attention over packed tokens: grouped-query (Ainslie et al. 2023) and multi-head latent attention
// (DeepSeek-V2, 2024, section 2.1).
//
// Shape letters: T tokens of the batch, D hidden size, H heads, G key/value heads, Q size of a query head,
// V size of a value head, R size of the latent, F rotary frequencies, n tokens of a segment, L its length
// with what the cache holds.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "models/layers/context.h"
#include "models/layers/projection.h"

namespace masbak::models {

class Attention {
 public:
  virtual ~Attention() = default;
  // x_TD -> [T, D]. `layer` picks the rows of each segment's cache.
  virtual at::Tensor forward(const at::Tensor& x_TD, const Context& context, int layer) = 0;
  // `prefix` is the attention's name, "model.layers.0.self_attn".
  virtual void collect_slots(const std::string& prefix, int layer, std::vector<Slot>& slots) = 0;
  virtual std::unique_ptr<Attention> clone() const = 0;
  // Drops what was derived from the projections.
  virtual void weights_changed() {}
};

// softmax(scale * q k^T) v of one segment; token i sees the keys up to L - n + i, with a window the last `window` of
// these. q_nHQ, k_LGQ, v_LGV with H a multiple of G -> [n, H * V]. Q and V may differ.
at::Tensor causal_attention(const at::Tensor& q_nHQ, const at::Tensor& k_LGQ, const at::Tensor& v_LGV, double scale,
                            int64_t window = 0);

}  // namespace masbak::models
