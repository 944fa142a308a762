// Rotary position embeddings (RoFormer, Su et al. 2021) and the ways of stretching them, as transformers'
// modeling_rope_utils defines them: default, linear, dynamic (NTK), yarn, longrope, llama3.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/document.h"

namespace masbak::models {

class Rotary {
 public:
  // Reads rope_parameters (transformers 5) or rope_scaling and rope_theta (before) of config.json.
  // `size` is the number of rotated features of a head, `theta` the family's own. UNIMPLEMENTED for another type or an
  // unknown field in it, INVALID_ARGUMENT for a value out of range.
  static Rotary read(const base::Fields& config, int64_t size, int64_t max_positions, double theta = 10000.0);

  // Tokens [begin, end) of one sequence: `end` is the length that dynamic and longrope look at.
  struct Span {
    int64_t begin = 0, end = 0;
  };
  // Cosines and sines [T, size / 2] in float32, of all spans one after another, times the attention factor.
  std::pair<at::Tensor, at::Tensor> angles(const std::vector<Span>& spans) const;

  // What yarn multiplies the attention's scale with in DeepSeek's models: mscale(factor, mscale_all_dim)^2,
  // 1 where it does not apply.
  double attention_scale() const { return attention_scale_; }

  // Tokens that a sequence may have: max_position_embeddings, or what the stretching makes of it where that field
  // holds the length before it (linear, dynamic, yarn).
  int64_t max_length() const;

 private:
  void read_yarn(const base::Fields& fields, double factor);
  void read_longrope(const base::Fields& fields);
  void read_llama3(const base::Fields& fields, double factor);
  at::Tensor frequencies(int64_t length) const;
  at::Tensor plain_frequencies(double theta) const;

  std::string type_ = "default";
  int64_t size_ = 0, max_positions_ = 0, original_positions_ = 0;
  double theta_ = 10000.0, factor_ = 1.0;
  double attention_factor_ = 1.0, attention_scale_ = 1.0;
  at::Tensor frequencies_, long_frequencies_;  // float32 [size / 2]; the second for longrope only
};

}  // namespace masbak::models
