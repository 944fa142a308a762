// Matrix products that something else may want to change: LoRA wraps them, quantisation stores them
// small. Model code calls forward and knows neither.
//
// Shape letters: T tokens, I input size, O output size, E experts.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace masbak::models {

// y_TO = x_TI W_OI^T + b_O
class Projection {
 public:
  virtual ~Projection() = default;
  virtual at::Tensor forward(const at::Tensor& x_TI) const = 0;
  // W_OI as forward applies it now, adapters included: for products that are rearranged (MLA's absorbed
  // decode) and for merging.
  virtual at::Tensor weight() const = 0;
  virtual at::Tensor bias() const = 0;  // undefined if none
  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;
};

// One weight for each of E experts, applied to rows sorted by expert.
// Rows [offsets[e], offsets[e+1]) of x belong to expert e; offsets has E + 1 entries, offsets[E] = T.
class ExpertProjection {
 public:
  virtual ~ExpertProjection() = default;
  virtual at::Tensor forward(const at::Tensor& x_TI, const std::vector<int64_t>& offsets) const = 0;
  virtual at::Tensor weight() const = 0;  // W_EOI, adapters included
  virtual int64_t experts() const = 0;
  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;
};

// Rows of a table, by token: x_TD = W_VD[ids_T].
class TokenEmbedding {
 public:
  virtual ~TokenEmbedding() = default;
  virtual at::Tensor forward(const at::Tensor& ids_T) const = 0;
  virtual at::Tensor weight() const = 0;  // W_VD, adapters included
};

// The plain ones.
std::shared_ptr<TokenEmbedding> make_embedding(at::Tensor w_VD);
std::shared_ptr<Projection> make_projection(at::Tensor w_OI, const at::Tensor& b_O = {});
std::shared_ptr<ExpertProjection> make_expert_projection(at::Tensor w_EOI);

// What part of the model a projection belongs to: the groups that target_modules knows.
enum class Group { kAttention, kExperts, kSharedExperts, kDenseMlp, kRouter, kHead, kEmbedding };
const char* group_name(Group group);  // "attention", "experts", "shared_experts", "dense_mlp", "router", …

// A named place in a model where a projection sits. Exactly one of the two pointers is set; assigning
// to *linear or *experts replaces the projection.
// Names are those of transformers 5's modules and parameters: "model.layers.0.self_attn.q_proj" for a
// linear, "model.layers.0.mlp.experts.gate_up_proj" for a fused expert parameter.
struct Slot {
  std::string name;
  Group group;
  int layer = -1;  // -1 outside the layers
  std::shared_ptr<Projection>* linear = nullptr;
  std::shared_ptr<ExpertProjection>* experts = nullptr;
};

}  // namespace masbak::models
