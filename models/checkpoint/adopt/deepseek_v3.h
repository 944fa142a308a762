// A dense llama model rewritten as a DeepSeek-V3 model that computes the same function: grouped-query
// attention becomes multi-head latent attention (MLA), the feed-forward network a shared expert and
// routed experts. README.md beside this folder derives why the two are equal.
#pragma once

#include "models/checkpoint/adopt/dense_llama.h"

namespace masbak::models {

struct ExpertOptions {
  int64_t experts = 4;
  int64_t top_k = 2;
  int64_t shared = 0;  // neurons in the shared experts; 0: half of them
  uint64_t seed = 0;   // of the routers' weights
};

class DeepseekRewrite {
 public:
  // INVALID_ARGUMENT, naming the option, if the options do not fit the model. `dense` must outlive this
  // object, and this object its tensors.
  DeepseekRewrite(const DenseLlama& dense, const ExpertOptions& options);

  base::Json config() const;
  std::vector<LazyTensor> tensors() const;

 private:
  void add_attention(int64_t layer, std::vector<LazyTensor>& tensors) const;
  void add_experts(int64_t layer, std::vector<LazyTensor>& tensors) const;
  int64_t shared_key_row(int64_t group, int64_t dimension) const;
  std::vector<float> queries(int64_t layer) const;     // q_proj
  std::vector<float> compressor(int64_t layer) const;  // kv_a_proj_with_mqa
  std::vector<float> expander() const;                 // kv_b_proj
  std::vector<float> latent_norm() const;              // kv_a_layernorm
  std::vector<float> router(int64_t layer) const;      // gate

  const DenseLlama& dense_;
  ExpertOptions options_;
  int64_t rope_size_, latent_size_, expert_neurons_;
  float constant_;  // the value of the constant latent dimension
};

}  // namespace masbak::models
